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

    At most the `block_count` asked for, and about 256 KiB of source; none where all that was read is bad.
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
def opened(path: str, *, is_job_file: bool = False) -> Iterator[BinaryIO]:
    """Open a file to read bytes; whatever the system has against it, then or later, is a Fault.

    Regular files only, since they are read more than once: a pipe would be waited for, for ever, and some devices never end.
    """
    try:
        check_regular(path)
        with open(path, "rb") as stream:  # noqa: PTH123 - half the cost of Path.open, and a glob opens thousands
            yield stream
    except OSError as error:
        raise os_fault(error, is_job_file=is_job_file) from error


def check_regular(path: str) -> None:
    """Raises Fault for a pipe or a device, OSError for what is not there. A folder passes: opening it says so."""
    mode = os.stat(path).st_mode  # noqa: PTH116 - as above
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise Fault(
            "a pipe or a device, not a file",
            "Save the data to a file first, or pipe it in as JSON Lines with `--items -`.",
        )


def header_fault(names: Sequence[str], *, what: str, fix: str) -> Fault | None:
    """Why these names of columns cannot be an item's fields, or None. `what` is where they stand, `fix` how one is given another name."""
    seen: set[str] = set()
    for column, name in enumerate(names, 1):
        if not name.strip():
            return Fault(f"column {column} of the {what} has no name", "Name every column.")
        if name in seen:
            return Fault(f"duplicate column {name!r} in the {what}", fix)
        seen.add(name)
    return None
