"""Reading files that may be damaged, missing or somebody else's: streamed, never through a link, and no error but ours."""

import hashlib
import os
import stat
from collections import OrderedDict
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from batchrun.errors import LedgerError
from batchrun.ledger.spool import checksum_of

_BLOCK_BYTES: Final = 1 << 20
_OPEN_MOST: Final = 64


class OpenSpool:
    """Reads pieces out of many files, the last few of which stay open."""

    def __init__(self) -> None:
        self._open: OrderedDict[Path, int | None] = OrderedDict()

    def descriptor(self, path: Path) -> int | None:
        """The open file, or None where it cannot be opened."""
        if path in self._open:
            self._open.move_to_end(path)
            return self._open[path]
        if len(self._open) >= _OPEN_MOST:
            _close(self._open.popitem(last=False)[1])
        try:
            found: int | None = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:
            found = None
        self._open[path] = found
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        while self._open:
            _close(self._open.popitem()[1])


def _close(descriptor: int | None) -> None:
    if descriptor is not None:
        os.close(descriptor)


def size_of(path: Path) -> int | None:
    """The bytes of a regular file, or None where there is none."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def sha256_of(path: Path) -> tuple[int, str] | None:
    """(bytes, hex digest) of a regular file; None where there is none, or only a link. Raises LedgerError where it cannot be read."""
    if size_of(path) is None:
        return None
    digest, size = hashlib.sha256(), 0
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
                size += len(block)
    except OSError as exc:
        raise unreadable(path, exc) from exc
    return size, digest.hexdigest()


def is_unchanged(path: Path, checksum: str) -> bool:
    """Whether the spool file is, byte for byte, the one that was recorded with this checksum. Raises LedgerError where it cannot be read."""
    try:
        return checksum_of(path) == checksum
    except OSError as exc:
        raise unreadable(path, exc) from exc


def unreadable(path: Path, exc: OSError) -> LedgerError:
    """What the disk says of `path`, as ours."""
    return LedgerError(
        f"{path}: cannot be read: {exc.strerror}. Make it readable for this user, and verify again."
    )
