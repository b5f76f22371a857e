"""One cell of the joined table as CSV: text made safe for spreadsheets, cut for Excel, and quoted where RFC 4180 asks for it.

This runs a dozen times an item, so it asks for single characters (which C finds at once) before it asks a regular expression.
"""

import re
from collections.abc import Callable
from typing import Final, Protocol

from batchrun.outputs.table import CutCells, Value
from batchrun.outputs.values import text_of

EXCEL_CELL_UNITS: Final = 32_767  # of UTF-16: "Total number of characters that a cell can contain", Excel specifications and limits

# A spreadsheet runs what begins so; the wide forms count in East Asian settings. A plain number such as -5 or +81901234567 is harmless.
_FORMULA_STARTS: Final = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def quoted(text: str) -> str:
    """`text` as a cell. Blanks at its ends are quoted too: some readers strip them."""
    if '"' in text:
        return '"' + text.replace('"', '""') + '"'
    if "," in text or "\n" in text or "\r" in text or text[:1].isspace() or text[-1:].isspace():
        return f'"{text}"'
    return text


def plain(text: str) -> str:
    """`text` as it is."""
    return text


def defused(text: str) -> str:
    """`text`, started so that it is no formula: a `'` goes before what would be one, but for plain numbers."""
    if text[:1] in _FORMULA_STARTS and text and not _NUMBER.fullmatch(text):
        return "'" + text
    return text


class Cells(Protocol):
    """How the cells of one table are written."""

    def text(self, text: str) -> str:
        """A text as a cell."""
        ...

    def json(self, text: str) -> str:
        """JSON that is no string as a cell: it starts no formula."""
        ...


class CsvCells:
    """Cells of `results.csv`: whole."""

    def __init__(self, *, defuse: bool) -> None:
        self._start = defused if defuse else plain

    def text(self, text: str) -> str:
        """See Cells."""
        return quoted(self._start(text))

    def json(self, text: str) -> str:
        """See Cells."""
        return quoted(text)


class ExcelCells:
    """Cells that Excel can hold: longer ones end in `…` at its limit, and are counted in `cut`."""

    def __init__(self, cut: CutCells, *, defuse: bool) -> None:
        self._start: Callable[[str], str] = defused if defuse else plain
        self._cut = cut

    def text(self, text: str) -> str:
        """See Cells."""
        return quoted(self._shortened(self._start(text)))

    def json(self, text: str) -> str:
        """See Cells."""
        return quoted(self._shortened(text))

    def _shortened(self, text: str) -> str:
        if len(text) <= EXCEL_CELL_UNITS // 2:
            return text
        units = text.encode("utf-16-le", "surrogatepass")
        if len(units) <= 2 * EXCEL_CELL_UNITS:
            return text
        self._cut.count += 1
        # Half of a pair at the cut is dropped.
        return units[: 2 * (EXCEL_CELL_UNITS - 1)].decode("utf-16-le", "ignore") + "…"


def cell(value: Value, cells: Cells) -> str:
    """A value of the table: nothing for null and for what is missing, numbers with the digits that they came with."""
    if value is None or value == b"null":
        return ""
    if isinstance(value, bytes):
        return cells.text(text_of(value)) if value[:1] == b'"' else cells.json(value.decode())
    return cells.text(value) if isinstance(value, str) else str(value)
