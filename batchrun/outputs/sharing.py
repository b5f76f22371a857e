"""What people are told of answers that went to more items than the one that asked."""

from batchrun.ledger.connection import Ledger
from batchrun.model import JsonObject
from batchrun.outputs.rows import JobView

_USAGE = (
    "input_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
)
_WHOSE = (
    "select coalesce(i.key, i.name) as id, j.name as job, i.job = {} as is_own from item_rows i join jobs j on j.id = i.job "
    "where i.id = {}"
)


def waits_for(ledger: Ledger, item: int) -> str | None:
    """The id of the item whose answer an item waits for; None where it waits for none."""
    leader = ledger.value("select leader from followers where item = ?", (item,))
    return None if leader is None else _named(ledger, item, leader)


def answered_with(ledger: Ledger, item: int) -> str | None:
    """Of an item whose answer was another's, the id of that, with its job where that is another; None of all others."""
    source = ledger.value(
        "select s.source from shared s join result_rows r on r.item = s.item where s.item = ? and r.send = 0",
        (item,),
    )
    return None if source is None else _named(ledger, item, source)


def _named(ledger: Ledger, item: int, other: int) -> str:
    job = "(select job from item_rows where id = ?1)"
    row = ledger.row(_WHOSE.format(job, "?2"), (item, other))
    if row is None:
        return "an item that was forgotten since"
    return str(row["id"]) if row["is_own"] else f"{row['id']} of {row['job']}"


def shared_report(ledger: Ledger, job: JobView) -> JsonObject:
    """How many items of a job have the answer to an equal request, and what these answers took, which was not asked again; nothing of none."""
    sums = ", ".join(
        # None of all that were shared says it, or some do.
        f"sum(s.{name}) as {name}"
        if name == "cache_write_tokens"
        else f"coalesce(sum(s.{name}), 0) as {name}"
        for name in _USAGE
    )
    row = ledger.row(
        f"select count(*) as items, coalesce(sum(s.is_cached), 0) as cached, {sums} from shared s "
        "cross join item_rows i on i.id = s.item cross join result_rows r on r.item = s.item and r.send = 0 where i.job = ? and i.vanished = 0",
        (job.id,),
    )
    assert row is not None
    if not row["items"]:
        return {}
    saved = {name: row[name] for name in _USAGE}
    return {
        "shared": {
            "items": row["items"],
            "from_earlier_jobs": row["cached"],
            "tokens_saved": saved,
        }
    }
