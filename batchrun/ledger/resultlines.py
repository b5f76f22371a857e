"""The lines of a result file, in bounded memory: a service can send a line of any length, and must not be able to fill ours with it.

What is over the limit is no answer. It comes as one line that no reader takes for JSON, and what is left of it as white space, which
every reader passes over. Lengths are kept, so that the offsets of all other lines stay true.
"""

import os
from collections.abc import Iterator
from typing import BinaryIO

from batchrun.model import RESULT_LINE_LIMIT_BYTES


def result_lines(file: BinaryIO, *, limit: int = RESULT_LINE_LIMIT_BYTES) -> Iterator[bytes]:
    """The lines of an open file from its start, newlines included; together they are as long as the file.

    Lines end at newlines and at nothing else. Holds at most `limit` bytes and the file's own buffer. A line over `limit` bytes (newline not
    counted) comes as `limit` + 1 NULs, then as spaces of its remaining length, in pieces of at most `limit` + 1 bytes.
    """
    if os.fstat(file.fileno()).st_size <= limit:
        return iter(file)  # a fifth of a microsecond a line less
    return _bounded(file, limit)


def _bounded(file: BinaryIO, limit: int) -> Iterator[bytes]:
    is_rest = False
    while line := file.readline(limit + 1):
        ends = line.endswith(b"\n")
        if is_rest:
            line = b" " * len(line)
        elif not ends and len(line) > limit:
            line = bytes(len(line))
            is_rest = True
        yield line
        is_rest = is_rest and not ends
