"""Files of one outputs folder: durable, private, hashed on their way, and never written through somebody else's link."""

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from batchrun.errors import LedgerError
from batchrun.ledger.spool import disk_error, fsync_folder, written
from batchrun.model import JsonObject

_BUFFER_BYTES: Final = 1 << 16  # blocks are larger: they go to the file uncopied


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """One file as the manifest lists it; `cut_cells` is None but for a table whose cells have a limit, `whole_answers` more than 0 only
    for a table that lacks columns of some answers.
    """

    name: str
    bytes: int
    sha256: str
    cut_cells: int | None = None
    whole_answers: int = 0

    def listed(self) -> JsonObject:
        """As it stands in the manifest."""
        cut = {} if self.cut_cells is None else {"cut_cells": self.cut_cells}
        whole = {"whole_answers": self.whole_answers} if self.whole_answers else {}
        return {"name": self.name, "bytes": self.bytes, "sha256": self.sha256, **cut, **whole}


def make_folder(folder: Path) -> None:
    """Make `folder` (0700) and those above it. One that is there keeps its rights, but others lose the right to write.

    Raises LedgerError naming the folder: not ours, a file, read-only.
    """
    try:
        missing = [parent for parent in folder.parents if not parent.exists()]
        folder.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
            # The ledger will say that the outputs are written: a loss of power must not take their folder away.
            for made in (*missing, folder):
                fsync_folder(made.parent)
            return
        mode = folder.stat().st_mode
        if not stat.S_ISDIR(mode):
            raise LedgerError(
                f"{folder}: a file is in the way of the outputs. Move it and run the same command again."
            )
        if mode & 0o022:
            folder.chmod(stat.S_IMODE(mode) & ~0o022)
    except OSError as exc:
        raise disk_error(folder, exc) from exc


def make_inner_folder(folder: Path) -> None:
    """As `make_folder`, for a folder inside an outputs folder: a link in its place is removed, never followed."""
    try:
        if folder.is_symlink():
            folder.unlink()
    except OSError as exc:
        raise disk_error(folder, exc) from exc
    make_folder(folder)


def put(path: Path, blocks: Iterable[bytes]) -> FileEntry:
    """Write `path` whole or not at all; a link in its place is replaced. Raises LedgerError where the disk refuses."""
    digest, size = hashlib.sha256(), 0
    with written(path, buffering=_BUFFER_BYTES) as file:
        for block in blocks:
            digest.update(block)
            size += len(block)
            file.write(block)
    return FileEntry(name=path.name, bytes=size, sha256=digest.hexdigest())


def read_own(path: Path) -> bytes | None:
    """The bytes of a regular file that we may have written, or None: absent, a link, no regular file, unreadable."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        return file.read() if stat.S_ISREG(os.fstat(descriptor).st_mode) else None


def own_lines(path: Path) -> Iterator[bytes]:
    """The lines of such a file, one by one; none where `read_own` would give None."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return
    with os.fdopen(descriptor, "rb") as file:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            yield from file


def remove(path: Path) -> None:
    """Remove a name; absent is fine. Raises LedgerError where the folder refuses."""
    try:
        path.unlink(missing_ok=True)
    except OSError as exc:
        raise disk_error(path, exc) from exc
