"""JSON Lines into objects, fast: a block is decoded by msgspec and proven clean by counting, and only doubtful lines are read again.

The proof, for a line that msgspec took as an object with `k` keys at the top: every key that is written is followed by a colon, so a
line with exactly `k` colons has no duplicate key, nothing nested and no colon in its strings. Where there are more, quotes with a colon
behind them are counted instead: there is one after every key that is written (and perhaps some in strings, which only adds), so a count
equal to the number of keys that were *kept*, nested ones included, means that none was dropped. msgspec itself refuses NaN, numbers out
of range, invalid UTF-8, and half surrogate pairs wherever it builds every value, as it does here.
"""

import re
from collections.abc import Callable, Sequence
from itertools import repeat
from operator import eq, sub

import msgspec

from batchrun.jobfile.lines import Block
from batchrun.jobfile.problems import Fault
from batchrun.jobfile.strict import parse_strict
from batchrun.model import Json, JsonObject

ReportFault = Callable[[int, Fault], None]

_decode = msgspec.json.Decoder().decode
_REFUSALS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_JUST_OBJECTS = {dict}
_KEY_ENDS = re.compile(rb'"[ \t\r\n]*:')


def decode_block(block: Block, report: ReportFault) -> tuple[list[JsonObject], Sequence[int]]:
    """The objects of a block and their line numbers, in order; blank lines are passed over.

    A line that is not one JSON object by the rules of `parse_strict` is given to `report(line, fault)` and left out.
    """
    lines = block.whole_lines()
    try:
        values: list[Json] = list(map(_decode, lines))
    except _REFUSALS:
        return _one_by_one(lines, block.line, report)
    if set(map(type, values)) != _JUST_OBJECTS:
        return _one_by_one(lines, block.line, report)
    numbers = range(block.line, block.line + len(lines))
    # Colons by what is left without them: `replace` leaps from find to find, `count` looks at every byte.
    left = map(len, map(bytes.replace, lines, repeat(b":"), repeat(b"")))
    colons = map(sub, map(len, lines), left)
    keys = list(map(len, values))
    doubtful = [index for index, is_equal in enumerate(map(eq, colons, keys)) if not is_equal]
    if not doubtful:
        return values, numbers
    together = b"".join([lines[index] for index in doubtful])
    if len(_KEY_ENDS.findall(together)) == sum([keys[index] for index in doubtful]):
        return values, numbers
    return _checked(doubtful, lines, values, numbers, report)


def decode_line(line: bytes) -> JsonObject:
    """One line as an object; raises Fault as `parse_strict` does."""
    try:
        value = _decode(line)
    except _REFUSALS:
        return parse_strict(line)
    if type(value) is dict and _is_clean(line, value):
        return value
    return parse_strict(line)


def _one_by_one(
    lines: list[bytes], first: int, report: ReportFault
) -> tuple[list[JsonObject], list[int]]:
    values: list[JsonObject] = []
    numbers: list[int] = []
    for number, line in enumerate(lines, first):
        line = line.removesuffix(b"\n")  # noqa: PLW2901 - the line as its reader counts its bytes
        if not line.strip():
            continue
        try:
            values.append(decode_line(line))
        except Fault as fault:
            report(number, fault)
        else:
            numbers.append(number)
    return values, numbers


def _checked(
    doubtful: list[int],
    lines: list[bytes],
    values: list[JsonObject],
    numbers: range,
    report: ReportFault,
) -> tuple[list[JsonObject], Sequence[int]]:
    """The last resort: every doubtful line by itself, and the strict reading for those that stay so."""
    bad: set[int] = set()
    for index in doubtful:
        line = lines[index].removesuffix(b"\n")
        if not _is_clean(line, values[index]):
            try:
                parse_strict(line)
            except Fault as fault:
                report(numbers[index], fault)
                bad.add(index)
    if not bad:
        return values, numbers
    good = [index for index in range(len(values)) if index not in bad]
    return [values[index] for index in good], [numbers[index] for index in good]


def _is_clean(line: bytes, value: JsonObject) -> bool:
    """Whether counting proves that no key of the line was dropped; False sends it to the strict reading."""
    if _has_spaced_colon(line):
        return False
    count = line.count(b'":')
    if count == len(value):
        return True
    if b'\\\\"' not in line:
        # Without a backslash before it, a quote that follows a backslash is escaped: this pair stands in a string (JSON inside JSON).
        count -= line.count(b'\\":')
    return count == _key_count(value)


def _has_spaced_colon(data: bytes) -> bool:
    """Whether white space stands before a colon, in a string or not. Tabs and CRs are rare, and looked for first as single bytes."""
    return b" :" in data or (b"\t" in data and b"\t:" in data) or (b"\r" in data and b"\r:" in data)


def _key_count(value: JsonObject) -> int:
    """Keys of an object and of all objects inside it."""
    count = 0
    open_values: list[Json] = [value]
    while open_values:
        inner = open_values.pop()
        if type(inner) is dict:
            count += len(inner)
            open_values.extend(inner.values())
        elif type(inner) is list:
            open_values.extend(inner)
    return count
