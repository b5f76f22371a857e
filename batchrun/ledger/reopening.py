"""Undoing the settling of a lost batch, for the items that nobody asked again: they are in flight as they were before it was given up."""

import sqlite3

from batchrun.ledger.connection import Ledger
from batchrun.ledger.history import restore_history
from batchrun.ledger.items import move_items
from batchrun.ledger.states import ItemEvent


def reopen_items(ledger: Ledger, batch: sqlite3.Row, at: int) -> int:
    """Put the items whose last result is the loss of this very batch back in flight in it, inside the caller's transaction.

    Returns how many. Their `lost_result` goes; an earlier attempt that had been moved aside for it comes back.
    """
    ledger.connection.execute(
        "create temp table if not exists reopened (item integer primary key) strict"
    )
    ledger.execute("delete from reopened")
    ledger.execute(
        "insert into reopened select i.id from item_rows i join result_rows r on r.item = i.id "
        "where i.id between ?1 and ?2 and i.batch = ?3 and i.state = 3 and r.batch = ?3 and r.cause = 'lost_result'",
        (batch["first_item"], batch["last_item"], batch["id"]),
    )
    chosen = "select item from reopened"
    ledger.execute(f"delete from result_rows where item in ({chosen})")
    restore_history(ledger, chosen)
    return move_items(
        ledger,
        job=batch["job"],
        event=ItemEvent.REOPENED,
        where=f"id in ({chosen})",
        at=at,
        batch=batch["id"],
    )
