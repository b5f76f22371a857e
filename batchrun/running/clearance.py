"""The look before anything is bought: does the service know batches of ours that this ledger does not, or a twin of this one?

An older copy of a ledger would send again what a newer one has sent, and nothing in the home can show that: only the service can. So each
pass reads the listing once before its first create, one page as a rule. After a take-over nothing is created before a complete listing, read
SETTLE later, was clean; else a service whose listing does not work is taken at its word.
"""

import logging
import sqlite3
from typing import Final

from batchrun.backends.base import Backend
from batchrun.errors import BackendError
from batchrun.ledger.batches import update_batch
from batchrun.ledger.takeover import forget_look, look_first_since
from batchrun.running.audit import audit
from batchrun.running.context import PassContext
from batchrun.running.listing import MARGIN_S, Listing, failed_lately, note_failure, read_listing
from batchrun.running.twins import find_twin, stay_back

log = logging.getLogger(__name__)

_TWINS_S: Final = 26 * 3_600  # a batch that has not ended is not much older than its window
_TWIN_PAGES: Final = 10
_DAY_S: Final = 86_400
_AGAIN_S: Final = 60


def may_create(ctx: PassContext, row: sqlite3.Row) -> bool:
    """Whether an UPLOADED batch may be created now; where it may not, the ledger says why and when to try again."""
    profile = row["profile"]
    backend = ctx.backend(profile)
    if backend.traits.executes_in_process:
        return True  # the service is a folder of this very home
    if profile not in ctx.looked:
        ctx.looked[profile] = _look(ctx, backend, profile)
    listing = ctx.looked[profile]
    if listing is None:
        return False
    if (reason := _held(ctx, profile)) is not None:
        _put_off(ctx, row, reason)
        return False
    twin = find_twin(ctx, row, listing.batches)
    if twin is not None:
        stay_back(ctx, row, twin)
        return False
    return True


def _look(ctx: PassContext, backend: Backend, profile: str) -> Listing | None:
    """Read and audit the listing, once in this pass; None where one must be clean first, and this is not that one."""
    now, ledger = ctx.clock.now(), ctx.ledger
    since = look_first_since(ledger, profile)
    nothing = Listing(batches=(), is_complete=False, server_time=None)
    if since is None and (not backend.traits.listing_echoes or failed_lately(ledger, profile, now)):
        return nothing
    floor = _known_until(ctx, profile)
    try:
        if since is None:
            listing = read_listing(backend, min(floor, now - _TWINS_S), pages=_TWIN_PAGES)
        else:
            listing = read_listing(backend, floor)
    except BackendError as exc:
        log.info("profile %s: no listing before a create: %s", profile, exc)
        note_failure(ledger, profile, now)
        if since is not None:
            ctx.fail(profile, exc)
            return None
        return nothing
    audit(ctx, profile, backend, listing)
    if since is not None and not _is_believed(ctx, backend, profile, listing, since):
        return None
    return listing


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
    now = ctx.clock.now()
    wait = backend.traits.settle_s - (now - since)
    if _held(ctx, profile) is not None:
        return True  # it is not clean: the hold says so, and stops everything
    if listing.is_complete and wait <= 0:
        forget_look(ctx.ledger, profile)
        return True
    reason = "after the take-over nothing is sent before the service has been looked through"
    for row in list(
        ctx.ledger.rows("select * from batch_rows where profile = ? and state = 1", (profile,))
    ):
        _put_off(ctx, row, reason, wait)
    return False


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
