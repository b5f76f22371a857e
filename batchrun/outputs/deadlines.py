"""What became of a job's deadline, for its report: whether it was met, what was answered by batch and what live, and what made it late."""

from typing import Final

from batchrun.clock import rfc3339
from batchrun.ledger.connection import Ledger
from batchrun.ledger.deadlines import BY_DEADLINE
from batchrun.ledger.states import ItemState
from batchrun.model import JsonObject
from batchrun.outputs.rows import JobView
from batchrun.planning.deadline import why_late

_ANSWERED: Final = f"""
select b.profile = ?1 as is_by_batch, count(*) as n from item_rows i not indexed cross join result_rows r on r.item = i.id
join batch_rows b on b.id = r.batch where i.job = ?2 and i.id >= ?3 and i.id < ?4 and i.vanished = 0 and i.state = {int(ItemState.SUCCEEDED)} group by 1
"""


def deadline_report(ledger: Ledger, job: JobView, finished_at: int | None) -> JsonObject:
    """The report's `deadline`; nothing where the job has none. `finished_at`: None while items are open."""
    row = ledger.row("select deadline_at, live_since from jobs where id = ?", (job.id,))
    assert row is not None
    deadline, live_since = row["deadline_at"], row["live_since"]
    if deadline is None:
        return {}
    answered = {
        bool(found["is_by_batch"]): int(found["n"])
        for found in ledger.rows(_ANSWERED, (job.profile, job.id, job.first_item, job.end_item))
    }
    why = None
    if finished_at is not None and finished_at > deadline:
        cancel_ended_at = ledger.value(
            "select max(ended_at) from batch_rows where job = ? and cancel_requested = ?",
            (job.id, BY_DEADLINE),
        )
        why = why_late(deadline, live_since, cancel_ended_at, finished_at)
    return {
        "deadline": {
            "at": rfc3339(deadline),
            "met": None if finished_at is None else finished_at <= deadline,
            "live_since": None if live_since is None else rfc3339(live_since),
            "by_batch": answered.get(True, 0),
            "live": answered.get(False, 0),
            "why_late": why,
        }
    }
