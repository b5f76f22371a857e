"""Bills: what is reserved is of a batch that can still spend it, and what a settled batch may have spent is booked."""

from collections.abc import Iterator
from typing import Final

from batchrun.ledger.connection import Ledger
from batchrun.ledger.states import IS_OPEN_BATCH, BatchState

# (what breaks, SQL for the batch)
_WRONG: Final = (
    (
        "batch {} has ended, and all that it could cost is still reserved",
        f"select l.batch from bills l join batch_rows b on b.id = l.batch where l.booked_at is null and not b.{IS_OPEN_BATCH}",
    ),
    (
        "the bill of batch {} is booked without a cost, or has a cost that is not booked",
        "select batch from bills where (cost is null) <> (booked_at is null) or (cost is null and presumed <> 0)",
    ),
    (
        "batch {} waits to be sent, and nothing is reserved for it any more",
        (
            "select l.batch from bills l join batch_rows b on b.id = l.batch where l.booked_at is not null "
            f"and b.state in ({int(BatchState.PLANNED)}, {int(BatchState.UPLOADED)}, {int(BatchState.CREATING)}) and b.lost_at is null"
        ),
    ),
    (
        "batch {} cost more than was reserved for it, and no incident says so",
        (
            "select batch from bills l where cost > reserved and not exists "
            "(select 1 from incidents i where i.batch = l.batch and i.kind = 'over_reserved')"
        ),
    ),
    (
        "for batch {} more is presumed than was reserved and not spent",
        "select batch from bills where presumed < 0 or (presumed > 0 and cost + presumed > reserved)",
    ),
)


def bills_follow_batches(ledger: Ledger) -> Iterator[str]:
    """Open bills are of open batches, settled ones booked; no more is presumed than was reserved, and no more spent without an incident."""
    for what, sql in _WRONG:
        for row in ledger.rows(sql):
            yield what.format(row[0])
