"""The last look at money before a batch is created: it may have been made under other limits than those that hold now."""

import sqlite3

from batchrun.ledger.batches import update_batch
from batchrun.ledger.bills import payer_of
from batchrun.ledger.deadlines import take_back_unsent
from batchrun.ledger.shortages import Shortage, note_shortage
from batchrun.running.context import PassContext


def is_unpaid(ctx: PassContext, batch: sqlite3.Row) -> bool:
    """Whether a limit forbids to create a batch after all: one may have come, or been lowered, since it was made. Inside the transaction of its intent."""
    payment = ctx.payment(batch["job"], batch["profile"])
    if payment is None or payment.room is None:
        return False
    why = payment.stop()
    if why is None and payer_of(ctx.ledger, batch["id"]) != payment.payer:
        why = Shortage(
            0, 0, "nothing is reserved for it in the limits that its job falls under now"
        )
    if why is None:
        return False
    update_batch(ctx.ledger, batch["id"], reason=why.reason)
    note_shortage(ctx.ledger, batch["job"], why, ctx.clock.now())
    take_back_unsent(ctx.ledger, batch["job"])
    return True
