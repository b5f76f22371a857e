"""The line on which a fault or one of its keys stands in a script's text, for error messages. Pure; None where it cannot be told."""

import json
import re
from collections.abc import Iterator
from typing import Final

_HEADER: Final = re.compile(r"^\s*\[\[\s*fault\s*\]\]")
_SPACE: Final = re.compile(r"[\s,:]*")


def line_in_toml(text: str, number: int, key: str | None) -> int | None:
    """Of the `number`-th (from 0) `[[fault]]`, or of a key in it."""
    found, start = -1, None
    for line, words in enumerate(text.split("\n"), 1):
        if _HEADER.match(words):
            found += 1
            if found == number:
                start = line
        elif (
            found == number and key is not None and re.match(rf"\s*[\"']?{key}[\"']?\s*[.=]", words)
        ):
            return line
    return start


def line_in_json(text: str, number: int, key: str | None) -> int | None:
    """Of the `number`-th (from 0) object of the list "fault", or of a key in it. `text` is JSON that can be parsed."""
    at = next((start for name, start in _entries(text, text.find("{")) if name == "fault"), None)
    if at is None or text[at] != "[":
        return None
    for found, start in enumerate(_elements(text, at)):
        if found == number:
            keys = dict(_entries(text, start)) if text[start] == "{" and key is not None else {}
            return text.count("\n", 0, keys.get(key or "", start)) + 1
    return None


def _entries(text: str, start: int) -> Iterator[tuple[str, int]]:
    """(name, position of its value) of an object that opens at `start`."""
    decoder, at = json.JSONDecoder(), _skip(text, start + 1)
    while text[at] != "}":
        name, at = decoder.raw_decode(text, at)
        at = _skip(text, at)
        yield name, at
        _, at = decoder.raw_decode(text, at)
        at = _skip(text, at)


def _elements(text: str, start: int) -> Iterator[int]:
    """Positions of the elements of a list that opens at `start`."""
    decoder, at = json.JSONDecoder(), _skip(text, start + 1)
    while text[at] != "]":
        yield at
        _, at = decoder.raw_decode(text, at)
        at = _skip(text, at)


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    assert found is not None
    return found.end()
