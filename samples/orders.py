"""Functions that jobs/orders.jsonl offers to the model: batchrun run jobs/orders.jsonl --tools samples/orders.py

Each public function is offered: its name, the first paragraph of its docstring, and its types.
"""

from datetime import date, timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, Field

_SENT = {"A-1001": date(2026, 9, 3), "A-1002": date(2026, 9, 14)}
_DAYS = {"standard": 5, "express": 1}


class Parcel(BaseModel):
    """Where a parcel is."""

    order: str
    sent: date
    arrives: date


def track(
    order: Annotated[str, Field(description="An order's number, such as A-1001.")],
    speed: Literal["standard", "express"] = "standard",
) -> Parcel:
    """When an order was sent and when it arrives."""
    sent = _SENT.get(order)
    if sent is None:
        raise LookupError(f"there is no order {order}")
    return Parcel(order=order, sent=sent, arrives=sent + timedelta(days=_DAYS[speed]))


def return_until(order: str) -> date:
    """The last day on which an order can be sent back."""
    return track(order).arrives + timedelta(days=30)
