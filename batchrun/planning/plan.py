"""What to do next, from what is known: pure, total, deterministic. No I/O, no clock, no randomness.

`plan()` returns what is due now, in the order in which it is to be done; else one Wait for the moment when something will be; and `()`
exactly when everything is final, or behind a hold that no time ends. The runner performs the actions, records what came of them, and asks again.
"""

from collections.abc import Iterable
from typing import Final

from batchrun.ledger.states import FINAL_BATCH_STATES, BatchState
from batchrun.planning.actions import (
    Action,
    Cancel,
    Collect,
    Count,
    Create,
    Cut,
    Drop,
    Form,
    GoLive,
    Look,
    Poll,
    Recut,
    Release,
    RunCalls,
    Sweep,
    Tidy,
    Upload,
    Wait,
    Work,
    WriteOutputs,
)
from batchrun.planning.canary import Verdict, judge
from batchrun.planning.facts import BatchFacts, JobFacts, Snapshot
from batchrun.planning.holds import held_until, job_held_until
from batchrun.planning.policy import FOREVER, TIDY_MOST_S, UNREACHABLE_S
from batchrun.planning.queue import going, to_count, why_waiting
from batchrun.planning.switching import switches

RETRY_GATHER_S: Final = 1_800  # retries wait this long for others of their job to go with them
_NOT_CREATED: Final = (BatchState.PLANNED, BatchState.UPLOADED)
_ON_THE_WAY: Final = frozenset({*_NOT_CREATED, BatchState.CREATING})
RETRY_GATHER_COUNT: Final = 10_000  # …or until so many have gathered


def plan(snapshot: Snapshot, now: int) -> tuple[Action, ...]:
    """The actions that are due, finding before polling before collecting before sending; or a Wait; or () when time brings nothing more."""
    reachable = tuple(b for b in snapshot.batches if b.profile not in snapshot.unreachable)
    due: list[Action] = [
        *(Drop(b.id) for b in snapshot.batches if b.cancel_requested and b.state in _NOT_CREATED),
        *_sweeps(reachable, now),
        *_polls(snapshot, reachable, now),
        *(Look(b.id) for b in reachable if _is_sought(b, now) and b.next_at <= now),
        *(Collect(b.id) for b in reachable if b.state == BatchState.ENDED and b.next_at <= now),
        *(Release(j.id) for j in snapshot.jobs if j.canary and judge(j.canary) is Verdict.PASSED),
        *(GoLive(s.job, s.profile) for s in switches(snapshot, now) if s.at <= now and s.is_known),
        *_sends(snapshot, reachable, now),
        *(WriteOutputs(j.id) for j in snapshot.jobs if j.is_stale and not j.has_open_items),
        *(RunCalls(j.id) for j in _calling(snapshot) if not snapshot.is_tired),
        *(Tidy(profile) for profile, at in _tidy_moments(snapshot, now) if at <= now),
    ]
    if due:
        return tuple(due)
    moments = [at for at in _next_moments(snapshot, now) if at < FOREVER]
    return (Wait(min(moments)),) if moments else ()


def _calling(snapshot: Snapshot) -> Iterable[JobFacts]:
    """Jobs whose calls this pass could run. Without functions they wait for a person, and no time brings anything."""
    lent = (j for j in snapshot.jobs if snapshot.has_tools and j.id not in snapshot.not_lent)
    return (j for j in lent if j.has_calls and not j.is_paused)


def _is_sought(b: BatchFacts, now: int) -> bool:
    """Whether a lost batch is still looked for. Nobody waits for it, and its job has ended; but what it answered was paid."""
    if b.state != BatchState.LOST or b.sought_until is None:
        return False
    return b.sought_until > max(now, b.next_at)


def _sweeps(batches: Iterable[BatchFacts], now: int) -> list[Action]:
    profiles = {
        b.profile
        for b in batches
        if b.next_at <= now
        and (b.state == BatchState.CREATING or (b.audit_until is not None and b.audit_until > now))
    }
    return [Sweep(profile) for profile in sorted(profiles)]


def _polls(snapshot: Snapshot, batches: tuple[BatchFacts, ...], now: int) -> list[Action]:
    resting = _resting(snapshot)
    created = [b for b in batches if b.state == BatchState.CREATED and b.id not in resting]
    cancels = {
        b: Cancel(b.id)
        for b in created
        if b.cancel_requested and not b.cancel_sent and b.next_at <= now
    }
    # Nothing more of it is executed here; elsewhere whoever cannot cancel, or need not any more, is asked for the batch all the same.
    actions: list[Action] = [c for b, c in cancels.items() if b.profile in snapshot.in_process]
    for profile in sorted({b.profile for b in created}):
        if profile in snapshot.in_process:
            if profile in snapshot.exhausted:
                continue
            actions.append(Work(profile))
            actions.append(Poll(profile, tuple(b.id for b in created if b.profile == profile)))
        elif ids := tuple(b.id for b in created if b.profile == profile and b.next_at <= now):
            actions.append(Poll(profile, ids))
            actions += [c for b, c in cancels.items() if b.profile == profile]
    return actions


def _resting(snapshot: Snapshot) -> set[int]:
    """Batches inside our own process whose job is held: nothing of them is executed, so there is nothing to ask either."""
    held = {job.id for job in snapshot.jobs if job.is_held or job.is_stopped}
    return {
        b.id
        for b in snapshot.batches
        if b.job in held and b.profile in snapshot.in_process and not b.cancel_requested
    }


def _sends(snapshot: Snapshot, batches: tuple[BatchFacts, ...], now: int) -> list[Action]:
    actions: list[Action] = []
    gathering = _gathering(snapshot)
    leaving = {switch.job for switch in switches(snapshot, now) if switch.at <= now}
    for job in snapshot.jobs:
        if job.is_paused or job.id in leaving or job.sends_to in snapshot.unreachable:
            continue
        if job.is_short:
            continue
        actions += [
            Form(job.id, file)
            for file, model in job.fresh_files
            if job_held_until(snapshot, job, model) <= now
        ]
        # Models of queued items are known when they are cut; a hold on the whole profile stops them here.
        if job_held_until(snapshot, job, "") <= now and _is_cut_due(job, job.id in gathering, now):
            actions.append(Cut(job.id))
    limited = {queue.key: queue for queue in snapshot.queues}
    ready = _ready(snapshot, batches, now)
    actions += [Count(b.id) for b in to_count(snapshot, ready)]
    chosen, _ = going(snapshot, ready, now)
    for b in ready:
        queue = limited.get(b.queue) if b.queue else None
        if queue and b.tokens is not None and queue.is_too_large(b.tokens, b.requests):
            actions.append(Recut(b.id))
        elif b.id in chosen:
            actions.append(Upload(b.id) if b.state == BatchState.PLANNED else Create(b.id))
    return actions


def _ready(snapshot: Snapshot, batches: tuple[BatchFacts, ...], now: int) -> tuple[BatchFacts, ...]:
    """Batches that nothing but the queue of their service can keep from being sent."""
    leaving = {switch.job for switch in switches(snapshot, now) if switch.at <= now}
    waiting = leaving | _not_sending(snapshot)
    return tuple(
        b
        for b in batches
        if b.state in _NOT_CREATED
        and not b.cancel_requested
        and b.job not in waiting
        and b.next_at <= now
        and held_until(snapshot, b.profile, b.model) <= now
    )


def waits_for_room(snapshot: Snapshot, now: int) -> tuple[tuple[int, str], ...]:
    """Batches that wait for nothing but room in the queue of their service, each with the reason."""
    reachable = tuple(b for b in snapshot.batches if b.profile not in snapshot.unreachable)
    ready = _ready(snapshot, reachable, now)
    chosen, _ = going(snapshot, ready, now)
    left = [b for b in ready if b.id not in chosen and b.queue is not None]
    reasons = {key: why_waiting(snapshot, key) for key in {b.queue for b in left} if key}
    return tuple((b.id, why) for b in left if b.queue and (why := reasons[b.queue]))


def _not_sending(snapshot: Snapshot) -> set[int]:
    """Jobs of which nothing more is sent, whatever is prepared."""
    return {job.id for job in snapshot.jobs if job.is_paused or job.is_stopped}


def _gathering(snapshot: Snapshot) -> set[int]:
    """Jobs of which more items may soon be to send: a batch of theirs runs, or functions that their answers call. What our own pass
    executes, and what is diverted to be answered live, waits for no others: there a batch more costs nothing.
    """
    at_once = {
        job.id
        for job in snapshot.jobs
        if job.diverted_to is not None or job.sends_to in snapshot.in_process
    }
    running = {b.job for b in snapshot.batches if b.state not in FINAL_BATCH_STATES}
    return (running - at_once) | {job.id for job in _calling(snapshot)}


def _tidy_moments(snapshot: Snapshot, now: int) -> Iterable[tuple[str, int]]:
    """(profile, when) of house-keeping that may be done. Never while a file may be on its way into a batch."""
    for profile, at in snapshot.untidy:
        states = {b.state for b in snapshot.batches if b.profile == profile} - FINAL_BATCH_STATES
        if states & _ON_THE_WAY:
            continue
        later = now + UNREACHABLE_S if profile in snapshot.unreachable else 0
        yield profile, max(at + (TIDY_MOST_S if states else 0), later)


def _is_cut_due(job: JobFacts, is_gathering: bool, now: int) -> bool:
    if not job.queued_due:
        return False
    return (
        not is_gathering
        or job.queued_due >= RETRY_GATHER_COUNT
        or (job.queued_since is not None and now - job.queued_since >= RETRY_GATHER_S)
    )


def _next_moments(snapshot: Snapshot, now: int) -> Iterable[int]:
    """When each thing that is not final may be due; a moment that has passed counts as the next second, or as soon as an
    unreachable profile may be tried again.
    """
    paused = _not_sending(snapshot)
    gathering = _gathering(snapshot)
    reachable = tuple(b for b in snapshot.batches if b.profile not in snapshot.unreachable)
    ready = _ready(snapshot, reachable, now)
    chosen, moments = going(snapshot, ready, now)
    # What waits for room is woken by the end of a batch; that is polled for.
    blocked = {b.id for b in ready} - chosen
    yield from (max(at, now + 1) for at in moments)
    resting = _resting(snapshot)
    quiet = dict(snapshot.quiet)
    for b in snapshot.batches:
        is_resting = b.state == BatchState.CREATED and b.id in resting
        later = now + (UNREACHABLE_S if b.profile in snapshot.unreachable else 1)
        if b.state in FINAL_BATCH_STATES or b.job in paused or b.id in blocked or is_resting:
            if _is_sought(b, now) or (b.audit_until is not None and b.audit_until > now):
                yield max(b.next_at, later)
            if b.state in FINAL_BATCH_STATES or b.state in _NOT_CREATED or is_resting:
                continue
        held = 0
        if b.state in _NOT_CREATED:
            held = held_until(snapshot, b.profile, b.model)
        elif b.state == BatchState.CREATED:
            held = quiet.get(b.profile, 0)
        yield max(b.next_at, held, later)
    yield from (max(at, now + 1) for _, at in _tidy_moments(snapshot, now))
    yield from (now + 1 for _ in _calling(snapshot))
    yield from (max(switch.at, now + 1) for switch in switches(snapshot, now))
    for job in snapshot.jobs:
        if job.is_paused or job.is_short or not job.has_open_items:
            continue
        later = now + (UNREACHABLE_S if job.sends_to in snapshot.unreachable else 1)
        for _, model in job.fresh_files:
            yield max(job_held_until(snapshot, job, model), later)
        held = job_held_until(snapshot, job, "")
        if job.queued_due and job.id in gathering and job.queued_since is not None:
            yield max(job.queued_since + RETRY_GATHER_S, held, later)
        elif job.queued_due:
            yield max(held, later)
        if job.queued_next_at is not None:
            yield max(job.queued_next_at, later)
