"""The look before anything is bought: does the service know this very batch, others of ours that this ledger does not know, or a twin?

An older copy of a ledger would send again what a newer one has sent, and nothing in the home can show that: only the service can. So each
pass reads the listing once before its first create, one page as a rule. A batch that is there already is adopted and not bought. While the
listing cannot be had, nothing is created; only a service that says that it has none is taken at its word. After a take-over nothing is
created before a complete listing, read SETTLE later, was clean.
"""

import logging
import sqlite3
from typing import Final

from batchrun.backends.base import Backend, RemoteBatch
from batchrun.errors import BackendError
from batchrun.ledger.batches import move_batch, update_batch
from batchrun.ledger.connection import Ledger
from batchrun.ledger.states import BatchEvent, BatchState
from batchrun.ledger.takeover import forget_look, look_first_since
from batchrun.running.audit import audit
from batchrun.running.context import PassContext
from batchrun.running.finding import own_batch
from batchrun.running.listing import (
    MARGIN_S,
    Listing,
    Looked,
    lacks_listing,
    means_no_listing,
    note_failure,
    read_listing,
)
from batchrun.running.send import record_created
from batchrun.running.twins import find_twin, stay_back
from batchrun.windows import DEFAULT_WINDOW, window_s

log = logging.getLogger(__name__)

_TWINS_S: Final = 2 * 3_600  # how much older than its window a batch may be that has not ended
_TWIN_PAGES: Final = 10
_DAY_S: Final = 86_400
_AGAIN_S: Final = 60


def may_create(ctx: PassContext, row: sqlite3.Row) -> bool:
    """Whether an UPLOADED batch may be created now; where it may not, the ledger says why and when to try again."""
    profile = row["profile"]
    backend = ctx.backend(profile)
    if backend.traits.executes_in_process:
        return True  # the service is a folder of this very home
    looked = ctx.looked.get(profile)
    if looked is None or row["id"] in looked.asked:
        looked = ctx.looked[profile] = _look(ctx, backend, profile)
    if looked.blocked is not None:
        _put_off(ctx, row, looked.blocked, looked.wait_s)
        return False
    if (reason := _held(ctx, profile)) is not None:
        _put_off(ctx, row, reason)
        return False
    own = own_batch(ctx, backend, row, looked.listing)
    if own is not None:
        _adopt(ctx, row, own)
        return False
    twin = find_twin(ctx, row, looked.listing.batches)
    if twin is not None:
        stay_back(ctx, row, twin)
        return False
    looked.asked.add(row["id"])
    return True


def _look(ctx: PassContext, backend: Backend, profile: str) -> Looked:
    """Read and audit the listing; blocked where nothing may be created before another one was read."""
    now, ledger = ctx.clock.now(), ctx.ledger
    since = look_first_since(ledger, profile)
    if since is None and (not backend.traits.listing_echoes or lacks_listing(ledger, profile, now)):
        return Looked()
    floor = _known_until(ctx, profile)
    try:
        if since is None:
            oldest = now - _longest_window_s(ledger, profile) - _TWINS_S
            listing = read_listing(backend, min(floor, oldest), pages=_TWIN_PAGES)
        else:
            listing = read_listing(backend, floor)
    except BackendError as exc:
        log.info("profile %s: no listing before a create: %s", profile, exc)
        note_failure(ledger, profile, now, exc)
        if since is None and means_no_listing(exc):
            return Looked()
        ctx.note(exc, profile=profile)  # what was sent before is still polled
        return Looked(blocked=f"nothing is sent before the service has listed its batches: {exc}")
    audit(ctx, profile, backend, listing)
    if since is not None and not _is_believed(ctx, backend, profile, listing, since):
        return Looked(
            blocked="after the take-over nothing is sent before the service has been looked through",
            wait_s=backend.traits.settle_s - (now - since),
        )
    return Looked(listing=listing)


def _longest_window_s(ledger: Ledger, profile: str) -> int:
    """Of the batches that are to be created: a twin of one has its window."""
    rows = ledger.rows(
        "select distinct window from batch_rows where profile = ? and state = ?",
        (profile, BatchState.UPLOADED),
    )
    return max((window_s(row["window"]) for row in rows), default=window_s(DEFAULT_WINDOW))


def _adopt(ctx: PassContext, row: sqlite3.Row, remote: RemoteBatch) -> None:
    """The service has the batch already: an older ledger came back, or a create that was answered with a refusal took effect."""
    now = ctx.clock.now()
    with ctx.ledger.transaction():
        move_batch(
            ctx.ledger,
            row["id"],
            before=BatchState.UPLOADED,
            event=BatchEvent.INTENT,
            at=now,
            detail={"adopted": remote.id},
            creates=max(row["creates"], 1),
            intent_at=now,
            intent_server_at=None,
            fenced_at=None,
            fenced_server_at=None,
            input_file_id=remote.input_file_id or row["input_file_id"],
        )
    record_created(ctx, row, remote, is_first=False)


def _known_until(ctx: PassContext, profile: str) -> int:
    """The service's time up to which this ledger knows everything that it ever sent: what it lacks is newer."""
    known = ctx.ledger.value(
        "select max(input_file_created_at) from batch_rows where profile = ? and remote_id is not null",
        (profile,),
    )
    if known is None:
        begun = ctx.ledger.value("select min(created_at) from jobs where profile = ?", (profile,))
        known = int(begun or 0) - _DAY_S
    return int(known) - MARGIN_S


def _is_believed(
    ctx: PassContext, backend: Backend, profile: str, listing: Listing, since: int
) -> bool:
    """Whether this listing is the clean one that must come before the first create after a take-over."""
    if _held(ctx, profile) is not None:
        return True  # it is not clean: the hold says so, and stops everything
    if not listing.is_complete or ctx.clock.now() - since < backend.traits.settle_s:
        return False
    forget_look(ctx.ledger, profile)
    return True


def _held(ctx: PassContext, profile: str) -> str | None:
    reason = ctx.ledger.value(
        "select reason from holds where profile = ? and model = '' and until > ?",
        (profile, ctx.clock.now()),
    )
    return None if reason is None else str(reason)


def _put_off(ctx: PassContext, row: sqlite3.Row, reason: str, wait_s: int = 0) -> None:
    with ctx.ledger.transaction():
        update_batch(
            ctx.ledger,
            row["id"],
            next_at=ctx.clock.now() + max(wait_s, _AGAIN_S),
            reason=reason,
        )
