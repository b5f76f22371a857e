"""The requests that a submission will have asked, read while it is being prepared: for whoever wants to know beforehand what they are."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from batchrun.customids import item_of, request_parts
from batchrun.ledger.connection import Ledger
from batchrun.ledger.requestfiles import read_tail
from batchrun.ledger.submissions import Submission

# Items of earlier submissions that are asked again: with their new request once the open attempt is settled, or with the one that they have.
_DEFERRED: Final = (
    "select file, offset from revisions where submission = ? and deferred = 1 order by file, offset"
)
_AGAIN: Final = "select i.file, i.offset from again a join item_rows i on i.id = a.item"
_NOT_EQUAL: Final = " where a.item not in (select item from equal)"
_IN_ORDER: Final = " order by i.file, i.offset"


def wanted_requests(ledger: Ledger, submission: Submission, *, chunk: int) -> Iterator[list[bytes]]:
    """Every request that it adds, as JSON objects, about `chunk` at a time. Items that are unchanged are not asked, and not here, nor are those
    that get the answer to an equal request.

    A request whose file was pruned is left out. Raises LedgerError when the disk refuses.
    """
    has_equal = submission.intake.tally.shared or submission.intake.tally.reused
    for writer in submission.intake.files.rendered():
        with writer.readable().open("rb", buffering=1 << 20) as file:
            lines: list[bytes] = []
            for line in file:
                if has_equal and _is_unasked(ledger, line):
                    continue
                lines.append(line)
                if len(lines) >= chunk:
                    yield lines
                    lines = []
            if lines:
                yield lines
    files = submission.intake.files.readable()
    rows = list(ledger.rows(_DEFERRED, (submission.id,)))
    if not submission.intake.known.is_empty:
        rows += ledger.rows(_AGAIN + (_NOT_EQUAL if has_equal else "") + _IN_ORDER)
    for start in range(0, len(rows), chunk):
        yield list(_tails(ledger, files, rows[start : start + chunk]))


def unasked_requests(
    ledger: Ledger, submission: Submission, *, by_earlier_job: bool, chunk: int
) -> Iterator[list[bytes]]:
    """The requests that are not asked, since equal ones of the job are, or (`by_earlier_job`) earlier jobs have asked them; as `wanted_requests`."""
    files = submission.intake.files.readable()
    found = ledger.execute(
        "select a.file, a.offset from equal e join alike a on a.item = e.item join item_rows l on l.id = e.leader "
        "where (l.job <> ?) = ? order by a.file, a.offset",
        (submission.job, by_earlier_job),
    )
    found.row_factory = sqlite3.Row
    while rows := found.fetchmany(chunk):
        yield list(_tails(ledger, files, rows))


def _is_unasked(ledger: Ledger, line: bytes) -> bool:
    """Whether a rendered line is that of an item which gets another's answer."""
    parts = request_parts(line)
    item = None if parts is None else item_of(parts[0])
    return ledger.value("select 1 from equal where item = ?", (item,)) is not None


def _tails(ledger: Ledger, files: Mapping[int, Path], rows: list[sqlite3.Row]) -> Iterator[bytes]:
    for row in rows:
        path = files.get(row["file"]) or ledger.home.request_file(row["file"])
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                tail = read_tail(descriptor, row["offset"])
            finally:
                os.close(descriptor)
            if tail is not None:
                yield b"{" + tail
