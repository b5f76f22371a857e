"""Sweeping: one complete reading of a service's recent batches. It finds what we created without learning of it, and what should not be there.

Absence is believed only of a complete listing, after a first wait, a fence and a second wait; anything less keeps waiting.
"""

import logging
import sqlite3
from dataclasses import dataclass
from typing import Final

from batchrun.backends.base import TERMINAL_STATUSES, Backend, RemoteBatch
from batchrun.errors import BackendError, NotFound
from batchrun.ledger.batches import add_incident, move_batch, update_batch
from batchrun.ledger.states import FINAL_BATCH_STATES, BatchEvent, BatchState
from batchrun.planning.classify import Outcome
from batchrun.planning.policy import INTENT_MOST_S
from batchrun.running.collect import collect
from batchrun.running.context import PassContext
from batchrun.running.observe import observe
from batchrun.running.send import hold, is_recorded_elsewhere, record_created

log = logging.getLogger(__name__)

_PAGE: Final = 100
_MARGIN_S: Final = 600  # a sweep reads back to this much before the oldest input file in question
_FOREVER: Final = 2**40


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What a listing showed. `server_time` is the service's clock at its first page, or None."""

    batches: tuple[RemoteBatch, ...]
    is_complete: bool
    server_time: int | None


def read_listing(backend: Backend, floor: int) -> Listing:
    """Page through batches.list, newest first, until everything older than `floor` (the service's clock) is passed or the end is reached.

    Complete only if no id came twice, created_at never rose, and every page that said there was more was followed by one with something on
    it. Raises BackendError when a page cannot be had.
    """
    seen: dict[str, RemoteBatch] = {}
    server_time: int | None = None
    after: str | None = None
    last = _FOREVER
    while True:
        page = backend.list_batches(after=after, limit=_PAGE)
        server_time = page.server_time if after is None else server_time
        for remote in page.batches:
            if remote.id in seen or remote.created_at > last:
                return Listing(
                    batches=tuple(seen.values()), is_complete=False, server_time=server_time
                )
            seen[remote.id] = remote
            last = remote.created_at
        if not page.batches and after is not None:  # the page before said that there was more
            return Listing(batches=tuple(seen.values()), is_complete=False, server_time=server_time)
        if not page.has_more or last < floor:
            return Listing(batches=tuple(seen.values()), is_complete=True, server_time=server_time)
        if not page.batches:
            return Listing(batches=(), is_complete=False, server_time=server_time)
        after = page.batches[-1].id


def sweep(ctx: PassContext, profile: str) -> None:
    """Find and audit for every batch of the profile that is in doubt or under audit; note the statuses of the others on the way."""
    backend = ctx.backend(profile)
    rows = list(
        ctx.ledger.rows(
            "select * from batch_rows where profile = ? and (state = ? or audit_until > ?) order by id",
            (profile, BatchState.CREATING, ctx.clock.now()),
        )
    )
    if not rows:
        return  # the last of them was settled, or its audit ended, since this was planned
    floor = min((row["input_file_created_at"] or 0) for row in rows) - _MARGIN_S
    try:
        listing = read_listing(backend, floor)
    except BackendError as exc:
        _wait(ctx, rows)
        ctx.fail(profile, exc)
        return
    _audit(ctx, profile, backend, listing)
    for row in rows:
        if row["state"] == BatchState.CREATING:
            _find(ctx, backend, row, listing)
        elif row["state"] in FINAL_BATCH_STATES or row["next_at"] <= ctx.clock.now():
            # Looked at. What else is due for it is in the same plan; what cannot be done now must not make us sweep again at once.
            with ctx.ledger.transaction():
                delay = max(backend.traits.poll_s, 60)
                update_batch(ctx.ledger, row["id"], next_at=ctx.clock.now() + delay)
    _note_statuses(ctx, profile, listing)


def _find(ctx: PassContext, backend: Backend, row: sqlite3.Row, listing: Listing) -> None:
    now = ctx.clock.now()
    hits = sorted(
        (
            remote
            for remote in listing.batches
            if _is_of(ctx, remote, row)
            and not is_recorded_elsewhere(ctx.ledger, remote.id, row["id"])
        ),
        key=lambda r: (r.created_at, r.id),
    )
    if hits:
        # However it ended, it is ours; of several the earliest that did not fail is the one, and the audit cancels the rest.
        chosen = next((r for r in hits if r.status != "failed"), hits[0])
        record_created(ctx, row, chosen, is_first=False)
        if len(hits) > 1:
            _cancel_duplicates(ctx, backend, row, [r for r in hits if r.id != chosen.id])
        return
    if not listing.is_complete:
        _put_next(ctx, row, now + 60, "the service's listing was not complete; looking again")
        return
    if not backend.traits.listing_echoes:
        _put_next(
            ctx,
            row,
            now + 3_600,
            "this service's listing shows neither metadata nor input file: look for the batch yourself",
        )
        return
    if now - row["intent_at"] > INTENT_MOST_S:
        _lose(
            ctx, row, "an unanswered creation of more than 7 days ago cannot be disproved any more"
        )
        return
    if row["fenced_at"] is None:
        _settle_then_fence(ctx, backend, row, listing, now)
    else:
        _settle_then_redo(ctx, backend, row, listing, now)


def _settle_then_fence(
    ctx: PassContext, backend: Backend, row: sqlite3.Row, listing: Listing, now: int
) -> None:
    wait = _settle_left(
        backend.traits.settle_s, now, row["intent_at"], listing.server_time, row["intent_server_at"]
    )
    if row["intent_server_at"] is None and listing.server_time is not None:
        # The service's own clock is read after the intent, so counting from here can only be longer.
        with ctx.ledger.transaction():
            update_batch(ctx.ledger, row["id"], intent_server_at=listing.server_time)
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
        _find(
            ctx, backend, fresh, read_listing(backend, fresh["input_file_created_at"] - _MARGIN_S)
        )


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


def _audit(ctx: PassContext, profile: str, backend: Backend, listing: Listing) -> None:
    """A remote batch with a token of ours that is not the recorded one is a duplicate; a token of ours that we do not know is worse."""
    ledger_id = ctx.ledger.meta("ledger")
    for remote in listing.batches:
        token = remote.metadata.get("batchrun")
        if token is None:
            continue
        row = ctx.ledger.row("select * from batch_rows where token = ?", (token,))
        if row is None:
            if remote.metadata.get("batchrun_ledger") == ledger_id:
                _refuse_older_ledger(ctx, profile, remote)
            continue
        if row["remote_id"] not in (None, remote.id) and not _is_known_dead(ctx, remote, row):
            _cancel_duplicates(ctx, backend, row, [remote])


def _refuse_older_ledger(ctx: PassContext, profile: str, remote: RemoteBatch) -> None:
    reason = (
        f"the service knows batch {remote.id} of this ledger, and this ledger does not: it is older than the service. "
        "Nothing is sent. Restore the newest copy of the home."
    )
    with ctx.ledger.transaction():
        hold(ctx, profile, "", _FOREVER, reason)
        add_incident(
            ctx.ledger, at=ctx.clock.now(), kind="older_ledger", message=reason, detail=remote.raw
        )


def _cancel_duplicates(
    ctx: PassContext, backend: Backend, row: sqlite3.Row, extra: list[RemoteBatch]
) -> None:
    for remote in extra:
        with ctx.ledger.transaction():
            add_incident(
                ctx.ledger,
                at=ctx.clock.now(),
                kind="duplicate_batch",
                message=f"batch {row['id']} exists twice on the service: {remote.id} is not the recorded one and is cancelled",
                job=row["job"],
                batch=row["id"],
                detail=remote.raw,
            )
        if remote.status not in TERMINAL_STATUSES and remote.status != "cancelling":
            try:
                backend.cancel(remote.id)
            except BackendError as exc:
                log.warning("batch %s: duplicate %s not cancelled: %s", row["id"], remote.id, exc)


def _note_statuses(ctx: PassContext, profile: str, listing: Listing) -> None:
    by_id = {remote.id: remote for remote in listing.batches}
    for row in list(
        ctx.ledger.rows(
            "select * from batch_rows where profile = ? and state = ?",
            (profile, BatchState.CREATED),
        )
    ):
        if (remote := by_id.get(row["remote_id"])) is not None:
            observe(ctx, row, remote)


def _is_of(ctx: PassContext, remote: RemoteBatch, row: sqlite3.Row) -> bool:
    if remote.metadata.get("batchrun") == row["token"]:
        return not _is_known_dead(ctx, remote, row)
    return remote.input_file_id is not None and remote.input_file_id == row["input_file_id"]


def _is_known_dead(ctx: PassContext, remote: RemoteBatch, row: sqlite3.Row) -> bool:
    """An earlier create of this row, with another upload of its file, which the service refused: it says nothing about the present one.

    Where the listing does not show input files, it is known by its id, which was recorded when it was created or found.
    """
    if remote.status != "failed":
        return False
    if remote.input_file_id is not None:
        return bool(remote.input_file_id != row["input_file_id"])
    return bool(
        ctx.ledger.value(
            "select 1 from events where batch = ? and event = ? and detail ->> '$.remote' = ?",
            (row["id"], BatchEvent.CREATED, remote.id),
        )
    )


def _lose(ctx: PassContext, row: sqlite3.Row, message: str) -> None:
    collect(
        ctx.ledger,
        row,
        [],
        missing=(Outcome.FAILED, "lost_result", message),
        event=BatchEvent.LOST,
        at=ctx.clock.now(),
        reason=message,
    )


def _put_next(ctx: PassContext, row: sqlite3.Row, next_at: int, reason: str) -> None:
    with ctx.ledger.transaction():
        update_batch(ctx.ledger, row["id"], next_at=next_at, reason=reason)


def _wait(ctx: PassContext, rows: list[sqlite3.Row]) -> None:
    with ctx.ledger.transaction():
        for row in rows:
            update_batch(ctx.ledger, row["id"], next_at=ctx.clock.now() + 60)
