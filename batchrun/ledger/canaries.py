"""The canary of a job: what became of the items that go first, while the rest waits for that.

A verdict is not stored but read from the items, whatever changed them; only that the rest may go is. Which items they are: `askings.py`.
"""

from typing import Final

from batchrun.ledger.connection import Ledger
from batchrun.ledger.states import ItemState
from batchrun.planning.canary import Canary

_COUNTS: Final = f"""
select i.state, case when i.state = {int(ItemState.FAILED)} then coalesce(r.cause, 'unknown') end as cause, count(*) as n
from canary_items c cross join item_rows i on i.id = c.item left join result_rows r on r.item = i.id
where c.job = ? and i.state <> {int(ItemState.CANCELLED)} group by 1, 2 order by 3 desc, 2
"""


def is_out(ledger: Ledger, job: int) -> bool:
    """Whether only the canary of a job may be sent."""
    return bool(ledger.value("select 1 from canaries where job = ? and settled_at is null", (job,)))


def queue_of(ledger: Ledger, job: int) -> str:
    """Where to read the queue of a job from, in SQL: while its canary is out, of all that waits only the canary is sent."""
    if not is_out(ledger, job):
        return "queue"
    return f"(select q.* from canary_items c cross join queue q on q.item = c.item where c.job = {job})"


def canary_of(ledger: Ledger, job: int) -> Canary | None:
    """What became so far of the canary that a job waits for; None where it waits for none."""
    row = ledger.row(
        "select max_failed, max_truncated from canaries where job = ? and settled_at is null",
        (job,),
    )
    if row is None:
        return None
    succeeded, undecided, causes = 0, 0, []
    for found in ledger.rows(_COUNTS, (job,)):
        if found["state"] == ItemState.SUCCEEDED:
            succeeded = found["n"]
        elif found["state"] == ItemState.FAILED:
            causes.append((found["cause"], found["n"]))
        else:
            undecided += found["n"]
    return Canary(
        succeeded=succeeded,
        undecided=undecided,
        causes=tuple(causes),
        max_failed=row["max_failed"],
        max_truncated=row["max_truncated"],
    )


def settle_canary(ledger: Ledger, job: int, at: int) -> None:
    """The rest may go: the canary passed, or a person said so. Inside the caller's transaction."""
    ledger.execute(
        "update canaries set settled_at = ? where job = ? and settled_at is null", (at, job)
    )
    ledger.execute("delete from canary_items where job = ?", (job,))
