"""What a batch came to, when it is settled: priced by its answers and by what the service says of the whole batch, whichever is more."""

import sqlite3
from typing import Final

from batchrun.ledger.batches import add_incident
from batchrun.ledger.bills import settle_bill
from batchrun.ledger.connection import Ledger
from batchrun.ledger.shortages import Overrun
from batchrun.ledger.states import BatchState
from batchrun.ledger.usage import taken_by
from batchrun.money.billed import billed_cost, service_usage
from batchrun.money.counting import IMAGE_URLS
from batchrun.money.frozen import thawed
from batchrun.windows import window_s

# Causes of attempts that may have been executed, and paid for, without an answer that says what it took.
UNKNOWN_CAUSES: Final = ("missing_result", "lost_result", "uncertain", "malformed_result")
_OF_ATTEMPT: Final = "cause, send > 0 and (output is not null or model is not null) as is_answered, input_tokens + output_tokens as tokens"
_ENDED: Final = ("completed", "failed", "expired", "cancelled")  # as services say it
OVERRUN: Final = "over_reserved"  # the incident


def settle_billing(ledger: Ledger, batch: int, at: int, *, is_late: bool = False) -> None:
    """Settle the bill of a batch, if it has one, from what is recorded of it. Inside the transaction that settles its attempts, at its end.

    Costing more than was reserved is an incident, and stops the account until a person has looked at it; not so where the bill `is_late`, made
    when all was over.
    """
    row = ledger.row(
        "select b.*, l.account, l.price, l.reserved, l.fees from batch_rows b join bills l on l.batch = b.id where b.id = ?",
        (batch,),
    )
    if row is None:
        return
    is_late = is_late or not row["reserved"]  # of requests that are not here nothing was reckoned
    if row["state"] == BatchState.REJECTED:
        cost, unknown = 0, row["request_count"] if _is_doubted(row, at) else 0
    else:
        cost, unknown = _cost(ledger, row)
    over = settle_bill(
        ledger, batch=batch, cost=cost, unknown=unknown, booked_at=_latest_end(row, at)
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
            message=Overrun(row["account"], batch, over).words,
        )


def _latest_end(row: sqlite3.Row, at: int) -> int:
    """When a batch ended; of one that may still run, when it ends at the latest: until then it counts in every day and month."""
    window = window_s(row["window"])
    match row["state"]:
        case BatchState.REJECTED if _is_doubted(row, at):
            return int(row["audit_until"]) + window
        case BatchState.LOST if row["remote_status"] not in _ENDED:
            return max(at, int(row["created_at"] or row["intent_at"]) + window)
        case BatchState.COLLECTED | BatchState.LOST:
            return int(row["ended_at"] or at)
        case _:
            return at


def _is_doubted(row: sqlite3.Row, at: int) -> bool:
    """Whether a create was refused and may have taken effect all the same: until a listing shows that it did not."""
    return row["remote_id"] is None and (row["audit_until"] or 0) > at


def _cost(ledger: Ledger, row: sqlite3.Row) -> tuple[int, int]:
    """(picodollars, requests of unknown fate: with those that were answered, and of which nobody said what they took)."""
    causes = ", ".join(repr(cause) for cause in UNKNOWN_CAUSES)
    unknown = ledger.value(
        f"select count(*) from (select {_OF_ATTEMPT} from result_rows where item between ?1 and ?2 and batch = ?3 "
        f"union all select {_OF_ATTEMPT} from history where item between ?1 and ?2 and batch = ?3) "
        f"where cause in ({causes}) or (is_answered and not tokens)",
        (row["first_item"], row["last_item"], row["id"]),
    )
    taken = taken_by(ledger, row["id"])
    cost = billed_cost(
        thawed(row["price"]),
        taken,
        service_usage(row["remote"]),
        is_of_pictures=row["endpoint"] in IMAGE_URLS,
    )
    if any(one.requests for one in taken):
        cost += row["fees"]  # nothing tells how often tools were called
    return cost, int(unknown)
