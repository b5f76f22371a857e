"""What every item source yields, and the opening of files."""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from batchrun.jobfile.problems import Fault, os_fault
from batchrun.model import JsonObject

BLOCK_COUNT = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemBlock:
    """Some items of one file: `fields[i]` stands on line `lines[i]` of `path` (as messages show it).

    At least one item, at most the `block_count` asked for, and about 256 KiB of source.
    """

    path: str
    fields: list[JsonObject]
    lines: Sequence[int]


def in_blocks(
    path: str, fields: list[JsonObject], lines: Sequence[int], block_count: int
) -> Iterator[ItemBlock]:
    """Cut what one read gave into blocks of at most `block_count` items."""
    for start in range(0, len(fields), block_count):
        end = start + block_count
        yield ItemBlock(path=path, fields=fields[start:end], lines=lines[start:end])


@contextmanager
def opened(path: str) -> Iterator[BinaryIO]:
    """Open a file to read bytes; whatever the system has against it, then or later, is a Fault.

    Regular files only, since they are read more than once: a pipe would be waited for, for ever, and some devices never end.
    """
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - as below
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise Fault(
                "a pipe or a device, not a file",
                "Save the data to a file first, or pipe it in as JSON Lines with `--items -`.",
            )
        with open(path, "rb") as stream:  # noqa: PTH123 - half the cost of Path.open, and a glob opens thousands
            yield stream
    except OSError as error:
        raise os_fault(error) from error
