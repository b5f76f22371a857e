"""Which batch of a listing is the one of a row of ours: by the token in its metadata, or by its input file. A second one is cancelled."""

import logging
import sqlite3
from typing import Final

from batchrun.backends.base import TERMINAL_STATUSES, Backend, RemoteBatch
from batchrun.errors import BackendError
from batchrun.ledger.batches import add_incident
from batchrun.ledger.reserves import presume_again
from batchrun.ledger.states import BatchEvent, BatchState
from batchrun.model import TOKEN_KEY
from batchrun.running.context import PassContext
from batchrun.running.listing import Listing
from batchrun.running.send import is_recorded_elsewhere

log = logging.getLogger(__name__)

_TOLD: Final = (
    "select 1 from incidents where batch = ? and kind = 'duplicate_batch' and message = ?"
)


def own_batch(
    ctx: PassContext, backend: Backend, row: sqlite3.Row, listing: Listing
) -> RemoteBatch | None:
    """The batch of this row that the listing shows, however it ended; where there are several, all but one are cancelled."""
    hits = own_batches(ctx, row, listing)
    if len(hits) > 1:
        cancel_duplicates(ctx, backend, row, hits[1:])
    return hits[0] if hits else None


def own_batches(ctx: PassContext, row: sqlite3.Row, listing: Listing) -> list[RemoteBatch]:
    """All that a listing shows of this row: first the earliest that did not fail, which is the one that counts."""
    hits = [
        remote
        for remote in listing.batches
        if _is_of(ctx, remote, row) and not is_recorded_elsewhere(ctx.ledger, remote.id, row["id"])
    ]
    return sorted(hits, key=lambda r: (r.status == "failed", r.created_at, r.id))


def _is_of(ctx: PassContext, remote: RemoteBatch, row: sqlite3.Row) -> bool:
    if remote.metadata.get(TOKEN_KEY) == row["token"]:
        return not is_known_dead(ctx, remote, row)
    return remote.input_file_id is not None and remote.input_file_id == row["input_file_id"]


def cancel_duplicates(
    ctx: PassContext, backend: Backend, row: sqlite3.Row, extra: list[RemoteBatch]
) -> None:
    """Cancel batches that bear the token of `row` and are not the recorded one; each is an incident, whether or not that works."""
    for remote in extra:
        message, now = _extra(row, remote), ctx.clock.now()
        with ctx.ledger.transaction():
            is_news = not ctx.ledger.value(_TOLD, (row["id"], message))
            if is_news and row["state"] != BatchState.REJECTED:  # that one is presumed itself
                presume_again(ctx.ledger, batch=row["id"], at=now)
            add_incident(
                ctx.ledger,
                at=now,
                kind="duplicate_batch",
                message=message,
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
