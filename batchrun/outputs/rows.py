"""One job's items in the order of its outputs, streamed from the ledger in blocks; the base of everything written here.

The order is that of the input. Where the item ids follow it (nearly always) the items come in one merge join by id. Where a later submission
changed the order, the ids are sorted first and the rows fetched block by block: a sort of whole rows would spill every answer to disk.
"""

import contextlib
import itertools
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from batchrun.errors import LedgerError, UsageError
from batchrun.ledger.connection import Ledger
from batchrun.ledger.submissions import settings_from_json
from batchrun.model import JobSettings

BLOCK_ITEMS: Final = 250  # larger blocks fall out of the cache of a core
_MAX_ID: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """A job as its outputs need it. `first_item <= id < end_item` holds for every item of the job; other jobs' may lie between.

    `is_reordered`: item_order has rows for it. `submission` and `submitted_at` are those of the last submission that is ready.
    """

    id: int
    name: str
    profile: str
    source: str
    folder: Path
    settings: JobSettings
    paused: str | None
    submission: int | None
    submitted_at: int | None
    first_item: int
    end_item: int
    is_reordered: bool


def job_view(ledger: Ledger, job_id: int) -> JobView:
    """Read a job. Raises UsageError where there is none with this number."""
    row = ledger.row(
        "select j.*, s.at as submitted_at from jobs j left join submissions s on s.id = j.submission where j.id = ?",
        (job_id,),
    )
    if row is None:
        raise UsageError(
            f"no job with number {job_id} in {ledger.home.path}. `batchrun status` lists the jobs."
        )
    first, end = _span(ledger, job_id)
    reordered = ledger.value(
        "select 1 from item_order o cross join item_rows i on i.id = o.item "
        "where o.item >= ? and o.item < ? and i.job = ? limit 1",
        (first, end, job_id),
    )
    return JobView(
        id=job_id,
        name=row["name"],
        profile=row["profile"],
        source=row["source"],
        folder=Path(row["outputs"]),
        settings=settings_from_json(row["settings"]),
        paused=row["paused"],
        submission=row["submission"],
        submitted_at=row["submitted_at"],
        first_item=first,
        end_item=end,
        is_reordered=reordered is not None,
    )


def _span(ledger: Ledger, job_id: int) -> tuple[int, int]:
    """Bounds of the job's item ids: a submission takes them from its first_item on, and the next one of any job begins after."""
    row = ledger.row(
        "select min(first_item) as first, max(id) as last from submissions where job = ?", (job_id,)
    )
    assert row is not None
    if row["first"] is None:
        return 0, _MAX_ID
    end = ledger.value("select min(first_item) from submissions where id > ?", (row["last"],))
    return int(row["first"]), _MAX_ID if end is None else int(end)


def item_blocks(
    ledger: Ledger, job: JobView, columns: str, *, joins: str = "", where: str = "1"
) -> Iterator[list[tuple[Any, ...]]]:
    """Blocks of 1..BLOCK_ITEMS rows of `columns`, in output order; vanished items are left out.

    `columns`, `joins` and `where` are SQL of ours over `item_rows i`. Plain tuples: this is the hot path. Raises LedgerError.
    """
    if job.is_reordered:
        return _reordered(ledger, job, columns, joins, where)
    return _blocks(
        ledger,
        f"select {columns} from item_rows i not indexed {joins} "
        f"where i.job = ? and i.id >= ? and i.id < ? and i.vanished = 0 and {where} order by i.id",
        (job.id, job.first_item, job.end_item),
    )


def _reordered(
    ledger: Ledger, job: JobView, columns: str, joins: str, where: str
) -> Iterator[list[tuple[Any, ...]]]:
    ids = _blocks(
        ledger,
        "select i.id from item_rows i not indexed left join item_order o on o.item = i.id "
        "where i.job = ? and i.id >= ? and i.id < ? and i.vanished = 0 order by o.position is null, o.position, i.id",
        (job.id, job.first_item, job.end_item),
    )
    for block in ids:
        marks = ",".join("?" * len(block))
        found = {
            row[0]: row[1:]
            for row in itertools.chain.from_iterable(
                _blocks(
                    ledger,
                    f"select i.id, {columns} from item_rows i {joins} where i.id in ({marks}) and {where}",
                    tuple(item for (item,) in block),
                )
            )
        }
        rows = [found[item] for (item,) in block if item in found]
        if rows:
            yield rows


def _blocks(
    ledger: Ledger, sql: str, parameters: tuple[object, ...]
) -> Iterator[list[tuple[Any, ...]]]:
    with reading(ledger):
        cursor = ledger.connection.execute(sql, parameters)
        try:
            while rows := cursor.fetchmany(BLOCK_ITEMS):
                yield rows
        finally:
            cursor.close()


@contextlib.contextmanager
def reading(ledger: Ledger) -> Iterator[None]:
    """What SQLite says of a damaged or busy database, as ours. A wrong statement is our bug and stays what it is."""
    try:
        yield
    except sqlite3.DatabaseError as exc:
        if isinstance(exc, sqlite3.ProgrammingError | sqlite3.IntegrityError):
            raise
        raise LedgerError(
            f"{ledger.home.database}: {exc}. The outputs that are there stay as they are; run the same command again."
        ) from exc


@contextlib.contextmanager
def snapshot(ledger: Ledger) -> Iterator[None]:
    """One consistent view over several queries; a no-op inside the caller's transaction. Takes no lock and blocks no writer."""
    if ledger.connection.in_transaction:
        yield
        return
    with reading(ledger):
        ledger.connection.execute("begin")
    try:
        yield
    finally:
        if ledger.connection.in_transaction:
            ledger.connection.execute("rollback")
