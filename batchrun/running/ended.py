"""A batch has ended: read both of its files, in every terminal state, and settle every attempt; or learn that it never ran."""

import json
import sqlite3
from functools import partial
from pathlib import Path
from typing import Final

from batchrun.backends.base import TERMINAL_STATUSES, RemoteBatch
from batchrun.backends.reading import read_batch
from batchrun.errors import BackendError, NotFound
from batchrun.ledger.batches import remote_columns, update_batch
from batchrun.ledger.states import BatchEvent
from batchrun.planning.classify import Outcome
from batchrun.planning.policy import (
    LATE_FILES_S,
    error_delay_s,
    may_have_run,
)
from batchrun.running.collect import Missing, UnreadableResults, collect
from batchrun.running.context import PassContext
from batchrun.running.damaged import set_aside
from batchrun.running.lost import give_up
from batchrun.running.refusing import put_off
from batchrun.running.results import (
    fetch_all,
    in_spool,
    lacks_answers,
    lacks_files,
    never_ran,
    was_free,
)
from batchrun.running.unrun import pause_if_hopeless, settle_unrun

_LOOK_MOST_S: Final = 120  # between two looks for late files
_MISSING: Final = {
    "completed": (
        Outcome.FAILED,
        "missing_result",
        "the batch completed without a result for this item",
    ),
    "expired": (Outcome.RELEASED, "expired", "the completion window ended before this item ran"),
    "cancelled": (Outcome.RELEASED, "cancelled", "the batch was cancelled before this item ran"),
    "failed": (Outcome.FAILED, "lost_result", "the batch failed after it had begun to run"),
}
_GONE: Final = "the service no longer has the result files of this batch"


def settle_ended(ctx: PassContext, row: sqlite3.Row) -> None:
    """Settle a batch in state ENDED."""
    remote = read_batch(json.loads(row["remote"]))
    if remote.status not in TERMINAL_STATUSES or lacks_files(remote):
        looked = _look_again(ctx, row, remote)
        if looked is None:
            return
        remote = looked
    if never_ran(remote):
        settle_unrun(ctx, row, remote)
        return
    try:
        files = fetch_all(ctx, row, remote)
    except NotFound as exc:
        if ctx.clock.now() - row["ended_at"] < LATE_FILES_S:
            put_off(ctx, row, exc)
        else:
            _lose(ctx, row, in_spool(ctx, row))
        return
    except BackendError as exc:
        put_off(ctx, row, exc)
        return
    if lacks_answers(remote):
        _lose(ctx, row, files)
    else:
        _collect(ctx, row, remote, files, _MISSING[remote.status])


def _lose(ctx: PassContext, row: sqlite3.Row, files: list[tuple[int, Path]]) -> None:
    try:
        give_up(ctx, row, _GONE, files)
    except UnreadableResults as found:
        set_aside(ctx, row, found)


def _collect(
    ctx: PassContext,
    row: sqlite3.Row,
    remote: RemoteBatch,
    files: list[tuple[int, Path]],
    missing: tuple[Outcome, str, str],
) -> None:
    try:
        settled = collect(
            ctx.ledger,
            row,
            files,
            missing=missing,
            doubt=partial(_uncertain, remote),
            event=BatchEvent.COLLECTED,
            at=ctx.clock.now(),
            retry_delays_s=ctx.backend(row["profile"]).traits.retry_delays_s,
            reason=None if remote.status == "completed" else remote.status,
        )
    except UnreadableResults as found:
        set_aside(ctx, row, found)
        return
    pause_if_hopeless(ctx, row, f"batch ended {remote.status}")
    ctx.observer(
        "collected",
        batch=row["id"],
        job=row["job"],
        status=remote.status,
        moved={str(event): n for event, n in settled.moved.items() if n},
        incidents=settled.incident_count,
    )


def _uncertain(remote: RemoteBatch, came_back: int, never_ran: int) -> Missing | None:
    """What is said of the lines that a cancelled batch lacks, where its own counts do not show that none of them was executed."""
    if remote.status != "cancelled" or was_free(remote):
        return None
    if not may_have_run(
        is_counted=remote.total_count > 0,
        completed=remote.completed_count,
        failed=remote.failed_count,
        came_back=came_back,
        never_ran=never_ran,
    ):
        return None
    return (
        Outcome.FAILED,
        "uncertain",
        "the batch was cancelled, and by its own counts it executed more requests than it brought back: this one may be among them",
    )


def _look_again(ctx: PassContext, row: sqlite3.Row, known: RemoteBatch) -> RemoteBatch | None:
    """Ask for a batch that ended without all of its files; None where it must be looked at later.

    Only another end is believed: one that runs again is waited for.
    """
    now = ctx.clock.now()
    is_over = now - row["ended_at"] >= LATE_FILES_S
    try:
        remote = ctx.backend(row["profile"]).retrieve(row["remote_id"])
    except NotFound as exc:
        if is_over and known.status in TERMINAL_STATUSES:
            return known
        put_off(ctx, row, exc)
        return None
    except BackendError as exc:
        put_off(ctx, row, exc)
        return None
    has_ended = remote.status in TERMINAL_STATUSES
    if has_ended and (is_over or not lacks_files(remote)):
        with ctx.ledger.transaction():
            update_batch(ctx.ledger, row["id"], errors=0, **remote_columns(remote))
        return remote
    errors = row["errors"] + 1
    columns: dict[str, object] = {
        "errors": errors,
        "next_at": now + min(error_delay_s(errors, None), _LOOK_MOST_S),
    }
    if has_ended:
        columns |= remote_columns(remote)
        columns["reason"] = f"{remote.status}, but its result files are not shown yet"
    else:
        columns["ended_at"] = now  # it had not ended: the time for late files begins when it has
        columns["reason"] = f"the service said that it had ended, and now says {remote.status!r}"
    with ctx.ledger.transaction():
        update_batch(ctx.ledger, row["id"], **columns)
    return None
