"""Noting what a service says of a batch, and polling for it: CREATED -> ENDED, or due again later."""

import logging
import sqlite3
from typing import Final, NamedTuple

from batchrun.backends.base import TERMINAL_STATUSES, RemoteBatch
from batchrun.backends.reading import printable
from batchrun.errors import BackendError, NotFound, Refused
from batchrun.ledger.batches import (
    add_incident,
    failed_call,
    move_batch,
    remote_columns,
    update_batch,
)
from batchrun.ledger.queues import NOT_ADMITTED
from batchrun.ledger.states import BatchEvent, BatchState
from batchrun.planning.policy import error_delay_s, poll_delay_s
from batchrun.running.context import PassContext
from batchrun.running.listing import failed_lately, note_failure
from batchrun.running.lost import give_up
from batchrun.running.queueing import learn_acceptance
from batchrun.running.twins import yield_to_twin
from batchrun.windows import window_s

log = logging.getLogger(__name__)

_YOUNG_S: Final = (
    900  # a batch that cannot be found is believed gone only when it is older than this
)
_GONE_AFTER: Final = 5  # polls in a row that answer 404
_RUNNING: Final = frozenset({"in_progress", "finalizing", "completed"})
_PAGE: Final = 100
_KNOWN: Final = TERMINAL_STATUSES | _RUNNING | {"validating", "cancelling"}
_STRANGE_POLL_S: Final = 3_600
_STRANGE_WINDOWS: Final = 2  # by then it should have ended


def observe(ctx: PassContext, row: sqlite3.Row, remote: RemoteBatch) -> None:
    """Store what the service says of a CREATED batch; an end moves it on."""
    now, ledger = ctx.clock.now(), ctx.ledger
    with ledger.transaction():
        if remote.status in _RUNNING and row["remote_status"] in NOT_ADMITTED:
            learn_acceptance(ctx, row)
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
            # One that was cancelled ends soon, however old it is: its age counts from then.
            since = row["cancel_sent_at"] or row["created_at"]
            delay = poll_delay_s(now - since, ctx.backends[row["profile"]].traits.poll_s)
            strange = None if remote.status in _KNOWN else _strange(ctx, row, remote)
            needs_person = strange is not None and (
                now - strange.since >= _STRANGE_WINDOWS * window_s(row["window"])
            )
            if needs_person:
                delay = max(delay, _STRANGE_POLL_S)
            update_batch(
                ledger,
                row["id"],
                next_at=now + delay,
                polls=row["polls"] + 1,
                errors=0,
                misses=0,
                reason=None if strange is None else strange.message,
                needs_person=needs_person,
                **remote_columns(remote),
            )
            if strange is not None and needs_person:
                ctx.note(BackendError(strange.message), profile=row["profile"], job=row["job"])
    ctx.observer(
        "status",
        batch=row["id"],
        job=row["job"],
        status=remote.status,
        completed=remote.completed_count,
        failed=remote.failed_count,
        total=remote.total_count,
    )


class _Strange(NamedTuple):
    """A status that this version does not know, and since when the batch has it."""

    message: str
    since: int


def _strange(ctx: PassContext, row: sqlite3.Row, remote: RemoteBatch) -> _Strange:
    """Note a status that nothing is known about: an incident at its first sight."""
    message = (
        f"batch {remote.id} has the status {printable(remote.status)!r}, which this version of batchrun does not know. "
        "It is polled on and nothing of it is sent again: look at it on the service."
    )
    add_incident(
        ctx.ledger,
        at=ctx.clock.now(),
        kind="unknown_status",
        message=message,
        job=row["job"],
        batch=row["id"],
        detail=remote.raw,
    )
    since = ctx.ledger.value(
        "select at from incidents where batch = ? and kind = 'unknown_status' and message = ?",
        (row["id"], message),
    )
    return _Strange(message, int(since))


def poll(ctx: PassContext, profile: str, batch_ids: tuple[int, ...]) -> None:
    """Ask for the status of these CREATED batches: by listing where that takes fewer calls, else one by one."""
    due = set(batch_ids)
    rows = {
        row["remote_id"]: row
        for row in list(
            ctx.ledger.rows(
                "select * from batch_rows where profile = ? and state = ?",
                (profile, BatchState.CREATED),
            )
        )
    }
    wanted = {r["remote_id"] for r in rows.values() if r["id"] in due}
    _observe_listed(ctx, profile, rows, wanted)
    # One that failed before comes last: what is wrong with it must not keep the others waiting.
    left = sorted((rows[i] for i in wanted), key=lambda row: (row["errors"], row["id"]))
    for number, row in enumerate(left):
        try:
            observe(ctx, row, ctx.backend(profile).retrieve(row["remote_id"]))
        except NotFound as exc:
            _not_found(ctx, row, exc)
        except Refused as exc:
            _put_off(ctx, [row], exc, error_delay_s(row["errors"] + 1, exc.retry_after_s))
            ctx.note(exc, profile=row["profile"], job=row["job"])  # it concerns this batch alone
        except BackendError as exc:
            delay = error_delay_s(row["errors"] + 1, exc.retry_after_s)
            _put_off(ctx, [row, *left[number:]], exc, delay)
            ctx.fail(profile, exc)
            return


def _observe_listed(
    ctx: PassContext, profile: str, rows: dict[str, sqlite3.Row], wanted: set[str]
) -> None:
    """Observe from the listing what it shows, taking that out of `rows` and `wanted`; nothing where the listing does not work.

    A batch is looked at for the first time in the listing, since that shows its twins too.
    """
    now, backend = ctx.clock.now(), ctx.backend(profile)
    if failed_lately(ctx.ledger, profile, now):
        return
    new = [row for i, row in rows.items() if i in wanted and not row["polls"]]
    listed: list[RemoteBatch] = []
    after: str | None = None
    # A page is one call for up to a hundred batches: it pays while more are wanted than pages were spent.
    pages = 0
    while len(wanted) > 1 + pages or (new and not pages):
        try:
            page = backend.list_batches(after=after, limit=_PAGE)
        except BackendError as exc:
            log.info("profile %s: no listing, asking one by one: %s", profile, exc)
            note_failure(ctx.ledger, profile, now, exc)
            return
        pages += 1
        listed += page.batches
        for remote in page.batches:
            row = rows.pop(remote.id, None)
            if row is not None:
                wanted.discard(remote.id)
                observe(ctx, row, remote)
        if not page.has_more or not page.batches:
            break
        after = page.batches[-1].id
    for row in new:
        yield_to_twin(ctx, row, listed)


def cancel(ctx: PassContext, row: sqlite3.Row) -> None:
    """Ask the service to cancel; what it has finished is collected all the same when the batch has ended.

    A refusal is told, and nothing else: the batch was just polled, and is asked again to end when it is polled next.
    """
    backend = ctx.backend(row["profile"])
    try:
        remote = backend.cancel(row["remote_id"])
    except Refused as exc:
        ctx.note(exc, profile=row["profile"], job=row["job"])
        return
    except BackendError as exc:
        ctx.fail(row["profile"], exc)
        return
    with ctx.ledger.transaction():
        update_batch(ctx.ledger, row["id"], cancel_sent_at=ctx.clock.now())
    told = ctx.ledger.row("select * from batch_rows where id = ?", (row["id"],))
    assert told is not None
    observe(ctx, told, remote)


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
                **failed_call(exc, now),
            )
        return
    message = f"the service no longer knows batch {row['remote_id']}"
    give_up(ctx, row, message)


def _put_off(ctx: PassContext, rows: list[sqlite3.Row], exc: BackendError, delay_s: int) -> None:
    """Poll these rows later; each time that a row is named counts as one error more, so one that is named twice comes after the others."""
    with ctx.ledger.transaction():
        for row in rows:
            ctx.ledger.execute(
                "update batch_rows set errors = errors + 1 where id = ?", (row["id"],)
            )
            update_batch(ctx.ledger, row["id"], next_at=ctx.clock.now() + delay_s, reason=str(exc))
        # The first is the one that was asked for.
        if said := failed_call(exc, ctx.clock.now()):
            update_batch(ctx.ledger, rows[0]["id"], **said)
