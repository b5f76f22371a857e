"""Sweeping: one complete reading of a service's recent batches. It finds what we created without learning of it, and what should not be there.

Absence is believed only of a complete listing, after a first wait, a fence and a second wait; anything less keeps waiting.
"""

import logging
import sqlite3
from typing import Final

from batchrun.backends.base import TERMINAL_STATUSES, Backend
from batchrun.errors import BackendError, NotFound
from batchrun.ledger.batches import move_batch, update_batch
from batchrun.ledger.bills import free_presumed
from batchrun.ledger.states import FINAL_BATCH_STATES, BatchEvent, BatchState
from batchrun.planning.policy import INTENT_MOST_S, LOST_MOST_S
from batchrun.running.audit import audit
from batchrun.running.context import PassContext
from batchrun.running.finding import own_batch, own_batches
from batchrun.running.listing import MARGIN_S, Listing, read_listing
from batchrun.running.lost import give_up, note_reappeared
from batchrun.running.observe import observe
from batchrun.running.results import never_ran
from batchrun.running.send import record_created

log = logging.getLogger(__name__)

_PERSON_S: Final = 3_600  # between two reminders that a person is needed


def sweep(ctx: PassContext, profile: str) -> None:
    """Find and audit for every batch of the profile that is in doubt or under audit; note the statuses of the others on the way."""
    backend = ctx.backend(profile)
    rows = list(
        ctx.ledger.rows(
            "select * from batch_rows where profile = ?1 and (state = ?2 or audit_until > ?3 "
            "or (state = ?4 and remote_id is null and intent_at > ?3 - ?5)) order by id",
            (profile, BatchState.CREATING, ctx.clock.now(), BatchState.LOST, LOST_MOST_S),
        )
    )
    if not rows:
        return  # the last of them was settled, or its audit ended, since this was planned
    floor = min((row["input_file_created_at"] or 0) for row in rows) - MARGIN_S
    try:
        listing = read_listing(backend, floor)
    except BackendError as exc:
        _wait(ctx, rows)
        ctx.fail(profile, exc)
        return
    audit(ctx, profile, backend, listing)
    for row in rows:
        if row["state"] == BatchState.CREATING:
            _find(ctx, backend, row, listing)
        elif row["state"] == BatchState.LOST and row["remote_id"] is None:
            # An intent that grew too old to be disproved: its batch may show up all the same.
            if (found := own_batch(ctx, backend, row, listing)) is not None:
                note_reappeared(ctx, row, found)
        elif row["state"] == BatchState.REJECTED:
            _release_refused(ctx, backend, row, listing)
        elif row["state"] in FINAL_BATCH_STATES or row["next_at"] <= ctx.clock.now():
            # Looked at. What else is due for it is in the same plan; what cannot be done now must not make us sweep again at once.
            with ctx.ledger.transaction():
                delay = max(backend.traits.poll_s, 60)
                update_batch(ctx.ledger, row["id"], next_at=ctx.clock.now() + delay)
    _note_statuses(ctx, profile, listing)


def _find(ctx: PassContext, backend: Backend, row: sqlite3.Row, listing: Listing) -> None:
    now = ctx.clock.now()
    chosen = own_batch(ctx, backend, row, listing)
    if chosen is not None:
        record_created(ctx, row, chosen, is_first=False)
        return
    if not listing.is_complete:
        _put_next(ctx, row, now + 60, "the service's listing was not complete; looking again")
        return
    if not backend.traits.listing_echoes:
        _ask_a_person(ctx, row, now)
        return
    if now - row["intent_at"] > INTENT_MOST_S:
        give_up(
            ctx, row, "an unanswered creation of more than 7 days ago cannot be disproved any more"
        )
        return
    if row["fenced_at"] is None:
        _settle_then_fence(ctx, backend, row, listing, now)
    else:
        _settle_then_redo(ctx, backend, row, listing, now)


def _release_refused(
    ctx: PassContext, backend: Backend, row: sqlite3.Row, listing: Listing
) -> None:
    """A creation that was refused and is not listed: after SETTLE a complete listing ends its audit, and its items may be asked again."""
    now = ctx.clock.now()
    wait = _intent_settle_left(ctx, backend, row, listing, now)
    is_over = wait <= 0 and listing.is_complete and ctx.is_account_of(row)
    is_absent = all(map(never_ran, own_batches(ctx, row, listing)))
    with ctx.ledger.transaction():
        # Audited already in this sweep, and perhaps readmitted: then this says nothing about it.
        ctx.ledger.execute(
            "update batch_rows set audit_until = case when ?1 then null else audit_until end, next_at = ?2 where id = ?3 and state = ?4",
            (is_over, now + min(max(wait, 60), 300), row["id"], BatchState.REJECTED),
        )
        if is_over and is_absent:
            free_presumed(ctx.ledger, row["id"])


def _intent_settle_left(
    ctx: PassContext, backend: Backend, row: sqlite3.Row, listing: Listing, now: int
) -> int:
    """Seconds until a creation of this intent would be listed."""
    if row["intent_server_at"] is None and listing.server_time is not None:
        # The service's own clock is read after the intent, so counting from here can only be longer.
        with ctx.ledger.transaction():
            update_batch(ctx.ledger, row["id"], intent_server_at=listing.server_time)
    return _settle_left(
        backend.traits.settle_s, now, row["intent_at"], listing.server_time, row["intent_server_at"]
    )


def _settle_then_fence(
    ctx: PassContext, backend: Backend, row: sqlite3.Row, listing: Listing, now: int
) -> None:
    wait = _intent_settle_left(ctx, backend, row, listing, now)
    if wait > 0:
        _put_next(
            ctx, row, now + min(wait, 60), "waiting until an unanswered creation would be listed"
        )
        return
    try:
        fenced = _fence(ctx, backend, row)
    except BackendError as exc:
        _put_next(ctx, row, now + 60, f"the input file could not be deleted: {exc}")
        return
    if not fenced:
        _put_next(ctx, row, now + 60, "the input file could not be deleted yet")
        return
    with ctx.ledger.transaction():
        update_batch(
            ctx.ledger,
            row["id"],
            fenced_at=now,
            fenced_server_at=listing.server_time,
            next_at=now + min(backend.traits.second_settle_s, 60),
            reason="the input file is deleted; waiting once more before it is sent anew",
        )
    log.info("batch %s: fenced %s", row["id"], row["input_file_id"])
    if backend.traits.second_settle_s == 0:
        fresh = ctx.ledger.row("select * from batch_rows where id = ?", (row["id"],))
        assert fresh is not None
        _find(ctx, backend, fresh, read_listing(backend, fresh["input_file_created_at"] - MARGIN_S))


def _fence(ctx: PassContext, backend: Backend, row: sqlite3.Row) -> bool:
    """Delete the input file, so that a create still on its way must fail. True only when it is known to be gone."""
    file_id = row["input_file_id"]
    if row["file_seen_at"] is None:
        try:
            backend.get_file(file_id)
        except NotFound:
            # Never seen by this account: a 404 says nothing about the file.
            return False
        with ctx.ledger.transaction():
            update_batch(ctx.ledger, row["id"], file_seen_at=ctx.clock.now())
    try:
        return backend.delete_file(file_id)
    except NotFound:
        return True  # this account could see it before: it is gone


def _settle_then_redo(
    ctx: PassContext, backend: Backend, row: sqlite3.Row, listing: Listing, now: int
) -> None:
    wait = _settle_left(
        backend.traits.second_settle_s,
        now,
        row["fenced_at"],
        listing.server_time,
        row["fenced_server_at"],
    )
    if row["fenced_server_at"] is None and listing.server_time is not None:
        # The listing before the fence bore no Date: as with the intent, counting from here can only be longer.
        with ctx.ledger.transaction():
            update_batch(ctx.ledger, row["id"], fenced_server_at=listing.server_time)
    if wait > 0:
        _put_next(
            ctx,
            row,
            now + min(wait, 60),
            "the input file is deleted; waiting once more before it is sent anew",
        )
        return
    with ctx.ledger.transaction():
        move_batch(
            ctx.ledger,
            row["id"],
            before=BatchState.CREATING,
            event=BatchEvent.ABSENT,
            at=now,
            detail={"proof": "fenced, swept twice"},
            next_at=0,
            input_file_id=None,
            reason=None,
        )


def _settle_left(
    settle_s: int, now: int, since: int, server_now: int | None, server_since: int | None
) -> int:
    """Seconds still to wait: the shorter of the two elapsed times counts, so that neither clock's jump shortens the wait."""
    elapsed = now - since
    if server_now is not None:
        elapsed = min(elapsed, server_now - server_since if server_since is not None else 0)
    return settle_s - max(elapsed, 0)


def _note_statuses(ctx: PassContext, profile: str, listing: Listing) -> None:
    by_id = {remote.id: remote for remote in listing.batches}
    for row in list(
        ctx.ledger.rows(
            "select * from batch_rows where profile = ? and state in (?, ?) and remote_id is not null",
            (profile, BatchState.CREATED, BatchState.LOST),
        )
    ):
        remote = by_id.get(row["remote_id"])
        if remote is None:
            continue
        if row["state"] == BatchState.CREATED:
            observe(ctx, row, remote)
        elif remote.status in TERMINAL_STATUSES and row["remote_status"] != remote.status:
            note_reappeared(ctx, row, remote)


def _ask_a_person(ctx: PassContext, row: sqlite3.Row, now: int) -> None:
    reason = (
        f"batch {row['id']} may have been created, and this service's listing shows neither metadata nor input file. "
        f"Look for it there, then tell what you found: `batchrun resolve {row['id']} --is BATCH_ID`, or "
        f"`batchrun resolve {row['id']} --absent`. Until then nothing of it is sent."
    )
    _put_next(ctx, row, now + _PERSON_S, reason, needs_person=True)
    ctx.note(BackendError(reason), profile=row["profile"], job=row["job"])


def _put_next(
    ctx: PassContext, row: sqlite3.Row, next_at: int, reason: str, *, needs_person: bool = False
) -> None:
    with ctx.ledger.transaction():
        update_batch(
            ctx.ledger, row["id"], next_at=next_at, reason=reason, needs_person=needs_person
        )


def _wait(ctx: PassContext, rows: list[sqlite3.Row]) -> None:
    with ctx.ledger.transaction():
        for row in rows:
            update_batch(ctx.ledger, row["id"], next_at=ctx.clock.now() + 60)
