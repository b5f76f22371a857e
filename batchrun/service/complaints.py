"""What msgspec has against a script, in the words of whoever wrote the script: which of its entries, which key, and what that takes."""

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

import msgspec

_PLACE: Final = re.compile(r" - at `\$(?:\.\w+\[(\d+)\])?(?:\.(\w+))?[^`]*`$")
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(.*?)`")
_LACKING: Final = re.compile(r"Object missing required field `(.*?)`")
_WRONG_TYPE: Final = re.compile(r"Expected `(.*?)`, got `(.*?)`")
_TYPES: Final = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "null": "nothing",
}
_GIVEN: Final = {"float": "a fraction"}


def read_complaint(
    complaint: str,
    *,
    each: type[msgspec.Struct],
    top: type[msgspec.Struct],
    words: Mapping[str, type[StrEnum]],
    inner: Mapping[str, type[msgspec.Struct]] | None = None,
) -> tuple[int | None, str | None, str]:
    """The text of a ValidationError as (number of the entry from 0, key, words of ours).

    `each` is what an entry is decoded to, `top` what the whole script is; `words`: keys whose values are words of a list;
    `inner`: keys whose values are tables of their own.
    """
    place = _PLACE.search(complaint)
    number = int(place[1]) if place is not None and place[1] is not None else None
    key = place[2] if place is not None else None
    what = complaint[: place.start()] if place is not None else complaint
    if (unknown := _UNKNOWN.match(what)) is not None:
        within = (inner or {}).get(key or "")
        key = unknown[1]
        known = (within or (each if number is not None else top)).__struct_fields__
        return number, key, f"unknown key {key!r}{_nearest(key, known)}"
    if key is not None and key in words and what.startswith("Invalid enum value"):
        word = what.removeprefix("Invalid enum value ")
        known = tuple(member.value for member in words[key])
        nearest = _nearest(word.strip(chr(39)), known)
        return number, key, f"'{key}': {word} is none of its words{nearest}"
    if (lacking := _LACKING.match(what)) is not None:
        return number, lacking[1], f"{lacking[1]!r} is missing"
    if (wrong := _WRONG_TYPE.match(what)) is not None:
        what = f"it takes {_takes(wrong[1])}, not {_GIVEN.get(wrong[2]) or _in_words(wrong[2])}"
    return number, key, f"{key!r}: {what}" if key else what


def _takes(kinds: str) -> str:
    """`int | null` in words; that a key may be left out needs none."""
    return " or ".join(_in_words(kind) for kind in kinds.split(" | ") if kind != "null")


def _in_words(kind: str) -> str:
    return _TYPES.get(kind, kind)


def _nearest(word: str, known: Sequence[str]) -> str:
    import difflib

    near = difflib.get_close_matches(word, known, n=1)
    return f" (did you mean {near[0]!r}?)" if near else f": known are {', '.join(known)}"
