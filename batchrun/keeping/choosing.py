"""Which items a `forget` means, and why it may not have them yet. The choice stands in the temporary table `chosen`."""

import json
from collections.abc import Sequence
from typing import Final

from batchrun.errors import NotFinished, UsageError
from batchrun.ledger.connection import Ledger
from batchrun.ledger.jobs import JobRow
from batchrun.ledger.states import IS_OPEN_ITEM, BatchState, ItemState

CHOSEN: Final = "select item from chosen"

# Since when an item is left alone: its answer, or the last submit that brought it. So one that is still in the data of a nightly submit
# is never old, and never forgotten only to be asked, and paid for, again.
_OLD: Final = f"""
insert into chosen
select i.id from item_rows i
left join result_rows r on r.item = i.id
left join request_files f on f.id = i.file
left join submissions s on s.id = f.submission
where i.job = ?1 and not i.{IS_OPEN_ITEM} and max(
  coalesce(r.at, 0), case when i.vanished then coalesce(s.at, 0) else
    (select l.at from submissions l where l.id = (select submission from jobs where id = ?1)) end
) <= ?2
"""


def choose_all(ledger: Ledger, job: JobRow) -> None:
    """Every item of the job, for good. Raises NotFinished while a batch holds any."""
    _clear(ledger)
    ledger.execute("insert into chosen select id from item_rows where job = ?", (job.id,))
    _refuse_in_flight(ledger, job, f"job {job.label}")


def choose_named(ledger: Ledger, job: JobRow, names: Sequence[str]) -> None:
    """The items of these ids, bad ones with them; of items without one, all that bear the name. Vanished ones too.

    Raises UsageError for a name that no item has, NotFinished where a batch holds one of them.
    """
    _clear(ledger)
    for name in dict.fromkeys(names):
        found = ledger.execute(
            "insert or ignore into chosen select id from item_rows where job = ? and key = ?",
            (job.id, name),
        ).rowcount
        # What bears an id as its name is bad; of others the name is their place, which may look like an id.
        found += ledger.execute(
            "insert or ignore into chosen select id from item_rows where job = ? and key is null and name = ? and (not ? or file is null)",
            (job.id, name, found),
        ).rowcount
        if not found:
            raise UsageError(
                f"job {job.label} has no item {name!r}: nothing was forgotten. "
                f"`batchrun results {job.label}` shows the ids that there are."
            )
    _refuse_in_flight(ledger, job, f"items of job {job.label}")


def choose_old(ledger: Ledger, job: JobRow, cutoff: int) -> int:
    """The settled items that were last answered and last submitted at `cutoff` (unix seconds) or earlier; returns how many open ones there are."""
    _clear(ledger)
    ledger.execute(_OLD, (job.id, cutoff))
    return int(
        ledger.value(
            f"select coalesce(sum(n), 0) from item_counts where job = ? and {IS_OPEN_ITEM}",
            (job.id,),
        )
    )


def chosen_count(ledger: Ledger) -> int:
    """How many items are chosen."""
    return int(ledger.value("select count(*) from chosen"))


def also_in(ledger: Ledger, job: JobRow, names: Sequence[str]) -> tuple[str, ...]:
    """Labels of the other jobs that have an item of one of these ids: the same person may stand there."""
    rows = ledger.rows(
        "select distinct j.name || '@' || j.profile as label from json_each(?) n cross join jobs j "
        "join item_rows i on i.job = j.id and i.key = n.value where j.id <> ? and j.submission is not null order by 1",
        (json.dumps(list(names)), job.id),
    )
    return tuple(row["label"] for row in rows)


def _clear(ledger: Ledger) -> None:
    ledger.execute("create temp table if not exists chosen (item integer primary key) strict")
    ledger.execute("delete from chosen")


def _refuse_in_flight(ledger: Ledger, job: JobRow, what: str) -> None:
    held = ledger.value(
        f"select count(*) from item_rows where id in ({CHOSEN}) and state = ?",
        (ItemState.IN_FLIGHT,),
    )
    if held:
        batches = ledger.value(
            "select count(*) from batch_rows where job = ? and state < ?",
            (job.id, BatchState.COLLECTED),
        )
        raise NotFinished(
            f"{what}: {held:,} are in flight (the job has {batches:,} open batches), and what the service holds cannot be forgotten. "
            f"Nothing was forgotten. Stop them with `batchrun cancel {job.label}`, wait for the end with "
            f"`batchrun wait {job.label}`, then forget."
        )
