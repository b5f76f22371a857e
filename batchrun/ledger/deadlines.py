"""A job's deadline in the ledger: set by a submit, and what comes of it once it is near."""

import json
import sqlite3
from dataclasses import replace
from typing import Final

from batchrun.ledger.connection import Ledger
from batchrun.ledger.items import open_count
from batchrun.ledger.reserves import aside_of, set_aside
from batchrun.ledger.states import IS_OPEN_BATCH, BatchState, ItemState
from batchrun.money.limits import Payer
from batchrun.planning.deadline import Measured, Pace, believed, deadline_at

BY_PERSON: Final = 1  # of batch_rows.cancel_requested
BY_DEADLINE: Final = 2
BY_CHANGE: Final = 3
UNPAID_DEADLINE: Final = (
    "unpaid_deadline"  # the kind of an incident: live answers would cost more than limits leave
)
WENT_LIVE: Final = "went_live"  # the event of a job

# Back to its own profile, if a deadline made it leave that.
_BACK: Final = "sends_to = case when live_since is null then sends_to end, live_since = null"
_MEASURED: Final = 20  # batches, the latest
_BYTES_A_TOKEN: Final = 4


def set_deadline(ledger: Ledger, *, job: int, text: str | None, at: int, asks: bool) -> None:
    """Set a job's deadline by its job line, inside the transaction that makes a submission ready and before its settings are stored.

    A submit that asks nothing new (`asks`) and says the same leaves it as it was: `"8h"` counts from the submit that asked. Else the
    night begins anew, by batch.
    """
    before = ledger.value("select settings ->> '$.deadline' from jobs where id = ?", (job,))
    if asks or before != text:
        ledger.execute(
            f"update jobs set deadline_at = ?, {_BACK} where id = ?",
            (None if text is None else deadline_at(text, at), job),
        )


def drop_passed_deadline(ledger: Ledger, *, job: int, at: int) -> None:
    """What is asked again after the job had ended and its deadline had passed has none: it goes by batch, at the price of a batch."""
    if not open_count(ledger, job):
        ledger.execute(
            f"update jobs set deadline_at = null, {_BACK} where id = ? and deadline_at <= ?",
            (job, at),
        )


def leaving_batches(ledger: Ledger, job: int, profile: str) -> list[sqlite3.Row]:
    """The batches of a job that a switch to this live profile takes its items out of, and that may run: rows with their request file."""
    return list(
        ledger.rows(
            "select id, request_file, endpoint, model from batch_rows where job = ? and profile <> ? and state in (?, ?) and cancel_requested = 0",
            (job, profile, BatchState.CREATING, BatchState.CREATED),
        )
    )


def go_live(
    ledger: Ledger, *, job: int, profile: str, at: int, payer: Payer | None = None, aside: int = 0
) -> int:
    """Send everything new of a job to its live profile, and have its batches cancelled: all of it in one transaction, so that no item is ever
    in two places. Returns how many batches that are.

    Those not created yet are given up and cost nothing; the others end, and are collected, before what is left of them is asked again. A batch
    whose creation is in doubt is found first. `aside`: picodollars that are kept for what leaves them, of `payer`, before any is cancelled.
    """
    with ledger.transaction():
        if payer is not None:
            kept = aside_of(ledger, job, payer)
            set_aside(ledger, job=job, payer=payer, amount=aside + kept, at=at)
        cancelled = ledger.execute(
            "update batch_rows set cancel_requested = ?1, next_at = case when state = ?2 then 0 else next_at end "
            "where job = ?3 and profile <> ?4 and state <= ?2 and cancel_requested = 0",
            (BY_DEADLINE, BatchState.CREATED, job, profile),
        ).rowcount
        left = open_count(ledger, job)
        ledger.execute(
            "insert into events (at, job, event, n, detail) values (?, ?, ?, ?, ?)",
            (at, job, WENT_LIVE, left, json.dumps({"profile": profile, "batches": cancelled})),
        )
        ledger.execute(
            "update jobs set sends_to = ?, live_since = coalesce(live_since, ?) where id = ?",
            (profile, at, job),
        )
    return cancelled


def give_back_asides(ledger: Ledger) -> None:
    """Where nothing more of a job leaves its batches, and nothing waits to be sent, what is left is free again."""
    over = (
        "select job_id from set_aside s where not exists (select 1 from batch_rows b where b.job = s.job_id and b.cancel_requested = "
        f"{BY_DEADLINE} and b.{IS_OPEN_BATCH}) and not exists (select 1 from item_counts c where c.job = s.job_id and c.state = "
        f"{int(ItemState.PENDING)} and c.n > 0)"
    )
    if ledger.value(over) is not None:
        with ledger.transaction():
            ledger.execute(f"delete from set_aside where job_id in ({over})")


def take_back_unsent(ledger: Ledger, job: int) -> None:
    """Give up the batches of a job that were not created yet: what is in them waits again, and is cut anew. Inside the caller's transaction."""
    ledger.execute(
        "update batch_rows set cancel_requested = ?, next_at = 0 where job = ? and state in (?, ?) and cancel_requested = 0",
        (BY_CHANGE, job, BatchState.PLANNED, BatchState.UPLOADED),
    )


def pace_here(ledger: Ledger, job: int, pace: Pace) -> Pace:
    """The pace that is counted on for a job: as its live profile was lately, and by the size of its own requests."""
    sizes = ledger.row(
        "select sum(bytes) as bytes, sum(request_count) as n from request_files where job = ? and request_count > 0",
        (job,),
    )
    assert sizes is not None
    each = (sizes["bytes"] or 0) / _BYTES_A_TOKEN / (sizes["n"] or 1)
    measured = _measured(ledger, pace.profile, max(pace.concurrency, 1))
    return replace(believed(pace, measured), tokens_each=each)


def _measured(ledger: Ledger, profile: str, concurrency: int) -> Measured | None:
    """What was seen of a live profile, by its latest batches that were answered whole; None where there was none.

    The median of them: a batch that lay about because nobody was there to go on with it must not send all later nights live at once.
    """
    rows = ledger.execute(
        "select max(ended_at - created_at, 1), request_count from batch_rows where profile = ? and state = ? "
        "and remote_status = 'completed' and request_count > 0 and ended_at is not null and created_at is not null order by id desc limit ?",
        (profile, BatchState.COLLECTED, _MEASURED),
    ).fetchall()
    if not rows:
        return None
    each = sorted(seconds * min(count, concurrency) / count for seconds, count in rows)
    return Measured(each[len(each) // 2], max(min(count, concurrency) for _, count in rows))
