"""The slow, exact reading of one JSON line, for lines that the fast one refused or found suspicious: it finds the cause and its place.

msgspec is fast because it does not ask: of duplicate keys it silently takes the last, and its messages for broken text do not say what
broke. Python's json with hooks sees all of it, at about three times the price, so it reads only what is worth a second look.
"""

import json
from collections import Counter
from typing import NoReturn

from batchrun.jobfile.lines import BOM
from batchrun.jobfile.problems import Fault
from batchrun.model import Json, JsonObject

INTEGER_DIGITS = (
    4_300  # what Python converts (sys.int_info.default_max_str_digits), and what msgspec takes
)
KINDS = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "true or false",
    int: "a number",
    float: "a number",
    type(None): "null",
}


def kind_of(value: Json) -> str:
    """The kind of a decoded JSON value, for messages: `a list`, `null` …; it shows no data."""
    return KINDS[type(value)]


def parse_strict(line: bytes) -> JsonObject:
    """One line as a JSON object, every rule enforced.

    Raises Fault with the cause: a byte order mark in mid-file, invalid UTF-8 (with the byte offset), half a line, a duplicate key, NaN,
    Infinity, a number out of range, half a surrogate pair, nesting beyond what Python follows, or a value that is no object.
    """
    if line.startswith(BOM):
        raise Fault(
            "a byte order mark in the middle of the file",
            "Files joined together keep theirs: remove it.",
        )
    text = _text(line)
    try:
        value = _decode(text)
    except json.JSONDecodeError as error:
        raise _not_json(text, error) from None
    except RecursionError:
        raise Fault("nested too deeply") from None
    if not isinstance(value, dict):
        raise Fault(f"{kind_of(value)}, not an object", "Each line is one JSON object: {...}.")
    return value


def _text(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        byte = line[error.start]
        raise Fault(
            f"invalid UTF-8: byte 0x{byte:02x} at offset {error.start} of the line",
            "Save the file as UTF-8.",
        ) from None


def _decode(text: str) -> Json:
    value = json.loads(
        text,
        object_pairs_hook=_object,
        parse_constant=_constant,
        parse_float=_float,
        parse_int=_int,
    )
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(error.object[error.start]):04x}"
        raise Fault(
            f"half a character: {half} without its other half",
            "A surrogate pair was cut; write the whole character.",
        ) from None
    return value


def _object(pairs: list[tuple[str, Json]]) -> JsonObject:
    value = dict(pairs)
    if len(value) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        duplicate = next(key for key, count in counts.items() if count > 1)
        raise Fault(f"duplicate key {duplicate!r}", "Keep one of them.")
    return value


def _constant(name: str) -> NoReturn:
    raise Fault(f"{name} is not JSON", "Write null, or leave the field out.")


def _float(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise Fault("a number out of range", "Write it as a string.")
    return value


def _int(digits: str) -> int:
    if len(digits.lstrip("-")) > INTEGER_DIGITS:
        raise Fault(
            f"a number of more than {INTEGER_DIGITS:,} digits",
            "Write it as a string.",
        )
    return int(digits)


def _not_json(text: str, error: json.JSONDecodeError) -> Fault:
    """A line cut short is told apart from one that was never JSON: the first happens when a writer dies."""
    ends_early = error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string")
    if ends_early and text.lstrip().startswith(("{", "[")):
        return Fault(
            "half a line: the JSON ends before it is complete",
            "Write the file again; each object stands on one line.",
        )
    return Fault(f"not JSON: {error.msg[0].lower()}{error.msg[1:]} at character {error.pos + 1}")
