"""Creations that the service refused for good, and which took effect all the same.

A typed refusal is believed: the items fail at once, and nobody waits. But the batch stays under audit until a complete listing, read SETTLE
after the intent, does not show it, and until then its requests are not sent again. Where a listing shows it, what it answers was paid: its
items go back into it.
"""

import logging
import sqlite3

from batchrun.backends.base import Backend, RemoteBatch
from batchrun.ledger.batches import add_incident, move_batch, remote_columns
from batchrun.ledger.bills import reopen_bill
from batchrun.ledger.reopening import reopen_refused
from batchrun.ledger.states import BatchEvent, BatchState
from batchrun.running.context import PassContext
from batchrun.running.finding import own_batches
from batchrun.running.listing import Listing
from batchrun.running.results import never_ran

log = logging.getLogger(__name__)


def readmit(ctx: PassContext, profile: str, backend: Backend, listing: Listing) -> None:
    """Take back refused batches of this profile that the listing shows, with those of their items that were not sent again."""
    for row in list(
        ctx.ledger.rows(
            "select * from batch_rows where profile = ? and state = ? and remote_id is null and audit_until > ?",
            (profile, BatchState.REJECTED, ctx.clock.now()),
        )
    ):
        found = own_batches(ctx, row, listing)
        # One that failed before anything ran says the same as the refusal.
        if found and not never_ran(found[0]):
            _take_back(ctx, backend, row, found[0])


def _take_back(ctx: PassContext, backend: Backend, row: sqlite3.Row, remote: RemoteBatch) -> None:
    now, traits = ctx.clock.now(), backend.traits
    message = (
        f"the service refused to create batch {row['id']} ({row['reason']}), and has it all the same, as {remote.id}: "
        "it is taken back, with those of its items that were not asked again"
    )
    with ctx.ledger.transaction():
        if not reopen_refused(ctx.ledger, row, now):
            return  # all of it was asked again: it is a duplicate
        move_batch(
            ctx.ledger,
            row["id"],
            before=BatchState.REJECTED,
            event=BatchEvent.REAPPEARED,
            at=now,
            detail={"remote": remote.id},
            created_at=now,
            collected_at=None,
            lost_at=now,
            next_at=0,
            polls=0,
            errors=0,
            audit_until=now + 2 * (traits.settle_s + traits.second_settle_s),
            reason=None,
            **remote_columns(remote),
        )
        reopen_bill(ctx.ledger, row["id"])
        add_incident(
            ctx.ledger,
            at=now,
            kind="refused_batch",
            message=message,
            job=row["job"],
            batch=row["id"],
            detail=remote.raw,
        )
    log.warning("batch %s: rejected -> created remote=%s", row["id"], remote.id)
    ctx.observer("reappeared", batch=row["id"], job=row["job"], remote=remote.id)
