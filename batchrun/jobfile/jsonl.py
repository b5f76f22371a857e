"""JSON Lines into objects, fast: a block is decoded by msgspec and proven clean by counting, and only doubtful lines are read again.

The proof, for lines that msgspec took as objects: behind every key that is written there is a quote with a colon behind it, white space
perhaps between them. Strings may hold some more of these, which only adds. So where there are as many as keys that were *kept*, none was
dropped: of a whole block, counted at once, or of the lines that are left in doubt, nested keys included. msgspec itself refuses NaN,
numbers out of range, invalid UTF-8, and half surrogate pairs wherever it builds every value, as it does here.
"""

import re
from collections.abc import Callable, Sequence

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
# A few more than those, in half the time: there are fewer colons to look at than quotes.
_LIKE_KEY_ENDS = re.compile(rb':(?<=[" \t\r\n]:)')


def decode_block(block: Block, report: ReportFault) -> tuple[list[JsonObject], Sequence[int]]:
    """The objects of a block and their line numbers, in order; blank lines are passed over.

    A line that is not one JSON object by the rules of `parse_strict` is given to `report(line, fault)` and left out.
    """
    try:
        values: list[Json] = list(map(_decode, block.whole_lines()))
    except _REFUSALS:
        return _one_by_one(block, report)
    if set(map(type, values)) != _JUST_OBJECTS:
        return _one_by_one(block, report)
    numbers = range(block.line, block.line + len(values))
    key_count = sum(map(len, values))
    for ends in (_LIKE_KEY_ENDS, _KEY_ENDS):
        if len(ends.findall(block.data)) == key_count:
            return values, numbers
    return _checked(block, values, numbers, report)


def decode_line(line: bytes) -> JsonObject:
    """One line as an object; raises Fault as `parse_strict` does."""
    try:
        value = _decode(line)
    except _REFUSALS:
        return parse_strict(line)
    if type(value) is dict and _is_clean(line, value):
        return value
    return parse_strict(line)


def _one_by_one(block: Block, report: ReportFault) -> tuple[list[JsonObject], list[int]]:
    values: list[JsonObject] = []
    numbers: list[int] = []
    for number, line in enumerate(block.lines(), block.line):
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
    block: Block, values: list[JsonObject], numbers: range, report: ReportFault
) -> tuple[list[JsonObject], Sequence[int]]:
    """The last resort: line by line, and the strict reading for those that stay in doubt."""
    bad: set[int] = set()
    for index, (line, value) in enumerate(zip(block.lines(), values, strict=True)):
        if len(_KEY_ENDS.findall(line)) != len(value) and not _is_clean(line, value):
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
