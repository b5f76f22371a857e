"""How files get damaged: a stretch of bytes is replaced by others, at any place, of any kind."""

from dataclasses import dataclass
from typing import Final

from hypothesis import strategies as st

# What parsers stumble over, and services, editors and disks are known to produce.
NASTY: Final = (
    *(b"", b"\n", b"\r\n", b"\r", b"\n\n", b"\x0b", b"\x0c", b"\x85", b"\xe2\x80\xa8", b"\0", b"\xef\xbb\xbf", b"\xff\xfe"),
    *(b'"', b"\\", b"\\u", b"\\ud800", b"\\udc00", b"\\u0000", b"{", b"}", b"[", b"]", b",", b":", b"'", b"\xff", b"\xc3", b"\xed\xa0\x80"),
    *(b"NaN", b"-Infinity", b"1e999", b"-0", b"9" * 25, b"7" * 400, b"9" * 4_400, b"1." + b"0" * 400, b"null", b"true", b"{}", b"[]", b'""'),
    *(b"[" * 1_200, b'{"a":' * 1_200, b"[[]," * 600, b'{"a":{"a":1}}', b"]" * 50, b"}" * 50),
    *(b'"id":"i1",', b'"text":"x",', b'"error":{"message":"x"},', b'"response":null,', b'"custom_id":7,', b'"status_code":"x",'),
    *(b"<html>", b"= 1 + 1", b"\x1b[2J", b"x" * 300, b"\xe2\x80\xae", "é".encode("utf-16"), "é".encode("latin-1")),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Wound:
    """`junk` stands in place of the bytes from `start` to `end`."""

    start: int
    end: int
    junk: bytes

    def of(self, data: bytes) -> bytes:
        """The damaged bytes."""
        return data[: self.start] + self.junk + data[self.end :]

    def spared(self, data: bytes) -> list[tuple[int, bytes]]:
        """The lines of `data` that are whole in the damaged file too, each with its 1-based number there."""
        kept, at = [], 0
        shift = self.junk.count(b"\n") - data[self.start : self.end].count(b"\n")
        for number, line in enumerate(data.splitlines(keepends=True), 1):
            end = at + len(line)
            if end < self.start or (end == self.start and line.endswith(b"\n")):
                kept.append((number, line))
            elif at > self.end or (at == self.end and self.junk.endswith(b"\n")):
                kept.append((number + shift, line))
            at = end
        return kept


@st.composite
def wounds(draw: st.DrawFn, data: bytes, *, first: int = 0) -> Wound:
    """One wound of `data`, behind its first `first` bytes: a flipped bit, a cut, a hole, an insertion, a piece of the same file."""
    start = draw(st.integers(first, len(data)))
    kind = draw(st.sampled_from(["flip", "cut", "hole", "insert", "replace", "splice"]))
    if kind == "flip" and start < len(data):
        bit = 1 << draw(st.integers(0, 7))
        return Wound(start=start, end=start + 1, junk=bytes([data[start] ^ bit]))
    if kind == "cut":
        return Wound(start=start, end=len(data), junk=b"")
    end = start if kind == "insert" else min(len(data), start + draw(st.integers(0, 60)))
    if kind == "hole":
        return Wound(start=start, end=end, junk=b"")
    if kind == "splice":
        other = draw(st.integers(0, len(data)))
        return Wound(start=start, end=end, junk=data[other : other + draw(st.integers(0, 400))])
    junk = draw(st.sampled_from(NASTY) | st.binary(max_size=8))
    return Wound(start=start, end=end, junk=junk)


@st.composite
def mauled(draw: st.DrawFn, data: bytes) -> bytes:
    """`data` with one to five wounds, now and then in another encoding."""
    for _ in range(draw(st.integers(1, 5))):
        data = draw(wounds(data)).of(data)
    match draw(st.integers(0, 19)):
        case 0:
            return data.decode("utf-8", "replace").encode("utf-16")
        case 1:
            return data.decode("utf-8", "replace").encode("latin-1", "replace")
        case _:
            return data
