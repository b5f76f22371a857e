"""Which of many hashes occur more than once: exact, in a few megabytes of memory, and cheap where none does.

Sorting a million hashes in SQLite took a seventh of PREPARE. Here they are appended to a file, half of a microsecond less an item, and read
back twice at most: once to mark a slot for each, which leaves those that may be repeated, and once more for these alone.
"""

import contextlib
import os
import sys
from array import array
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import BinaryIO, Final

from batchrun.ledger.home import Home
from batchrun.ledger.spool import disk_error, temp_beside

START_BYTES: Final = 8  # of a hash: what is compared here
_HASH_BYTES: Final = 16
_WORDS: Final = _HASH_BYTES // START_BYTES
_SLOTS_MOST: Final = 1 << 23
_HELD_MOST: Final = 300_000  # hashes that may be repeated, held at a time
_BLOCK_BYTES: Final = 1 << 18
_PARTS_MOST: Final = 256  # told apart by the highest byte of what is compared


class Fingerprints:
    """Hashes of 16 bytes, kept in a file without a name. Raises LedgerError where the disk refuses."""

    def __init__(self, home: Home) -> None:
        self._path = home.requests / "hashes"
        self._file: BinaryIO | None = None
        self.count = 0

    def note(self, hashes: Iterable[bytes]) -> None:
        """Add some."""
        data = b"".join(hashes)
        if not data:
            return
        try:
            if self._file is None:
                self._file = self._opened()
            self._file.write(data)
        except OSError as exc:
            raise disk_error(self._path, exc) from exc
        self.count += len(data) // _HASH_BYTES

    def repeated(self) -> Iterator[bytes]:
        """The first START_BYTES of those that were added more than once, each once. Two different ones that begin alike count as one."""
        if self.count < 2:
            return
        parts = 1
        while (found := self._repeated(0, parts)) is None:
            parts *= 4
        for part in range(parts):
            found = found if part == 0 else self._repeated(part, parts)
            yield from (number.to_bytes(START_BYTES, sys.byteorder) for number in found or ())

    def close(self) -> None:
        """Let the file go; idempotent."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
        self._file, self.count = None, 0

    def _opened(self) -> BinaryIO:
        temp = temp_beside(self._path)
        descriptor = os.open(temp, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        temp.unlink()
        return os.fdopen(descriptor, "w+b", _BLOCK_BYTES)

    def _repeated(self, part: int, parts: int) -> set[int] | None:
        """Those of one part of all; None where too many of the first part may be, and more parts would be fewer each."""
        slots = bytearray(min(_SLOTS_MOST, 1 << (8 * self.count).bit_length()))
        mask = len(slots) - 1
        for numbers in self._numbers(part, parts):
            for number in numbers:
                slot = number & mask
                slots[slot] = 2 if slots[slot] else 1
        maybe = array("Q")
        for numbers in self._numbers(part, parts):
            maybe.extend([number for number in numbers if slots[number & mask] == 2])
            if len(maybe) > _HELD_MOST and part == 0 and parts < _PARTS_MOST:
                return None
        del slots
        return {number for number, after in pairwise(sorted(maybe)) if number == after}

    def _numbers(self, part: int, parts: int) -> Iterator[Iterable[int]]:
        assert self._file is not None
        try:
            self._file.seek(0)
            while block := self._file.read(_BLOCK_BYTES):
                numbers: memoryview = memoryview(block).cast("Q")[::_WORDS]
                if parts == 1:
                    yield numbers
                else:
                    yield [number for number in numbers if (number >> 56) % parts == part]
        except OSError as exc:
            raise disk_error(self._path, exc) from exc
