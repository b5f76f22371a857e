"""Bytes into whole lines: blocks of about 256 KiB that end at a newline, with line numbers, in bounded memory.

Lines end at a newline byte only. `bytes.splitlines` and text mode also break at U+2028, form feeds and others, which JSON strings and CSV cells
may hold unescaped; a file cut there has other lines than its author sees.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from batchrun.jobfile.problems import Fault
from batchrun.model import ITEM_LINE_LIMIT_BYTES

# What is made of a block (lines, objects, requests, rows) should stay in the cache of one core: a MiB took a third longer.
BLOCK_BYTES = 1 << 18
BOM = b"\xef\xbb\xbf"
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Whole lines. `line` is the 1-based number of the first; only the last block of a file may lack its final newline.

    Where `is_oversized`, the block stands for one line over the limit: `data` holds no more than how it begins.
    """

    line: int
    data: bytes
    is_oversized: bool = False

    def whole_lines(self) -> Iterator[bytes]:
        """The lines as they are, newlines included: cheaper than `lines`, and JSON does not mind."""
        return io.BytesIO(self.data)

    def lines(self) -> list[bytes]:
        """The lines without their newlines; a final newline starts no further line."""
        lines = self.data.split(b"\n")
        if not lines[-1]:
            lines.pop()
        return lines


def too_long(limit: int = ITEM_LINE_LIMIT_BYTES) -> Fault:
    """The fault of a line over the limit."""
    return Fault(
        f"a line of more than {limit:,} bytes",
        "Split the item; if the file is one long line, put one object on each line.",
    )


def newline_count(data: bytes) -> int:
    """How many newlines. `bytes.count` of one byte looks at every byte; `replace` leaps from find to find, in a tenth of the time."""
    return len(data) - len(data.replace(b"\n", b""))


def read_blocks(
    stream: BinaryIO, *, block_bytes: int = BLOCK_BYTES, limit: int = ITEM_LINE_LIMIT_BYTES
) -> Iterator[Block]:
    """Cut a binary stream into blocks of whole lines.

    A byte order mark at the start is dropped. Never holds more than `limit` + `block_bytes`: a longer line is skipped to its newline and
    yielded as an oversized block. Raises Fault for UTF-16 before anything is yielded. `limit >= block_bytes`.
    """
    assert limit >= block_bytes > 0
    line, is_first = 1, True
    while data := stream.read(block_bytes):
        if is_first:
            data = _without_mark(data)
            is_first = False
        if not data.endswith(b"\n"):
            data += stream.readline(limit)
        last = data.rfind(b"\n", 0, -1) + 1  # only the last line can be longer than a block
        if len(data) - last - data.endswith(b"\n") > limit:
            if last:
                yield Block(line=line, data=data[:last])
                line += newline_count(data[:last])
            yield Block(line=line, data=data[last : last + block_bytes], is_oversized=True)
            line += 1
            while data and not data.endswith(b"\n"):
                data = stream.readline(block_bytes)
        elif data:
            yield Block(line=line, data=data)
            line += newline_count(data)


def _without_mark(head: bytes) -> bytes:
    if head.startswith(UTF16_MARKS) or b"\0" in head[:4]:
        raise Fault("the file is UTF-16, not UTF-8", "Save it as UTF-8.")
    return head.removeprefix(BOM)
