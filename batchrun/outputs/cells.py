"""One cell of the joined table: text made safe for spreadsheets and quoted where RFC 4180 asks for it.

This runs a dozen times an item, so it asks for single characters (which C finds at once) before it asks a regular expression.
"""

import re
from typing import Final

from batchrun.outputs.values import text_of

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


def defused(text: str) -> str:
    """`text` as a cell that starts no formula: a `'` goes before what would, but for plain numbers."""
    if text[:1] in _FORMULA_STARTS and text and not _NUMBER.fullmatch(text):
        return quoted("'" + text)
    return quoted(text)


def value_cell(value: bytes, *, defuse: bool) -> str:
    """A JSON value as a cell: a string as its text, null as nothing, all else as its JSON, which starts no formula."""
    if value[:1] == b'"':
        text = text_of(value)
        return defused(text) if defuse else quoted(text)
    return "" if value == b"null" else quoted(value.decode())
