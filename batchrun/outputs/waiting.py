"""What a job waits for, and why: items before their next attempt, a profile that must not send yet, a job that was paused."""

from dataclasses import dataclass
from enum import StrEnum

from batchrun.ledger.connection import Ledger
from batchrun.ledger.states import ItemState
from batchrun.outputs.rows import job_view, snapshot
from batchrun.planning.causes import cause_of
from batchrun.planning.policy import FOREVER


class WaitKind(StrEnum):
    """Who waits."""

    RETRY = "retry"  # items whose last attempt did not end well; they go again by themselves
    HOLD = "hold"  # every job of a profile and model: the service asked for a pause
    PAUSED = "paused"  # one job: nothing more is sent until it is submitted or retried


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """One reason. `until`: unix seconds, or None where only a person can end it; `count`: items, 0 for a hold.

    `reason`: of RETRY the cause's title, else the service's or our words. `job` is None for a hold, `cause` None but for RETRY.
    """

    kind: WaitKind
    job: str | None
    profile: str
    model: str | None
    cause: str | None
    reason: str
    count: int
    until: int | None


def waiting(ledger: Ledger, job_id: int | None) -> tuple[Waiting, ...]:
    """Everything that waits, of one job (with the holds of its profile) or of all; paused jobs first, then holds, then retries."""
    with snapshot(ledger):
        profile = None if job_id is None else job_view(ledger, job_id).profile
        return (*_paused(ledger, job_id), *_holds(ledger, profile), *_retries(ledger, job_id))


def _paused(ledger: Ledger, job_id: int | None) -> list[Waiting]:
    return [
        Waiting(
            kind=WaitKind.PAUSED,
            job=row["name"],
            profile=row["profile"],
            model=None,
            cause=None,
            reason=row["paused"],
            count=row["n"],
            until=None,
        )
        for row in ledger.rows(
            f"select j.name, j.profile, j.paused, (select coalesce(sum(n), 0) from item_counts c where c.job = j.id and c.state = {int(ItemState.PENDING)}) as n "
            "from jobs j where j.paused is not null and (?1 is null or j.id = ?1) order by j.name, j.profile",
            (job_id,),
        )
    ]


def _holds(ledger: Ledger, profile: str | None) -> list[Waiting]:
    return [
        Waiting(
            kind=WaitKind.HOLD,
            job=None,
            profile=row["profile"],
            model=row["model"] or None,
            cause=None,
            reason=row["reason"],
            count=0,
            until=row["until"] if row["until"] < FOREVER else None,
        )
        for row in ledger.rows(
            "select profile, model, until, reason from holds where ?1 is null or profile = ?1 order by profile, model",
            (profile,),
        )
    ]


def _retries(ledger: Ledger, job_id: int | None) -> list[Waiting]:
    return [
        Waiting(
            kind=WaitKind.RETRY,
            job=row["name"],
            profile=row["profile"],
            model=None,
            cause=row["cause"],
            reason=cause_of(row["cause"]).title,
            count=row["n"],
            until=row["until"],
        )
        for row in ledger.rows(
            "select j.name, j.profile, r.cause, count(*) as n, min(q.not_before) as until "
            "from queue q join jobs j on j.id = q.job join result_rows r on r.item = q.item and r.cause is not null "
            "where ?1 is null or q.job = ?1 group by j.id, r.cause order by j.name, j.profile, n desc, r.cause",
            (job_id,),
        )
    ]
