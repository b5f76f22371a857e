"""The requests that a submission will have asked, read while it is being prepared: for whoever wants to know beforehand what they are."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from batchrun.ledger.connection import Ledger
from batchrun.ledger.requestfiles import read_tail
from batchrun.ledger.submissions import Submission

# Items of earlier submissions that are asked again: with their new request once the open attempt is settled, or with the one that they have.
_DEFERRED: Final = (
    "select file, offset from revisions where submission = ? and deferred = 1 order by file, offset"
)
_AGAIN: Final = "select i.file, i.offset from again a join item_rows i on i.id = a.item order by i.file, i.offset"


def wanted_requests(ledger: Ledger, submission: Submission, *, chunk: int) -> Iterator[list[bytes]]:
    """Every request that it adds, as JSON objects, about `chunk` at a time. Items that are unchanged are not asked, and not here.

    A request whose file was pruned is left out. Raises LedgerError when the disk refuses.
    """
    for writer in submission.intake.files.rendered():
        with writer.readable().open("rb", buffering=1 << 20) as file:
            lines: list[bytes] = []
            for line in file:
                lines.append(line)
                if len(lines) >= chunk:
                    yield lines
                    lines = []
            if lines:
                yield lines
    files = submission.intake.files.readable()
    rows = list(ledger.rows(_DEFERRED, (submission.id,)))
    if not submission.intake.known.is_empty:
        rows += ledger.rows(_AGAIN)
    for start in range(0, len(rows), chunk):
        yield list(_tails(ledger, files, rows[start : start + chunk]))


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
