"""CSV and TSV as sources: one item a row, every value a string, named by the header.

Lines are cut on bytes, so that a row that does not decode or is too long is one problem with its line, not the end of the file; the csv
module joins them again where a quoted cell holds line breaks. A row is named by the line on which it starts.
"""

import csv
from collections.abc import Iterator
from typing import BinaryIO

from batchrun.jobfile.lines import BLOCK_BYTES, read_blocks, too_long
from batchrun.jobfile.problems import Fault, ProblemSink
from batchrun.jobfile.sources.base import ItemBlock, header_fault
from batchrun.model import ITEM_LINE_LIMIT_BYTES, JsonObject

DELIMITERS = {".csv": ",", ".tsv": "\t"}
_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


class _RowTooLong(Fault):
    """Nothing after this row can be made out."""


class _Lines:
    """The lines of a stream as text for `csv.reader`; knows where the current row began and what is wrong with it."""

    def __init__(self, stream: BinaryIO, limit: int) -> None:
        self._source = self._text(stream)
        self._limit = limit
        self._row_bytes = 0
        self.line = 0  # the last one given out
        self.faults: list[tuple[int, Fault]] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        return next(self._source)

    def start_row(self) -> int:
        """Called before each row; returns the line on which it will start."""
        self._row_bytes = 0
        self.faults = []
        return self.line + 1

    def _text(self, stream: BinaryIO) -> Iterator[str]:
        for block in read_blocks(stream):
            if block.is_oversized:
                self._advance(0)
                self.faults.append((self.line, too_long()))
                yield "\n"
                continue
            for raw in block.lines():
                self._advance(len(raw) + 1)
                yield self._decoded(raw) + "\n"

    def _advance(self, length: int) -> None:
        self.line += 1
        self._row_bytes += length
        if self._row_bytes > self._limit:
            raise _RowTooLong(
                f"a row of more than {self._limit:,} bytes starts here: a quote that never closes?",
                "The rest of the file was not read.",
            )

    def _decoded(self, raw: bytes) -> str:
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            fault = Fault(
                f"invalid UTF-8: byte 0x{raw[error.start]:02x} at offset {error.start} of the line",
                "Save the file as UTF-8.",
            )
            self.faults.append((self.line, fault))
            return raw.decode(errors="replace")


def read_table(
    stream: BinaryIO,
    path: str,
    delimiter: str,
    problems: ProblemSink,
    block_count: int,
    *,
    row_limit: int = ITEM_LINE_LIMIT_BYTES,
) -> Iterator[ItemBlock]:
    """The rows of a table with a header. Bad rows go to `problems`; without a usable header there are no items.

    A broken row that ran over several lines, or to the end, is a problem of the whole table: nobody can tell how many rows are in it.

    An empty file is a problem. A header without rows has no items and is none: a nightly export may well be empty.
    """
    rows = _rows(stream, path, delimiter, problems, row_limit)
    start, names = next(rows, (0, None))
    if names is None:
        return
    if fault := _header_fault(names, delimiter):
        problems.add(fault.at(path, start))
        return
    fields: list[JsonObject] = []
    numbers: list[int] = []
    held_bytes = 0
    for start, cells in rows:
        if len(cells) != len(names):
            problems.add(_ragged(len(cells), len(names)).of_item(path, start))
            continue
        fields.append(dict(zip(names, cells, strict=True)))
        numbers.append(start)
        held_bytes += sum(map(len, cells))
        if len(fields) == block_count or held_bytes >= BLOCK_BYTES:
            yield ItemBlock(path=path, fields=fields, lines=numbers)
            fields, numbers, held_bytes = [], [], 0
    if fields:
        yield ItemBlock(path=path, fields=fields, lines=numbers)


def _rows(
    stream: BinaryIO, path: str, delimiter: str, problems: ProblemSink, row_limit: int
) -> Iterator[tuple[int, list[str]]]:
    """Readable rows that are not blank, each with the line on which it starts; the others are reported.

    A header that cannot be read ends the table: what follows it has no names.
    """
    csv.field_size_limit(max(csv.field_size_limit(), row_limit))
    lines = _Lines(stream, row_limit)
    rows = csv.reader(lines, delimiter=delimiter, strict=True)
    is_header = True
    while True:
        is_torn = False
        start = lines.start_row()
        try:
            cells = next(rows, None)
        except csv.Error as error:
            lines.faults.append((start, _csv_fault(error)))
            cells = []
            # What a misplaced quote swallowed may be many rows, or the end of the file.
            is_torn = lines.line > start or "end of data" in str(error)
        except _RowTooLong as too_long_row:
            problems.add(too_long_row.at(path, start))
            return
        if cells is None:
            if is_header:
                empty = Fault("the table is empty", "Its first row names the columns.")
                problems.add(empty.at(path))
            return
        for line, fault in lines.faults:
            is_item = not (is_header or is_torn)
            problems.add(fault.of_item(path, line) if is_item else fault.at(path, line))
        if lines.faults:
            if is_header:
                return
        elif cells:
            yield start, cells
            is_header = False


def _header_fault(names: list[str], delimiter: str) -> Fault | None:
    if len(names) == 1:
        for other, word in _NAMES.items():
            if other != delimiter and other in names[0]:
                return Fault(
                    f"the header is one column, separated by {word}",
                    f"This file is read with {_NAMES[delimiter]}: save it with those, or name it .tsv or .csv accordingly.",
                )
    return header_fault(names, what="header", fix="Rename one of them.")


def _ragged(cells: int, names: int) -> Fault:
    relation = "more" if cells > names else "fewer"
    return Fault(
        f"{cells} cell{'s' if cells > 1 else ''}, {relation} than the {names} columns of the header",
        "Quote cells that hold the separator, line breaks or quotes.",
    )


def _csv_fault(error: csv.Error) -> Fault:
    message = str(error)
    if "end of data" in message:
        return Fault("a quoted cell is never closed", 'End it with ".')
    if "new-line" in message:
        return Fault(
            "a bare carriage return", "Save the file with LF or CRLF line ends, or quote the cell."
        )
    return Fault("text after a closing quote", 'Inside a quoted cell, write a quote as "".')
