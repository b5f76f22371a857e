"""Folders inside an outputs folder that hold one file for each of many answers, and the index that says which file is whose.

A file that already holds the right bytes is left alone, so a nightly run touches only what changed. A file that no item wants any more is
removed if the last index lists it and it still holds what we wrote: what somebody edited or put there stays.
"""

import hashlib
import os
import secrets
import stat
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import xxhash

from batchrun.ledger.spool import TEMP_SUFFIX, disk_error, fsync_folder, sweep_temps
from batchrun.outputs.disk import FileEntry, make_inner_folder, own_lines, put, read_own, remove
from batchrun.outputs.names import is_ours


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One line of an index: `file` is the path within the outputs folder."""

    id: str
    file: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedFile:
    """A file that is to be there. `content` is None where the file that is there was found to be right already."""

    listed: Listed
    content: bytes | None


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Listed).decode


def mark(name: str) -> int:
    """8 bytes that stand for a name, upper and lower case being one."""
    return xxhash.xxh3_64_intdigest(name.lower().encode())


@dataclass(frozen=True, slots=True)
class IndexedFolder:
    """One such folder, by its name and that of its index beside it."""

    name: str
    index: str

    def listed(self, *, id: str, name: str, content: bytes) -> Listed:  # noqa: A002 - the key's name
        """The line of a file called `name`."""
        return Listed(
            id=id,
            file=f"{self.name}/{name}",
            bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
        )

    def write(self, outputs: Path, files: Iterable[IndexedFile]) -> FileEntry:
        """Write the files and then the index; returns the index's entry. Raises LedgerError."""
        folder = outputs / self.name
        make_inner_folder(folder)
        sweep_temps(folder)
        return put(outputs / self.index, self._written_lines(outputs, files))

    def remove(self, outputs: Path) -> None:
        """Undo `write` of an earlier run; a folder that is empty then goes too."""
        for line in self.last(outputs):
            _remove_own(outputs / self.name, line)
        remove(outputs / self.index)
        try:
            (outputs / self.name).rmdir()
        except OSError:
            return  # it holds what is not ours, or was never there

    def last(self, outputs: Path) -> Iterator[Listed]:
        """What the index of the last run lists; lines that are not ours to believe are passed over."""
        for line in own_lines(outputs / self.index):
            try:
                listed = _decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue
            prefix, _, name = listed.file.partition("/")
            if prefix == self.name and is_ours(name):
                yield listed

    def _written_lines(self, outputs: Path, files: Iterable[IndexedFile]) -> Iterator[bytes]:
        folder = outputs / self.name
        old = self.last(outputs)
        marks = array("Q")
        for file in files:
            name = Path(file.listed.file).name
            if file.content is not None:
                _put_unless_same(folder, name, file.content)
            marks.append(mark(name))
            yield index_line(file)
        # Before the new index takes the place of the old one: a crash in between must not forget what is ours.
        kept = array("Q", sorted(marks))
        for line in old:
            wanted = mark(Path(line.file).name)
            at = bisect_left(kept, wanted)
            if at == len(kept) or kept[at] != wanted:
                _remove_own(folder, line)
        try:
            fsync_folder(folder)
        except OSError as exc:
            raise disk_error(folder, exc) from exc


ITEM_FILES: Final = IndexedFolder("files", "files.jsonl")
IMAGE_FILES: Final = IndexedFolder("images", "images.jsonl")
INDEXED: Final = (ITEM_FILES, IMAGE_FILES)


def index_line(file: IndexedFile) -> bytes:
    """The line of a file in its index."""
    return _encode(file.listed) + b"\n"


def size_of_own(path: Path) -> int | None:
    """The size of a regular file that nobody else can change, or None."""
    try:
        known = os.lstat(path)
    except OSError:
        return None
    # A second name of the same file would let somebody else change it later.
    is_plain = stat.S_ISREG(known.st_mode) and known.st_nlink == 1 and not known.st_mode & 0o022
    return known.st_size if is_plain else None


def holds(path: Path, listed: Listed) -> bool:
    """Whether the file there is the one that is listed, byte for byte."""
    if size_of_own(path) != listed.bytes:
        return False
    content = read_own(path)
    return content is not None and hashlib.sha256(content).hexdigest() == listed.sha256


def _put_unless_same(folder: Path, name: str, content: bytes) -> None:
    """Write one file as the spool does, but for the folder's fsync, which comes once at the end."""
    path = folder / name
    if size_of_own(path) == len(content) and read_own(path) == content:
        return
    temp = folder / f".{secrets.token_hex(8)}{TEMP_SUFFIX}"
    try:
        descriptor = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(descriptor)
            temp.rename(path)
        except BaseException:
            temp.unlink(missing_ok=True)
            raise
    except OSError as exc:
        raise disk_error(path, exc) from exc


def _remove_own(folder: Path, line: Listed) -> None:
    path = folder / Path(line.file).name
    if folder.is_symlink():
        return
    content = read_own(path)
    if content is not None and hashlib.sha256(content).hexdigest() == line.sha256:
        remove(path)
