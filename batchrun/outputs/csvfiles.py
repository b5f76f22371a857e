"""The joined table as CSV: `results.csv` for programs, `results.excel.csv` for people who open it in Excel.

RFC 4180 in UTF-8. The first has no byte order mark and ends lines with a newline; the second has what Excel asks for: the mark, without which
it takes UTF-8 for an old code page, CRLF, and no cell over its limit.
"""

from collections.abc import Iterator
from typing import Final

from batchrun.ledger.connection import Ledger
from batchrun.outputs.cells import Cells, CsvCells, ExcelCells, cell
from batchrun.outputs.rows import JobView
from batchrun.outputs.table import CutCells, find_columns, table_rows

CSV: Final = "results.csv"
EXCEL: Final = "results.excel.csv"
_MARK: Final = b"\xef\xbb\xbf"


def csv_blocks(
    ledger: Ledger, job: JobView, *, defuse: bool, cut: CutCells | None = None
) -> Iterator[bytes]:
    """The table in blocks of whole rows, header first. `defuse`: text that would start a formula gets a `'` before it; `cut` as in `table_rows`."""
    return _blocks(ledger, job, CsvCells(defuse=defuse), "\n", cut)


def excel_blocks(
    ledger: Ledger, job: JobView, *, defuse: bool, cut: CutCells | None = None
) -> Iterator[bytes]:
    """The same for Excel; `cut` counts the cells that were longer than it takes, too."""
    yield _MARK
    cut = cut or CutCells()
    yield from _blocks(ledger, job, ExcelCells(cut, defuse=defuse), "\r\n", cut)


def _blocks(
    ledger: Ledger, job: JobView, cells: Cells, end: str, cut: CutCells | None
) -> Iterator[bytes]:
    columns = find_columns(ledger, job)
    yield (",".join(map(cells.text, columns.header)) + end).encode()
    for rows in table_rows(ledger, job, columns, cut):
        lines = [",".join([cell(value, cells) for value in row]) + end for row in rows]
        yield "".join(lines).encode()
