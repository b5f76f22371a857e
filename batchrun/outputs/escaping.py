"""Foreign text made safe to look at: ids, answers and error messages may hold anything, a terminal must not obey it."""

import re
from typing import Final

# C0 and C1 controls; the line and paragraph separators; the Unicode controls that reorder or hide text (bidi, zero width, tags);
# lone surrogates, which no terminal can be sent. Sources: ECMA-48; Unicode 16, UAX #9 and UTS #39.
_UNSAFE: Final = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"
    "\u00ad\u061c\u115f\u1160\u180e"
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\u3164\ufeff\uffa0\ufff9-\ufffb"
    "\ud800-\udfff"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e007f"
    "]"
)


def printable(text: str) -> str:
    r"""`text` in one line that a terminal shows and does not obey: what controls, reorders or hides becomes `\n`, `\x1b`, `\u202e`, …

    Everything else stays as it is, the backslash too: this is for the eye, not for reading back.
    """
    return _UNSAFE.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    char = found[0]
    short = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(char)
    if short is not None:
        return short
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
