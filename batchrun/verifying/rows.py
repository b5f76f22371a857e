"""The database itself: sound, with no state that there is not, and no reference into nothing.

The hot tables carry no foreign keys (a check per row would cost as much as the row), so their references are checked here.
"""

from collections.abc import Iterator
from typing import Final

from batchrun.ledger.connection import Ledger
from batchrun.ledger.states import BatchState, FileState, ItemState, SubmissionState
from batchrun.verifying.visible import end_item


def database_sound(ledger: Ledger) -> Iterator[str]:
    """SQLite's own checks of its pages, indexes and foreign keys."""
    for row in ledger.rows("pragma integrity_check"):
        if row[0] != "ok":
            yield str(row[0])
    for row in ledger.rows("pragma foreign_key_check"):
        yield f"{row['table']}, row {row['rowid']}: names a row of {row['parent']} that there is not"


def _numbers(enum: type[ItemState | BatchState | FileState | SubmissionState]) -> str:
    return ", ".join(str(int(state)) for state in enum)


_UNKNOWN: Final = {
    "item": f"select id, state from item_rows where state not in ({_numbers(ItemState)}) or vanished not in (0, 1)",
    "batch": f"select id, state from batch_rows where state not in ({_numbers(BatchState)})",
    "request file": f"select id, state from request_files where state not in ({_numbers(FileState)})",
    "submission": f"select id, state from submissions where state not in ({_numbers(SubmissionState)})",
}


def states_known(ledger: Ledger) -> Iterator[str]:
    """Every row is in exactly one of the states that there are; a job's submission is a ready one of its own."""
    for what, sql in _UNKNOWN.items():
        for row in ledger.rows(sql):
            yield f"{what} {row['id']} is in state {row['state']}, which there is not"
    for row in ledger.rows(
        "select j.id, j.submission from jobs j left join submissions s on s.id = j.submission and s.job = j.id and s.state = ? "
        "where j.submission is not null and s.id is null",
        (SubmissionState.READY,),
    ):
        yield f"job {row['id']} shows submission {row['submission']}, which is not a ready one of its own"


# (what breaks, SQL for its id); `?1` is the first item that does not count.
_DANGLING: Final = (
    (
        "item {} belongs to no job",
        "select id from item_rows where job not in (select id from jobs)",
    ),
    (
        "item {} points into a request file that the ledger does not know",
        "select id from item_rows where file is not null and file not in (select id from request_files)",
    ),
    (
        "item {} is in a batch that the ledger does not know",
        "select id from item_rows where batch is not null and batch not in (select id from batch_rows)",
    ),
    (
        "item {} has neither an id nor a name",
        "select id from item_rows where key is null and name is null",
    ),
    (
        "item {} has no id, and cannot be found by what it asks",
        (
            "select i.id from item_rows i left join content_items c on c.job = i.job and c.hash = i.hash and c.item = i.id "
            "where i.id < ?1 and i.key is null and i.file is not null and c.item is null"
        ),
    ),
    (
        "content of item {}, which there is not",
        "select item from content_items where item not in (select id from item_rows)",
    ),
    (
        "a result of item {}, which there is not",
        "select r.item from result_rows r left join item_rows i on i.id = r.item where i.id is null",
    ),
    (
        "a result of item {} from a batch that there is not",
        "select r.item from result_rows r left join batch_rows b on b.id = r.batch where b.id is null",
    ),
    (
        "an earlier result of item {}, which there is not",
        "select h.item from history h left join item_rows i on i.id = h.item where i.id is null",
    ),
    (
        "an earlier result of item {} from a batch that there is not",
        "select h.item from history h left join batch_rows b on b.id = h.batch where b.id is null",
    ),
    (
        "a result of item {} from a model without a name",
        "select item from result_rows where model is not null and model not in (select id from models)",
    ),
)


def references_hold(ledger: Ledger) -> Iterator[str]:
    """What the hot tables name is there."""
    end = end_item(ledger)
    for what, sql in _DANGLING:
        for row in ledger.rows(sql, (end,) if "?1" in sql else ()):
            yield what.format(row[0])
