"""Which jobs leave their batches because their deadline is near, to where, and from when on. Pure."""

from collections.abc import Iterator
from typing import NamedTuple

from batchrun.ledger.states import BatchState
from batchrun.planning.deadline import switch_at
from batchrun.planning.facts import BatchFacts, Snapshot
from batchrun.planning.holds import held_until
from batchrun.planning.policy import FOREVER, UNREACHABLE_S


class Switch(NamedTuple):
    """A job goes to another profile from `at` (unix seconds) on. `is_known`: its batches were just asked for, as far as they can be."""

    job: int
    profile: str
    at: int
    is_known: bool


def switches(snapshot: Snapshot, now: int) -> Iterator[Switch]:
    """Every switch that is still to come, and those of jobs that are live already of which a batch has still to be told.

    Nothing is taken from its batch before what it would go to can be asked and paid; and a hold that only a person ends stops this, too.
    """
    for job in snapshot.jobs:
        pace = job.pace
        if pace is None or job.deadline_at is None or job.is_paused or not job.has_open_items:
            continue
        if job.is_stopped or job.id in snapshot.unpaid:
            continue
        theirs = tuple(b for b in snapshot.batches if b.job == job.id and b.profile != pace.profile)
        if job.is_live and not any(map(_is_to_leave, theirs)):
            continue
        moments = [0 if job.is_live else switch_at(job.deadline_at, job.open_count, pace)]
        moments.append(held_until(snapshot, pace.profile, ""))
        if (own := held_until(snapshot, job.profile, "")) >= FOREVER:
            moments.append(own)
        if pace.profile in snapshot.unreachable:
            moments.append(now + UNREACHABLE_S)
        is_known = not any(_is_due(b, snapshot, now) for b in theirs)
        yield Switch(job.id, pace.profile, max(moments), is_known)


def _is_to_leave(b: BatchFacts) -> bool:
    """Whether a batch may still run, and was not asked to end."""
    return b.state <= BatchState.CREATED and not b.cancel_requested


def _is_due(b: BatchFacts, snapshot: Snapshot, now: int) -> bool:
    """Whether a batch is looked at first: of what has ended meanwhile nothing has to leave."""
    is_there = BatchState.CREATING <= b.state <= BatchState.ENDED
    return is_there and b.next_at <= now and b.profile not in snapshot.unreachable
