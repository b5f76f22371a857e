"""Durable files: a name in the spool means complete bytes on disk.

The order is always: temp file in the same folder (0600, O_EXCL, O_NOFOLLOW), write, fsync, rename, fsync of the folder.
"""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import xxhash

from batchrun.errors import LedgerError

TEMP_SUFFIX = ".part"
_BLOCK_BYTES: Final = 1 << 20


def temp_beside(path: Path) -> Path:
    """A fresh temp name in the folder of `path`; swept by its suffix if its writer dies."""
    return path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}{TEMP_SUFFIX}")


@contextlib.contextmanager
def written(path: Path, *, buffering: int = 1 << 20, syncs_name: bool = True) -> Iterator[BinaryIO]:
    """A binary file that appears at `path` whole when the block ends well, and not at all when it does not.

    Without `syncs_name` the caller makes the names of many files durable at once (`fsync_folder`).

    Raises LedgerError naming path and reason where the disk refuses.
    """
    temp = temp_beside(path)
    try:
        descriptor = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(descriptor, "wb", buffering) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temp.rename(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temp.unlink()
            raise
        if syncs_name:
            fsync_folder(path.parent)
    except OSError as exc:
        raise disk_error(path, exc) from exc


def publish(temp: Path, path: Path) -> None:
    """Give a finished, fsynced temp file its name, durably."""
    try:
        temp.rename(path)
        fsync_folder(path.parent)
    except OSError as exc:
        raise disk_error(path, exc) from exc


def checksum_of(path: Path) -> str:
    """The checksum by which the ledger knows a spool file again (xxh3-128, hex). Raises OSError."""
    found = xxhash.xxh3_128()
    with path.open("rb", buffering=0) as file:
        while block := file.read(_BLOCK_BYTES):
            found.update(block)
    return found.hexdigest()


def fsync_folder(folder: Path) -> None:
    """Make the folder's names durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep_temps(*folders: Path) -> int:
    """Remove what died writers left; only ever called under the home's lock. Returns how many."""
    count = 0
    for folder in folders:
        for temp in folder.glob(f".*{TEMP_SUFFIX}"):
            with contextlib.suppress(OSError):
                temp.unlink()
                count += 1
    return count


def disk_error(path: Path, exc: OSError) -> LedgerError:
    """An OSError on `path` as ours, with what to do."""
    fix = {
        28: "Free disk space (`df -h`) and run the same command again; nothing was lost.",
        122: "The disk quota is used up: free space and run the same command again; nothing was lost.",
        30: "The file system is read-only: make it writable or choose another folder.",
        13: "Give this user the right to write there, or choose another folder.",
    }.get(exc.errno or 0, "Check the folder and run the same command again; nothing was lost.")
    return LedgerError(f"{path}: cannot be written: {exc.strerror or exc}. {fix}")
