"""Which calls of functions wait: the rule, in one place, and how many there are. Light: `batchrun status` imports it."""

from typing import Final

from batchrun.ledger.connection import Ledger
from batchrun.ledger.states import ItemState

# In SQL; the place is for the column that has the item's number.
NO_OPEN_CALL: Final = (
    "not exists (select 1 from tool_calls o where o.item = {} and o.output is null)"
)
# Of a job, which is the parameter: calls of items that nobody has cancelled, changed or settled meanwhile.
WAITING: Final = (
    "from tool_calls c cross join item_rows i on i.id = c.item "
    f"where c.job = ? and c.output is null and i.state = {int(ItemState.PENDING)}"
)


def waiting_calls(ledger: Ledger, job: int) -> int:
    """How many calls of a job wait to be run."""
    return int(ledger.value(f"select count(*) {WAITING}", (job,)))


def has_waiting_calls(ledger: Ledger, job: int) -> bool:
    """Whether any call of a job waits to be run."""
    return ledger.value(f"select 1 {WAITING} limit 1", (job,)) is not None
