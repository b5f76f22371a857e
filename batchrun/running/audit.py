"""What should not be on the service: a second batch of one intent, and batches of this ledger that this ledger does not know."""

import logging
import sqlite3
from typing import Final

from batchrun.backends.base import TERMINAL_STATUSES, Backend, RemoteBatch
from batchrun.errors import BackendError
from batchrun.ledger.batches import add_incident, wordless
from batchrun.ledger.origins import is_stray, own_ledgers
from batchrun.ledger.states import BatchEvent, BatchState
from batchrun.model import LEDGER_KEY, TOKEN_KEY
from batchrun.planning.policy import FOREVER
from batchrun.running.context import PassContext
from batchrun.running.listing import Listing
from batchrun.running.refusing import hold

log = logging.getLogger(__name__)

# Where the recorded batch is not known yet, one that bears the token is not a second one: it is this one, and gets found.
_TO_BE_FOUND: Final = frozenset(
    {BatchState.PLANNED, BatchState.UPLOADED, BatchState.CREATING, BatchState.LOST}
)


def audit(ctx: PassContext, profile: str, backend: Backend, listing: Listing) -> None:
    """A remote batch with a token of ours that is not the recorded one is a duplicate; a token of ours that we do not know is worse."""
    ours = own_ledgers(ctx.ledger)
    for remote in listing.batches:
        token = remote.metadata.get(TOKEN_KEY)
        if token is None:
            continue
        row = ctx.ledger.row("select * from batch_rows where token = ?", (token,))
        if row is None:
            is_ours = remote.metadata.get(LEDGER_KEY) in ours
            if is_ours and not is_stray(ctx.ledger, remote.id):
                _refuse_older_ledger(ctx, profile, remote)
            continue
        if row["remote_id"] == remote.id or is_known_dead(ctx, remote, row):
            continue
        if row["remote_id"] is not None or row["state"] not in _TO_BE_FOUND:
            cancel_duplicates(ctx, backend, row, [remote])


def _refuse_older_ledger(ctx: PassContext, profile: str, remote: RemoteBatch) -> None:
    reason = (
        f"the service knows batch {remote.id} of this ledger, and this ledger does not: it is older than the service. "
        "Nothing is sent. Restore the newest copy of the home, or bring back what it lacks with `batchrun recover`."
    )
    ctx.problems.append(BackendError(reason))
    with ctx.ledger.transaction():
        hold(ctx, profile, "", FOREVER, reason)
        add_incident(
            ctx.ledger,
            at=ctx.clock.now(),
            kind="older_ledger",
            message=reason,
            detail=wordless(remote.raw),
        )


def cancel_duplicates(
    ctx: PassContext, backend: Backend, row: sqlite3.Row, extra: list[RemoteBatch]
) -> None:
    """Cancel batches that bear the token of `row` and are not the recorded one; each is an incident, whether or not that works."""
    for remote in extra:
        with ctx.ledger.transaction():
            add_incident(
                ctx.ledger,
                at=ctx.clock.now(),
                kind="duplicate_batch",
                message=_extra(row, remote),
                job=row["job"],
                batch=row["id"],
                detail=remote.raw,
            )
        if remote.status not in TERMINAL_STATUSES and remote.status != "cancelling":
            try:
                backend.cancel(remote.id)
            except BackendError as exc:
                log.warning("batch %s: duplicate %s not cancelled: %s", row["id"], remote.id, exc)


def _extra(row: sqlite3.Row, remote: RemoteBatch) -> str:
    if row["state"] == BatchState.REJECTED:
        return (
            f"the creation of batch {row['id']} was refused, and the service has it all the same: {remote.id} is cancelled. "
            "What it has answered by then may be billed."
        )
    return f"batch {row['id']} exists twice on the service: {remote.id} is not the recorded one and is cancelled"


def is_known_dead(ctx: PassContext, remote: RemoteBatch, row: sqlite3.Row) -> bool:
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
