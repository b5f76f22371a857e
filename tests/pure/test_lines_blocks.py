"""Bytes are cut into whole lines whatever the block size, and every line keeps its number."""

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.jobfile.lines import Block, read_blocks
from batchrun.jobfile.problems import Fault


def blocks(data: bytes, block_bytes: int = 4, limit: int = 10) -> list[Block]:
    return list(read_blocks(io.BytesIO(data), block_bytes=block_bytes, limit=limit))


def numbered(cut: list[Block]) -> list[tuple[int, bytes]]:
    return [pair for block in cut for pair in enumerate(block.lines(), block.line)]


def test_a_line_that_spans_blocks_is_put_together() -> None:
    assert numbered(blocks(b"abcdefg\nhi\n")) == [(1, b"abcdefg"), (2, b"hi")]


@pytest.mark.fault(45)
def test_a_last_line_without_newline_is_a_line() -> None:
    assert numbered(blocks(b"a\nb")) == [(1, b"a"), (2, b"b")]


@pytest.mark.fault(44)
def test_other_line_breaks_of_unicode_do_not_end_a_line() -> None:
    line = "a\u2028b\u0085c\x0cd\re".encode()
    assert numbered(blocks(line + b"\n", 100, 100)) == [(1, line)]


@pytest.mark.fault(45)
def test_a_byte_order_mark_at_the_start_is_dropped() -> None:
    assert numbered(blocks(b"\xef\xbb\xbfa\n")) == [(1, b"a")]
    assert blocks(b"\xef\xbb\xbf") == []


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.fault(45)
def test_utf16_is_refused_with_what_to_do(encoding: str) -> None:
    with pytest.raises(Fault, match="UTF-16") as caught:
        blocks('{"job": "a"}'.encode(encoding), 100, 100)
    assert caught.value.fix == "Save it as UTF-8."


@pytest.mark.fault(46)
def test_a_line_over_the_limit_is_skipped_to_its_newline_and_counted_once() -> None:
    cut = blocks(b"a\n" + b"x" * 50 + b"\nb\n")
    assert [(block.line, block.is_oversized) for block in cut] == [
        (1, False),
        (2, True),
        (3, False),
    ]
    assert numbered([cut[0], cut[2]]) == [(1, b"a"), (3, b"b")]


def test_a_line_just_over_the_limit_that_ends_in_the_next_read_is_skipped() -> None:
    cut = blocks(b"x" * 11 + b"\nb\n")
    assert [(block.line, block.is_oversized) for block in cut] == [(1, True), (2, False)]


def test_a_line_over_the_limit_at_the_end_is_reported_once() -> None:
    assert [block.is_oversized for block in blocks(b"x" * 50)] == [True]


def test_a_line_that_ends_exactly_with_the_skipped_block_is_followed_by_the_next() -> None:
    assert [b.line for b in blocks(b"x" * 15 + b"\n" + b"b\n")] == [1, 2]


@pytest.mark.fault(39, 46)
def test_a_line_over_the_limit_is_never_held_whole() -> None:
    class Long(io.RawIOBase):
        left = 200

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            self.left -= 1
            buffer[:] = b"x" * len(buffer)
            return len(buffer) if self.left > 0 else 0

    asked: list[int] = []

    class Counting(io.BufferedReader):
        def readline(self, size: int | None = -1) -> bytes:
            asked.append(size if size is not None else -1)
            return super().readline(size)

    cut = list(read_blocks(Counting(Long(), 1000), block_bytes=1000, limit=2000))
    assert max(asked) == 2000
    assert min(asked) > 0
    assert [(block.is_oversized, len(block.data)) for block in cut] == [(True, 1000)]


@given(
    st.lists(st.binary(max_size=10).map(lambda line: line.replace(b"\n", b"n")), max_size=20),
    st.integers(1, 12),
    st.booleans(),
)
def test_blocks_joined_are_the_input_for_any_block_size(
    lines: list[bytes], block_bytes: int, ends: bool
) -> None:
    data = b"\n".join(lines) + (b"\n" if ends and lines else b"")
    if data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")) or b"\0" in data[:4]:
        return
    cut = blocks(data, block_bytes, 12)
    assert b"".join(block.data for block in cut) == data
    expected = data.split(b"\n")
    if not expected[-1]:
        expected.pop()
    assert numbered(cut) == list(enumerate(expected, 1))
