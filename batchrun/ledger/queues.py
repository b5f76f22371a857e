"""The queues of tokens as the ledger knows them: which batches are in one, what they have, and what refusals taught of its limit."""

import sqlite3
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from batchrun.ledger.connection import Ledger
from batchrun.ledger.states import BatchState
from batchrun.planning.queuefacts import Learned, Queue, QueueFacts, QueueKey

# The queue that a batch of this profile and model goes into; None: it goes into none, or there is no such profile any more.
QueueOf = Callable[[str, str], Queue | None]

# Statuses in which it is not known yet whether the service's queue has room for the batch; None: not created.
NOT_ADMITTED: Final = frozenset({None, "validating", "failed"})


def no_queue(profile: str, model: str) -> Queue | None:  # noqa: ARG001 - the shape of the question
    """Nothing is limited."""
    return None


class Standing(NamedTuple):
    """What of ours is in a queue: `batches` with `tokens` together, and those of them that the service runs for certain."""

    batches: int
    tokens: int
    proven: int


def learned_of(ledger: Ledger, key: QueueKey) -> Learned | None:
    """What was learned of a queue."""
    row = ledger.row("select * from queue_limits where account = ? and model = ?", key)
    if row is None:
        return None
    return Learned(
        tokens=row["tokens"],
        at=row["at"],
        stated=row["stated"],
        refusals=row["refusals"],
        until=row["until"],
    )


def remember(ledger: Ledger, key: QueueKey, learned: Learned) -> None:
    """Inside the transaction that records what taught it."""
    ledger.execute(
        "insert or replace into queue_limits (account, model, tokens, stated, at, refusals, until) values (?, ?, ?, ?, ?, ?, ?)",
        (*key, learned.tokens, learned.stated, learned.at, learned.refusals, learned.until),
    )


def queue_facts(ledger: Ledger, queue: Queue | None) -> QueueFacts | None:
    """A queue with its limit; None where it has none that is known."""
    if queue is None:
        return None
    learned = learned_of(ledger, queue.key)
    if queue.configured is None and learned is None:
        return None
    return QueueFacts(key=queue.key, configured=queue.configured, learned=learned)


def standing(
    ledger: Ledger, key: QueueKey, queue_of: QueueOf, *, besides: int, since: int | None = None
) -> Standing:
    """What of ours is in a queue, but for one batch, or was there after `since`. What was not counted is taken for nothing: `uncounted` names it."""
    rows = [row for row in _members(ledger, key, queue_of, since) if row["id"] != besides]
    proven = [row for row in rows if row["remote_status"] not in NOT_ADMITTED]
    return Standing(len(rows), _tokens(rows), _tokens(proven))


def uncounted(
    ledger: Ledger, key: QueueKey, queue_of: QueueOf, *, since: int | None = None
) -> list[int]:
    """Request files of such batches that nobody has counted."""
    rows = _members(ledger, key, queue_of, since)
    return [row["request_file"] for row in rows if row["tokens"] is None]


def _members(
    ledger: Ledger, key: QueueKey, queue_of: QueueOf, since: int | None
) -> list[sqlite3.Row]:
    rows = ledger.rows(
        "select b.id, b.profile, b.remote_status, b.request_file, f.tokens from batch_rows b join request_files f on f.id = b.request_file "
        "where b.model = ?1 and (b.state in (?2, ?3) or (b.state in (?4, ?5) and b.ended_at > ?6 and b.remote_status <> 'failed')) order by b.id",
        (
            key.model,
            BatchState.CREATING,
            BatchState.CREATED,
            BatchState.ENDED,
            BatchState.COLLECTED,
            since,
        ),
    )
    return [row for row in rows if _is_in(queue_of, row["profile"], key)]


def _tokens(rows: Iterable[sqlite3.Row]) -> int:
    return sum(row["tokens"] or 0 for row in rows)


def sent_by_job(
    ledger: Ledger, keys: Iterable[QueueKey], queue_of: QueueOf
) -> dict[QueueKey, tuple[tuple[int, int], ...]]:
    """When each job was last sent from, into each of these queues."""
    found: dict[QueueKey, dict[int, int]] = {key: {} for key in keys}
    for model in {key.model for key in found}:
        for row in ledger.rows(
            "select job, profile, max(intent_at) as at from batch_rows where model = ? and intent_at is not null group by job, profile",
            (model,),
        ):
            queue = queue_of(row["profile"], model)
            if queue is not None and queue.key in found:
                jobs = found[queue.key]
                jobs[row["job"]] = max(row["at"], jobs.get(row["job"], 0))
    return {key: tuple(sorted(jobs.items())) for key, jobs in found.items()}


def bytes_per_token(ledger: Ledger, job: int, model: str) -> float | None:
    """Of the requests of a job, as far as they were counted."""
    row = ledger.row(
        "select total(bytes) as bytes, total(tokens) as tokens from request_files where job = ? and model = ? and tokens is not null",
        (job, model),
    )
    assert row is not None
    return row["bytes"] / row["tokens"] if row["tokens"] else None


def _is_in(queue_of: QueueOf, profile: str, key: QueueKey) -> bool:
    queue = queue_of(profile, key.model)
    return queue is not None and queue.key == key
