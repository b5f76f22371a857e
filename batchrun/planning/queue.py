"""The queue of tokens: which of the batches that wait may go, so that a service is not sent more input tokens than it lets wait and run at once. Pure.

A service limits these for each account and model, and tells so only by failing a batch. A batch takes its tokens from the moment in which its
creation is committed to until it has ended. Where no limit is known, everything goes, and the first refusal is where learning begins:

* What the service says, or the settings, is the limit. Refused although all seemed to fit (others use the same queue, or count otherwise),
  only as much as is in the queue at that moment counts as fitting from then on.
* What may not fit is tried nevertheless: one batch at a time, once the service runs all that was sent before, and each refusal in a row makes
  the next wait longer. What it accepts counts as fitting. So what was unlearned is learned again, for few uploads in vain.
* Into an empty queue one batch may always go: no count of ours is a verdict.
"""

import re
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from batchrun.ledger.states import BatchState
from batchrun.planning.facts import BatchFacts, Snapshot
from batchrun.planning.policy import token_hold_s
from batchrun.planning.queuefacts import Learned, QueueFacts, QueueKey

_IN_QUEUE: Final = (BatchState.CREATING, BatchState.CREATED)
_LIMIT: Final = re.compile(r"\blimit(?:\s|:|=|is\b|of\b)*(\d[\d,_]*)", re.IGNORECASE)
_DIGITS_MOST: Final = 15


def going(
    snapshot: Snapshot, ready: Sequence[BatchFacts], now: int
) -> tuple[frozenset[int], tuple[int, ...]]:
    """Which of the batches that are `ready` for their next step may take it, and the moments at which more may, as far as time alone brings them.

    The job with the fewest tokens in the queue is next, of several the one that was not sent from for the longest; who is next is waited for, so
    that nobody starves.
    """
    limited = {queue.key: queue for queue in snapshot.queues}
    free = {b.id for b in ready if b.queue not in limited}
    moments: list[int] = []
    for key, queue in limited.items():
        theirs = [b for b in ready if b.queue == key]
        held = _held(snapshot, key)
        if not theirs or any(b.tokens is None for b in (*theirs, *held)):
            continue
        chosen, moment = _chosen(queue, theirs, held, now)
        free |= chosen
        if moment is not None:
            moments.append(moment)
    return frozenset(free), tuple(moments)


def to_count(snapshot: Snapshot, ready: Sequence[BatchFacts]) -> list[BatchFacts]:
    """Batches whose tokens must be known before any of those that are `ready` may go."""
    keys = {queue.key for queue in snapshot.queues} & {b.queue for b in ready}
    matter = [*ready, *(b for key in sorted(keys) for b in _held(snapshot, key))]
    return [b for b in matter if b.queue in keys and b.tokens is None]


def _held(snapshot: Snapshot, key: QueueKey) -> list[BatchFacts]:
    """What of ours is in a queue, as far as we know. A refusal makes no room before it is understood."""
    return [
        b
        for b in snapshot.batches
        if b.queue == key
        and (b.state in _IN_QUEUE or (b.state == BatchState.ENDED and not b.is_admitted))
    ]


def _chosen(
    queue: QueueFacts, ready: Sequence[BatchFacts], held: Sequence[BatchFacts], now: int
) -> tuple[set[int], int | None]:
    """Who goes, and where nobody does, when the first may."""
    taken: dict[int, int] = {}
    for b in held:
        taken[b.job] = taken.get(b.job, 0) + _tokens(b)
    used = sum(taken.values())
    chosen: set[int] = set()
    for b in _in_line(queue, ready, taken):
        if used + _tokens(b) > queue.level:
            if not chosen and _may_try(queue, b, held, used, now):
                if now < queue.until:
                    return chosen, queue.until
                chosen.add(b.id)
            break
        chosen.add(b.id)
        used += _tokens(b)
        taken[b.job] = taken.get(b.job, 0) + _tokens(b)
    return chosen, None


def _may_try(
    queue: QueueFacts, b: BatchFacts, held: Sequence[BatchFacts], used: int, now: int
) -> bool:
    """Whether a batch that may not fit is sent all the same, as soon as it is time for that."""
    if not held:
        return True
    most = queue.most(now)
    return all(other.is_admitted for other in held) and (most is None or used + _tokens(b) <= most)


def _in_line(
    queue: QueueFacts, ready: Sequence[BatchFacts], taken: dict[int, int]
) -> Iterable[BatchFacts]:
    """Who is next, and then who; `taken` has what the job of each one before was given. What is uploaded goes first, and last what fits into no queue."""
    sent = dict(queue.sent)
    whole = queue.whole
    jobs: dict[int, deque[BatchFacts]] = {}
    for b in sorted(ready, key=lambda b: (_is_hopeless(b, whole), -b.state, b.id)):
        jobs.setdefault(b.job, deque()).append(b)
    while jobs:
        job = min(
            jobs,
            key=lambda job: (
                _is_hopeless(jobs[job][0], whole),
                -jobs[job][0].state,
                taken.get(job, 0),
                sent.get(job, 0),
                job,
            ),
        )
        yield jobs[job].popleft()
        if not jobs[job]:
            del jobs[job]


def _is_hopeless(b: BatchFacts, whole: int | None) -> bool:
    return whole is not None and _tokens(b) > whole


def _tokens(b: BatchFacts) -> int:
    return b.tokens or 0


def why_waiting(snapshot: Snapshot, key: QueueKey) -> str | None:
    """Why a batch of a queue waits, in words; None where nothing of ours is in it, and the service has had its say."""
    queue = next(queue for queue in snapshot.queues if queue.key == key)
    held = _held(snapshot, key)
    if not held:
        return None
    used = _short(sum(map(_tokens, held)))
    return f"waits for room in the queue of {key.model}: {used} of {_short(queue.level)} tokens"


def _short(tokens: int) -> str:
    """`1.9M`, `240K`, `900`."""
    for size, unit in ((10**9, "B"), (10**6, "M"), (10**3, "K")):
        if tokens >= size:
            return f"{tokens * 10 // size / 10:g}{unit}"
    return str(tokens)


def stated_limit(message: str) -> int | None:
    """The number that a service's refusal names as its limit."""
    found = _LIMIT.search(message)
    digits = found[1].replace(",", "").replace("_", "") if found else ""
    return int(digits) or None if 0 < len(digits) <= _DIGITS_MOST else None


def refused(
    before: Learned | None,
    *,
    configured: int | None,
    stated: int | None,
    held: int,
    proven: int,
    tokens: int,
    now: int,
) -> Learned:
    """What is known after a batch with `tokens` was refused while `held` tokens of ours were in its queue besides, as far as we know, and `proven` of
    these certainly. `stated`: the limit that the service named.
    """
    known = (configured, None if before is None else before.tokens)
    fits = min((number for number in known if number is not None), default=None)
    if stated is not None and held + tokens > stated:
        fits = stated
    elif fits is None or held + tokens <= fits:
        fits = proven
    before = before or Learned(tokens=fits, at=now)
    # Sent together with one that was refused: no news.
    is_news = before.until <= now
    refusals = before.refusals + is_news
    return Learned(
        tokens=fits,
        at=now,
        stated=before.stated if stated is None else stated,
        refusals=refusals,
        until=now + token_hold_s(refusals) if is_news else before.until,
    )


def accepted(before: Learned, proven: int) -> Learned:
    """What is known after a batch was accepted with which `proven` tokens of ours are in its queue."""
    if proven <= before.tokens:
        return before
    return replace(before, tokens=proven, refusals=0, until=0)
