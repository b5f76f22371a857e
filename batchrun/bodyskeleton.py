"""The encoded body of requests that differ in a text or two: cut where these go, so that an item costs one string encode and no build of its own."""

import itertools
from collections.abc import Callable
from typing import Final

import msgspec

_encode: Final = msgspec.json.Encoder().encode
PROMPT: Final = b"\x00p"  # stand, by identity, where the texts go
INSTRUCTIONS: Final = b"\x00i"


def skeleton(
    build: Callable[[str, str | None], object], head: bytes, fixed: str | None, *, varies: bool
) -> tuple[bytes, ...]:
    """A request in literal parts, with PROMPT and, where instructions vary too, INSTRUCTIONS between them.

    `build` makes a body of a prompt and instructions, `head` stands before it; `fixed` are instructions that are the same in all.
    """
    marks = _marks(_encode(build("", None if varies else fixed)))
    body = build(marks[0], marks[1] if varies else fixed)
    return _cut(head + _encode(body) + b"}", marks)


def _marks(encoded: bytes) -> tuple[str, str]:
    """Two texts for the prompt and the instructions that stand nowhere else in a body."""
    return next(
        (f"\x00prompt{n}\x00", f"\x00instructions{n}\x00")
        for n in itertools.count()
        if f"prompt{n}".encode() not in encoded and f"instructions{n}".encode() not in encoded
    )


def _cut(encoded: bytes, marks: tuple[str, str]) -> tuple[bytes, ...]:
    """The encoded skeleton, cut at its marks: literal parts with PROMPT and INSTRUCTIONS (by identity) where the strings go."""
    parts: list[bytes] = [encoded]
    for mark, part in zip(marks, (PROMPT, INSTRUCTIONS), strict=True):
        needle = _encode(mark)
        cut: list[bytes] = []
        for piece in parts:
            if piece is PROMPT or needle not in piece:
                cut.append(piece)
                continue
            before, after = piece.split(needle)
            cut += [before, part, after]
        parts = cut
    return tuple(parts)
