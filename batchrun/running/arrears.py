"""Batches that no bill was made for: limits came after them, or they were found on the service. Before anything else is paid they get theirs.

So a limit that is set in the middle of a month counts all of that month.
"""

import sqlite3

from batchrun.errors import GuardError, LedgerError
from batchrun.ledger.batches import add_incident
from batchrun.ledger.billing import settle_billing
from batchrun.ledger.bills import insert_bill
from batchrun.ledger.connection import Ledger
from batchrun.ledger.jobs import pause
from batchrun.ledger.states import BatchState
from batchrun.running.paying import Payment
from batchrun.running.purse import Purse

_UNPRICED = "unpriced"  # the kind of an incident
_PAID = (
    BatchState.CREATING,
    BatchState.CREATED,
    BatchState.ENDED,
    BatchState.COLLECTED,
    BatchState.LOST,
)


def bill_arrears(ledger: Ledger, purse: Purse, now: int) -> None:
    """Make the bills that are missing, each in a transaction of its own. Batches that were not created need none: see `unpaid.py`.

    A job with a batch out of which nobody can say what it costs at most is paused, under a hard limit; of one that has ended an incident tells.
    """
    unbilled = f"from batch_rows b where b.state in {tuple(map(int, _PAID))} and not exists (select 1 from bills l where l.batch = b.id)"
    # A home has thousands of batches that no limit is for, of a few jobs: what holds is asked once for each of these.
    for job, profile in ledger.execute(f"select distinct b.job, b.profile {unbilled}").fetchall():
        row = ledger.row("select * from jobs where id = ?", (job,))
        payment = None if row is None else purse.payment(ledger, row, profile, now)
        if payment is None:
            continue
        mine = ledger.rows(f"select b.* {unbilled} and b.job = ? and b.profile = ?", (job, profile))
        for batch in list(mine):
            _bill(ledger, payment, batch, now)


def _bill(ledger: Ledger, payment: Payment, row: sqlite3.Row, now: int) -> None:
    is_over = row["state"] in (BatchState.COLLECTED, BatchState.LOST)
    path = ledger.home.request_file(row["request_file"])
    try:
        if path.exists():
            quote = payment.quote(path, endpoint=row["endpoint"], model=row["model"])
            bill = None if quote is None else quote.bill
        else:
            bill = payment.bill_of_pruned(row["model"])
    except (GuardError, LedgerError) as exc:
        if not is_over:
            pause(ledger, row["job"], str(exc))
        with ledger.transaction():
            message = f"batch {row['id']} is in no limit: {exc}"
            add_incident(
                ledger, at=now, kind=_UNPRICED, message=message, job=row["job"], batch=row["id"]
            )
        return
    if bill is None:
        return
    with ledger.transaction():
        insert_bill(ledger, batch=row["id"], bill=bill, at=row["created_at"] or now)
        if is_over:
            settle_billing(ledger, row["id"], row["collected_at"] or now, is_late=True)
