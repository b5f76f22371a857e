"""Which calls of functions wait: the rule, in one place, and how many there are. Light: `batchrun status` imports it."""

from typing import Final

from batchrun.ledger.connection import Ledger
from batchrun.ledger.states import ItemState

# Of a job, which is the parameter: calls of items that nobody has cancelled, changed or settled meanwhile.
WAITING: Final = (
    "from tool_calls c cross join item_rows i on i.id = c.item "
    f"where c.job = ? and c.output is null and i.state = {int(ItemState.PENDING)}"
)


def no_open_call(item: str) -> str:
    """SQL: that no call of an item waits for its result. `item` is the column with its number, with its table before it, or `?`.

    A bare column would be taken for the one of the same name in here: true of no item as soon as any call waits.
    """
    assert item == "?" or "." in item
    return f"not exists (select 1 from tool_calls o where o.item = {item} and o.output is null)"


def waiting_calls(ledger: Ledger, job: int) -> int:
    """How many calls of a job wait to be run."""
    return int(ledger.value(f"select count(*) {WAITING}", (job,)))


def has_waiting_calls(ledger: Ledger, job: int) -> bool:
    """Whether any call of a job waits to be run."""
    return ledger.value(f"select 1 {WAITING} limit 1", (job,)) is not None
