"""What a batch came to, when it is settled: priced by its answers and by what the service says of the whole batch, whichever is more."""

import sqlite3
from typing import Final

from batchrun.ledger.batches import add_incident
from batchrun.ledger.bills import settle_bill
from batchrun.ledger.connection import Ledger
from batchrun.ledger.usage import taken_by
from batchrun.money.amounts import dollars
from batchrun.money.billed import billed_cost, service_usage
from batchrun.money.frozen import thawed

# Causes of attempts that may have been executed, and paid for, without an answer that says what it took.
UNKNOWN_CAUSES: Final = ("missing_result", "lost_result", "uncertain", "malformed_result")
OVERRUN: Final = "over_reserved"  # the incident
_IMAGES: Final = frozenset({"/v1/images/generations", "/v1/images/edits"})


def settle_billing(ledger: Ledger, batch: int, at: int, *, is_late: bool = False) -> None:
    """Settle the bill of a batch, if it has one, from what is recorded of it. Inside the transaction that settles its attempts, at its end.

    Costing more than was reserved is an incident, and stops the account until a person has looked at it; not so where the bill `is_late`, made
    when all was over.
    """
    row = ledger.row(
        "select b.*, l.price, l.reserved, l.fees from batch_rows b join bills l on l.batch = b.id where b.id = ?",
        (batch,),
    )
    if row is None:
        return
    cost, unknown = _cost(ledger, row)
    over = settle_bill(
        ledger, batch=batch, cost=cost, unknown=unknown, booked_at=row["ended_at"] or at
    )
    if over is not None and is_late:
        ledger.execute("update bills set reserved = cost, is_overrun = 0 where batch = ?", (batch,))
    elif over is not None:
        add_incident(
            ledger,
            at=at,
            kind=OVERRUN,
            job=row["job"],
            batch=batch,
            message=(
                f"batch {batch} cost {dollars(cost)}, {dollars(over)} more than the most that was reckoned with. Nothing more is sent from its account: "
                "compare the prices in batchrun.toml with those of the service, then let go with `batchrun resume`"
            ),
        )


def _cost(ledger: Ledger, row: sqlite3.Row) -> tuple[int, int]:
    """(picodollars, requests of unknown fate)."""
    causes = ", ".join(repr(cause) for cause in UNKNOWN_CAUSES)
    unknown = ledger.value(
        "select count(*) from (select cause from result_rows where item between ?1 and ?2 and batch = ?3 "
        f"union all select cause from history where item between ?1 and ?2 and batch = ?3) where cause in ({causes})",
        (row["first_item"], row["last_item"], row["id"]),
    )
    taken = taken_by(ledger, row["id"])
    cost = billed_cost(
        thawed(row["price"]),
        taken,
        service_usage(row["remote"]),
        is_of_pictures=row["endpoint"] in _IMAGES,
    )
    if any(one.requests for one in taken):
        cost += row["fees"]  # nothing tells how often tools were called
    return cost, int(unknown)
