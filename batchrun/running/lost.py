"""Batches that were given up as lost, and looking for them for a while longer: what they answered was paid.

A batch is lost when the service keeps answering 404 for it or for its result files, or when an intent grew too old to be disproved. Its
items fail with `lost_result`, and their job ends. Once a day, while the batch is younger than 30 days, it is looked for; when it is there
with its files, the items that nobody asked again in the meantime are reopened, and it is collected as any other.
"""

import logging
import sqlite3
from pathlib import Path
from typing import Final

from batchrun.backends.base import TERMINAL_STATUSES, RemoteBatch
from batchrun.errors import BackendError, NotFound
from batchrun.ledger.batches import move_batch, remote_columns, update_batch
from batchrun.ledger.reopening import reopen_items
from batchrun.ledger.states import BatchEvent, BatchState
from batchrun.planning.classify import Outcome
from batchrun.planning.policy import LOST_LOOK_S
from batchrun.running.collect import collect
from batchrun.running.context import PassContext
from batchrun.running.results import fetch_all, lacks_answers

log = logging.getLogger(__name__)

_SOON_S: Final = (
    3_600  # between two looks where the batch is there and runs, or the service is out of order
)


def give_up(
    ctx: PassContext, row: sqlite3.Row, message: str, files: list[tuple[int, Path]] | None = None
) -> None:
    """Settle what `files` of the batch say, let its other items fail with `lost_result`, and look for it no more than once a day."""
    now = ctx.clock.now()
    collect(
        ctx.ledger,
        row,
        files or [],
        missing=(Outcome.FAILED, "lost_result", message),
        event=BatchEvent.LOST,
        at=now,
        reason=message,
        lost_at=now,
        next_at=now + LOST_LOOK_S,
    )
    ctx.observer("lost", batch=row["id"], job=row["job"], message=message)


def postpone(ctx: PassContext, row: sqlite3.Row, delay_s: int = LOST_LOOK_S) -> None:
    """The next look is later. Done before a look, too: whatever stops it, a missing key or profile, is told once a day and no more."""
    with ctx.ledger.transaction():
        update_batch(ctx.ledger, row["id"], next_at=ctx.clock.now() + delay_s)


def look(ctx: PassContext, row: sqlite3.Row) -> None:
    """Ask for a LOST batch that has a name on the service; where it ended and its files can be had, reopen it."""
    postpone(ctx, row)
    backend = ctx.backend(row["profile"])
    if not ctx.is_account_of(row):
        return  # this account sees nothing of it
    try:
        remote = backend.retrieve(row["remote_id"])
        if remote.status not in TERMINAL_STATUSES:
            log.info("batch %s: lost, but there again: %s", row["id"], remote.status)
            postpone(ctx, row, _SOON_S)
            return
        fetch_all(ctx, row, remote)
    except NotFound:
        return
    except BackendError as exc:
        log.info("batch %s: lost, and could not be looked for: %s", row["id"], exc)
        postpone(ctx, row, _SOON_S)
        return
    if not lacks_answers(remote):
        _reopen(ctx, row, remote, ctx.clock.now())


def note_reappeared(ctx: PassContext, row: sqlite3.Row, remote: RemoteBatch) -> None:
    """A listing shows a LOST batch: the next look is now. One whose creation was in doubt learns its name."""
    with ctx.ledger.transaction():
        update_batch(ctx.ledger, row["id"], next_at=0, **remote_columns(remote))


def _reopen(ctx: PassContext, row: sqlite3.Row, remote: RemoteBatch, now: int) -> None:
    with ctx.ledger.transaction():
        move_batch(
            ctx.ledger,
            row["id"],
            before=BatchState.LOST,
            event=BatchEvent.REAPPEARED,
            at=now,
            detail={"remote": remote.id, "status": remote.status},
            ended_at=now,
            next_at=0,
            errors=0,
            misses=0,
            reason=None,
            **remote_columns(remote),
        )
        reopen_items(ctx.ledger, row, now)
    log.info("batch %s: lost -> ended remote=%s", row["id"], remote.id)
    ctx.observer("reappeared", batch=row["id"], job=row["job"], remote=remote.id)
