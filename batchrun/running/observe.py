"""Noting what a service says of a batch, and polling for it: CREATED -> ENDED, or due again later."""

import logging
import sqlite3
from typing import Final

from batchrun.backends.base import TERMINAL_STATUSES, RemoteBatch
from batchrun.errors import BackendError, NotFound
from batchrun.ledger.batches import move_batch, remote_columns, update_batch
from batchrun.ledger.states import BatchEvent, BatchState
from batchrun.ledger.submissions import settings_from_json
from batchrun.planning.classify import Outcome
from batchrun.planning.policy import error_delay_s, poll_delay_s
from batchrun.running.collect import collect
from batchrun.running.context import PassContext
from batchrun.running.send import put_off

log = logging.getLogger(__name__)

_YOUNG_S: Final = (
    900  # a batch that cannot be found is believed gone only when it is older than this
)
_GONE_AFTER: Final = 5  # polls in a row that answer 404
_RUNNING: Final = frozenset({"in_progress", "finalizing", "completed"})
_PAGE: Final = 100


def observe(ctx: PassContext, row: sqlite3.Row, remote: RemoteBatch) -> None:
    """Store what the service says of a CREATED batch; an end moves it on."""
    now, ledger = ctx.clock.now(), ctx.ledger
    with ledger.transaction():
        if remote.status in _RUNNING:
            # It fits into the service's queue: refusals of this model are no longer in a row.
            ledger.execute(
                "delete from holds where profile = ? and model = ? and until <= ?",
                (row["profile"], row["model"], now),
            )
        if remote.status in TERMINAL_STATUSES:
            move_batch(
                ledger,
                row["id"],
                before=BatchState.CREATED,
                event=BatchEvent.ENDED,
                at=now,
                detail={"status": remote.status},
                ended_at=now,
                next_at=0,
                errors=0,
                misses=0,
                reason=None,
                **remote_columns(remote),
            )
        else:
            delay = poll_delay_s(
                now - row["created_at"], ctx.backends[row["profile"]].traits.poll_s
            )
            update_batch(
                ledger,
                row["id"],
                next_at=now + delay,
                polls=row["polls"] + 1,
                errors=0,
                misses=0,
                reason=None,
                **remote_columns(remote),
            )
    ctx.observer(
        "status",
        batch=row["id"],
        job=row["job"],
        status=remote.status,
        completed=remote.completed_count,
        failed=remote.failed_count,
        total=remote.total_count,
    )


def poll(ctx: PassContext, profile: str, batch_ids: tuple[int, ...]) -> None:
    """Ask for the status of these CREATED batches: by listing where that takes fewer calls, else one by one."""
    backend = ctx.backend(profile)
    rows = {
        row["remote_id"]: row
        for row in list(
            ctx.ledger.rows(
                "select * from batch_rows where profile = ? and state = ?",
                (profile, BatchState.CREATED),
            )
        )
    }
    wanted = {r["remote_id"] for r in rows.values() if r["id"] in set(batch_ids)}
    try:
        after: str | None = None
        # A page is one call for up to a hundred batches: it pays while more are wanted than pages were spent.
        pages = 0
        while len(wanted) > 1 + pages:
            page = backend.list_batches(after=after, limit=_PAGE)
            pages += 1
            for remote in page.batches:
                row = rows.pop(remote.id, None)
                if row is not None:
                    wanted.discard(remote.id)
                    observe(ctx, row, remote)
            if not page.has_more or not page.batches:
                break
            after = page.batches[-1].id
    except BackendError as exc:
        _put_off_all(ctx, [rows[i] for i in wanted if i in rows], exc)
        return
    for remote_id in sorted(wanted):
        row = rows[remote_id]
        try:
            observe(ctx, row, backend.retrieve(remote_id))
        except NotFound as exc:
            _not_found(ctx, row, exc)
        except BackendError as exc:
            _put_off_all(ctx, [rows[i] for i in wanted if i in rows], exc)
            return


def cancel(ctx: PassContext, row: sqlite3.Row) -> None:
    """Ask the service to cancel; what it has finished is collected all the same when the batch has ended."""
    backend = ctx.backend(row["profile"])
    try:
        remote = backend.cancel(row["remote_id"])
    except NotFound as exc:
        _not_found(ctx, row, exc)
        return
    except BackendError as exc:
        put_off(ctx, row, exc)
        return
    with ctx.ledger.transaction():
        update_batch(ctx.ledger, row["id"], cancel_sent_at=ctx.clock.now())
    observe(ctx, row, remote)


def _not_found(ctx: PassContext, row: sqlite3.Row, exc: NotFound) -> None:
    """A batch may be invisible when it is young; later, and again and again, it is lost: never silently asked anew."""
    now, misses = ctx.clock.now(), row["misses"] + 1
    if now - row["created_at"] < _YOUNG_S or misses < _GONE_AFTER:
        with ctx.ledger.transaction():
            update_batch(
                ctx.ledger,
                row["id"],
                misses=misses,
                next_at=now + error_delay_s(misses, None),
                reason=str(exc),
            )
        return
    settings = settings_from_json(
        ctx.ledger.value("select settings from jobs where id = ?", (row["job"],))
    )
    message = f"the service no longer knows batch {row['remote_id']}"
    collect(
        ctx.ledger,
        row,
        settings,
        [],
        missing=(Outcome.FAILED, "lost_result", message),
        event=BatchEvent.LOST,
        at=now,
        reason=message,
    )
    ctx.observer("lost", batch=row["id"], job=row["job"], message=message)


def _put_off_all(ctx: PassContext, rows: list[sqlite3.Row], exc: BackendError) -> None:
    now = ctx.clock.now()
    with ctx.ledger.transaction():
        for row in rows:
            errors = row["errors"] + 1
            update_batch(
                ctx.ledger,
                row["id"],
                errors=errors,
                next_at=now + error_delay_s(errors, exc.retry_after_s),
                reason=str(exc),
            )
    if rows:
        ctx.fail(rows[0]["profile"], exc)
