"""Room on the disk: nothing is bought whose answers could not be kept."""

import shutil
import sqlite3
from typing import Final

from batchrun.errors import LedgerError
from batchrun.ledger.batches import update_batch
from batchrun.ledger.states import BatchState
from batchrun.running.context import PassContext

# Of the bytes of requests, since answers are about as large: the result file, its rows in the ledger, the outputs.
_TIMES: Final = 3
_AGAIN_S: Final = 600


def has_room(ctx: PassContext, row: sqlite3.Row) -> bool:
    """Whether the disk has room for what is to come back: of this batch, and of those that are on the service already.

    Where it has not, the pass reports it (exit code 7), the batch waits ten minutes, and everything else goes on.
    """
    under_way = ctx.ledger.value(
        "select coalesce(sum(input_bytes), 0) from batch_rows where state in (?, ?, ?) and id <> ?",
        (BatchState.CREATING, BatchState.CREATED, BatchState.ENDED, row["id"]),
    )
    needed = _TIMES * (row["input_bytes"] + int(under_way))
    free = shutil.disk_usage(ctx.ledger.home.path).free
    if free >= needed:
        return True
    reason = (
        f"{ctx.ledger.home.path}: {free:,} bytes are free on this disk, and what is to come back takes up to {needed:,} "
        f"({_TIMES} times the requests under way). Nothing more is sent. Free disk space (`df -h`); the next pass goes on."
    )
    ctx.note(LedgerError(reason))
    with ctx.ledger.transaction():
        update_batch(ctx.ledger, row["id"], next_at=ctx.clock.now() + _AGAIN_S, reason=reason)
    return False
