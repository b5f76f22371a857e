"""Undoing the settling of a batch that was given up and is there all the same, for the items that nobody sent again."""

import sqlite3
from typing import Final

from batchrun.ledger.connection import Ledger
from batchrun.ledger.followers import stop_following
from batchrun.ledger.history import restore_history
from batchrun.ledger.items import move_items
from batchrun.ledger.states import BatchState, ItemEvent, ItemState
from batchrun.ledger.usage import uncount

# Items that wait to be asked the same again, after a refusal that nothing but a listing can confirm.
_WAITING: Final = f"""
select i.id from batch_rows b
cross join item_rows i on i.id between b.first_item and b.last_item and i.job = b.job and i.state = {int(ItemState.PENDING)} and i.file <= b.request_file
join history h on h.id = (select max(id) from history where item = i.id) and h.batch = b.id and h.cause = 'rejected'
"""


def reopen_items(ledger: Ledger, batch: sqlite3.Row, at: int) -> int:
    """Put the items whose last result is the loss of this very batch back in flight in it, inside the caller's transaction.

    Returns how many. Their `lost_result` goes; an earlier attempt that had been moved aside for it comes back.
    """
    _begin(ledger)
    _choose_failed(ledger, batch, "lost_result")
    return _reopen(ledger, batch, at)


def reopen_refused(ledger: Ledger, batch: sqlite3.Row, at: int) -> int:
    """The same for a batch whose creation was refused: its items that failed for that, and those of them that wait to be asked again."""
    _begin(ledger)
    _choose_failed(ledger, batch, "rejected")
    failed = _reopen(ledger, batch, at)
    _begin(ledger)
    ledger.execute(f"insert into reopened {_WAITING} where b.id = ?", (batch["id"],))
    ledger.execute("delete from queue where item in (select item from reopened)")
    refused = "id in (select max(id) from history where item in (select item from reopened) group by item)"
    uncount(ledger, "history", refused)
    ledger.execute(f"delete from history where {refused}")
    return failed + _reopen(ledger, batch, at)


def put_off_refused(ledger: Ledger, job: int, at: int, until: int) -> None:
    """Queued items of a job that are due, and whose refused batch a listing may still show, wait until `until`; inside the caller's transaction."""
    audited = (
        "select exists (select 1 from batch_rows where job = ? and state = ? and audit_until > ?)"
    )
    if not ledger.value(audited, (job, BatchState.REJECTED, at)):
        return  # nearly always: the queue may be long
    ledger.execute(
        "update queue set not_before = ? where job = ? and not_before <= ? and item in "
        f"({_WAITING} where b.job = ? and b.state = ? and b.audit_until > ?)",
        (until, job, at, job, BatchState.REJECTED, at),
    )


def _begin(ledger: Ledger) -> None:
    ledger.connection.execute(
        "create temp table if not exists reopened (item integer primary key) strict"
    )
    ledger.execute("delete from reopened")


def _choose_failed(ledger: Ledger, batch: sqlite3.Row, cause: str) -> None:
    ledger.execute(
        "insert into reopened select i.id from item_rows i join result_rows r on r.item = i.id "
        f"where i.id between ?1 and ?2 and i.batch = ?3 and i.state = {int(ItemState.FAILED)} and r.batch = ?3 and r.cause = ?4",
        (batch["first_item"], batch["last_item"], batch["id"], cause),
    )


def _reopen(ledger: Ledger, batch: sqlite3.Row, at: int) -> int:
    chosen = "select item from reopened"
    uncount(ledger, "result_rows", f"item in ({chosen})")
    ledger.execute(f"delete from result_rows where item in ({chosen})")
    restore_history(ledger, chosen)
    stop_following(ledger, chosen)
    return move_items(
        ledger,
        job=batch["job"],
        event=ItemEvent.REOPENED,
        where=f"id in ({chosen})",
        at=at,
        batch=batch["id"],
        sets=f"batch = {batch['id']}",
    )
