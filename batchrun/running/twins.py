"""Twins: another home that sends the very same requests at the same time. Each batch bears a hash of its requests, by which they are seen.

Best effort, since two homes share nothing but the service: a batch is looked for before ours is created, in the listing that is read then
anyway, and once more by the first poll of ours. Of two that were created at the same time the later one cancels itself.
"""

import logging
import sqlite3
from collections.abc import Iterable
from typing import Final

from batchrun.backends.base import TERMINAL_STATUSES, RemoteBatch
from batchrun.errors import BackendError
from batchrun.ledger.batches import add_incident, update_batch
from batchrun.ledger.origins import own_ledgers
from batchrun.model import LEDGER_KEY, REQUESTS_KEY
from batchrun.running.context import PassContext
from batchrun.running.marking import requests_hash

log = logging.getLogger(__name__)

_ENDING: Final = TERMINAL_STATUSES | {"cancelling"}


def find_twin(
    ctx: PassContext, row: sqlite3.Row, listed: Iterable[RemoteBatch]
) -> RemoteBatch | None:
    """The earliest batch of a ledger that is not ours which asks what batch `row` asks, and has not ended."""
    ours = own_ledgers(ctx.ledger)
    wanted = requests_hash(row)
    twins = [
        remote
        for remote in listed
        if wanted is not None
        and remote.metadata.get(REQUESTS_KEY) == wanted
        and remote.metadata.get(LEDGER_KEY) not in ours
        and remote.status not in _ENDING
    ]
    return min(twins, key=_age, default=None)


def stay_back(ctx: PassContext, row: sqlite3.Row, twin: RemoteBatch) -> None:
    """Do not create this batch while its twin runs: the job waits for a person."""
    _pause(ctx, row, twin, "is not sent")


def yield_to_twin(ctx: PassContext, row: sqlite3.Row, listed: list[RemoteBatch]) -> None:
    """Cancel our new batch where the listing shows an earlier one with the same requests, of another home."""
    twin = find_twin(ctx, row, listed)
    mine = next((remote for remote in listed if remote.id == row["remote_id"]), None)
    if twin is None or mine is None or _age(mine) < _age(twin) or mine.status in _ENDING:
        return
    _pause(ctx, row, twin, "is cancelled, and what it has answered by now is kept")
    try:
        ctx.backend(row["profile"]).cancel(mine.id)
    except BackendError as exc:
        log.warning("batch %s: twin of %s, not cancelled: %s", row["id"], twin.id, exc)
        ctx.note(exc, profile=row["profile"], job=row["job"])
        return
    with ctx.ledger.transaction():
        update_batch(ctx.ledger, row["id"], cancel_sent_at=ctx.clock.now())


def _pause(ctx: PassContext, row: sqlite3.Row, twin: RemoteBatch, what: str) -> None:
    reason = (
        f"another home (ledger {twin.metadata.get(LEDGER_KEY)}) has sent the requests of batch {row['id']} already, as {twin.id}, "
        f"which has not ended. So as not to pay twice, batch {row['id']} {what}. Work in one home: go on in the other one and cancel "
        "this job, or cancel it there and submit it here again."
    )
    with ctx.ledger.transaction():
        ctx.ledger.execute(
            "update jobs set paused = ? where id = ? and paused is null", (reason, row["job"])
        )
        add_incident(
            ctx.ledger,
            at=ctx.clock.now(),
            kind="twin",
            message=reason,
            job=row["job"],
            batch=row["id"],
            detail=twin.raw,
        )


def _age(remote: RemoteBatch) -> tuple[int, str]:
    return remote.created_at, remote.id
