"""A service's own words without what it repeats of ours: keys, and whatever stands in the request or its answer. Pure.

What may have been repeated is known, so it is looked for: nothing is guessed from how it looks but keys of other people's.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from batchrun.backends.reading import printable
from batchrun.model import Json

HIDDEN: Final = "[…]"
_RUN: Final = 10  # characters in a row that both have are no chance any more
_WORD_LEAST: Final = 3  # a text that short and shorter stands in any sentence
_QUOTED: Final = re.compile(
    r"'([^']+)'|\"([^\"]+)\"|`([^`]+)`|\u201c([^\u201d]+)\u201d|\u2018([^\u2019]+)\u2019"
)
# The service's own words, under these keys of a request or an answer: to hide them would hide what the error is about.
_NAMES: Final = frozenset(
    {"model", "role", "type", "detail", "object", "status", "service_tier", "truncation", "effort"}
)
_SAID_CHARACTERS: Final = 1_000


def texts_in(value: Json, *, leave_out: frozenset[str] = frozenset()) -> Iterator[str]:
    """Every text in a JSON value that is somebody's own; what stands under `leave_out` is not looked at."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for one in value:
            yield from texts_in(one, leave_out=leave_out)
    elif isinstance(value, dict):
        for key, one in value.items():
            if key not in leave_out and not (key in _NAMES and isinstance(one, str)):
                yield from texts_in(one, leave_out=leave_out)


def redacted(message: str, *, secrets: Iterable[str] = (), ours: Iterable[str] = ()) -> str:
    """What the service said, without `secrets`, and without what stands in `ours`: texts that were asked or answered.

    Hidden are runs of ten characters and more that one of them has too, quotations that are part of one, and short texts wherever they
    stand as a word.
    """
    said = printable(message, secrets=secrets, limit=_SAID_CHARACTERS)
    lowered = _lowered(said)
    is_hidden = bytearray(len(said))
    quoted = [(found.span(found.lastindex or 0)) for found in _QUOTED.finditer(said)]
    for text in ours:
        own = _lowered(" ".join(text.split()))  # as `printable` spaces it
        for start in range(len(said) - _RUN + 1):
            if lowered[start : start + _RUN] in own:
                is_hidden[start : start + _RUN] = b"\x01" * _RUN
        for start, end in quoted:
            if lowered[start:end] in own:
                is_hidden[start:end] = b"\x01" * (end - start)
        if _WORD_LEAST <= len(own) < _RUN:
            for found in re.finditer(rf"(?<!\w){re.escape(own)}(?!\w)", lowered):
                is_hidden[found.start() : found.end()] = b"\x01" * len(own)
    return _without(said, is_hidden)


def _lowered(text: str) -> str:
    """In lower case, where that keeps every character in its place."""
    lowered = text.lower()
    return lowered if len(lowered) == len(text) else text


def _without(said: str, is_hidden: bytearray) -> str:
    parts: list[str] = []
    for char, hide in zip(said, is_hidden, strict=True):
        if not hide:
            parts.append(char)
        elif not parts or parts[-1] != HIDDEN:
            parts.append(HIDDEN)
    return "".join(parts)


def scrubbed(value: Json, secrets: Iterable[str]) -> Json:
    """A JSON value in which no text holds a secret: the last look, whatever came before."""
    whole = tuple(secret for secret in secrets if secret)
    if isinstance(value, str):
        for secret in whole:
            value = value.replace(secret, "***")
        return value
    if isinstance(value, list):
        return [scrubbed(one, whole) for one in value]
    if isinstance(value, dict):
        return {key: scrubbed(one, whole) for key, one in value.items()}
    return value
