"""Request files: immutable, complete, and each fit to be one input file: one model, one criteria, within the limits.

A writer owns a temp file and the row that says `writing`; closing it makes the bytes durable, then the row fresh or used.
A dead writer leaves a temp file and a `writing` row, both swept under the lock.
"""

import contextlib
import os
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO, Final

import xxhash

from batchrun.errors import LedgerError
from batchrun.ledger.connection import Ledger
from batchrun.ledger.spool import checksum_of, disk_error, publish, temp_beside
from batchrun.ledger.states import FileState, ItemState
from batchrun.model import Limits

_TAIL_BYTES: Final = 4_096  # read at first; longer requests are read in doubling steps


class FileKind(IntEnum):
    """What a request file is for."""

    RENDERED = 0  # new and changed items; can be sent as it is
    DEFERRED = 1  # changed items whose old revision is in flight; only ever copied from
    CUT = 2  # copied from others for a retry; items do not point into it


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFile:
    """What a closed file holds; item ids are bounds, not a claim that every id between is in it."""

    id: int
    request_count: int
    bytes: int
    checksum: str
    first_item: int
    last_item: int


def read_tail(descriptor: int, offset: int) -> bytes | None:
    """The request at `offset` of an open request file, up to its newline; None where the file ends before that."""
    tail, size = b"", _TAIL_BYTES
    while piece := os.pread(descriptor, size, offset + len(tail)):
        whole, newline, _ = piece.partition(b"\n")
        tail += whole
        if newline:
            return tail
        size = len(tail)
    return None


def remove(path: Path) -> bool:
    """Drop a request file that nothing points into any more; returns whether it is gone. One that cannot be removed does no harm."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return False
    return True


def verify(path: Path, checksum: str) -> None:
    """Raises LedgerError where the file at `path` is not, byte for byte, the one that was recorded with this `checksum`."""
    try:
        found = checksum_of(path)
    except OSError as exc:
        raise LedgerError(
            f"{path}: cannot be read: {exc.strerror}. It holds requests that are still to be sent: "
            "restore it from a backup, or submit the job again with --fresh."
        ) from exc
    if found != checksum:
        raise LedgerError(
            f"{path}: not the file that was written: its content has changed since. Nothing of it was sent. "
            "Restore it from a backup, or submit the job again with --fresh."
        )


def break_up(ledger: Ledger, file: int) -> None:
    """A fresh request file is not sent whole: what is pending of it waits in the queue. Inside the caller's transaction."""
    ledger.execute(
        "insert or ignore into queue (item, job, not_before) select i.id, i.job, 0 from request_files f "
        "cross join item_rows i on i.id between f.first_item and f.last_item and i.file = f.id "
        f"where f.id = ? and i.state = {int(ItemState.PENDING)}",
        (file,),
    )
    ledger.execute("update request_files set state = ? where id = ?", (FileState.USED, file))


class RequestFileWriter:
    """Appends request lines to one file. `offset` is where the next line begins, in bytes."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        job: int,
        submission: int | None,
        criteria: int | None,
        kind: FileKind,
        endpoint: str,
        model: str,
        limits: Limits | None = None,
    ) -> None:
        """Inserts the `writing` row: call inside a transaction."""
        self._ledger, self._limits = ledger, limits or Limits()
        self.id = int(
            ledger.execute(
                "insert into request_files (job, submission, criteria, kind, state, endpoint, model) values (?, ?, ?, ?, ?, ?, ?)",
                (job, submission, criteria, kind, FileState.WRITING, endpoint, model),
            ).lastrowid
            or 0
        )
        self._path = ledger.home.request_file(self.id)
        self._temp = temp_beside(self._path)
        self._hash = xxhash.xxh3_128()
        self.offset = self.request_count = self.input_count = 0
        self.first_item = self.last_item = 0
        try:
            descriptor = os.open(
                self._temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600
            )
        except OSError as exc:
            raise disk_error(self._path, exc) from exc
        self._file: BinaryIO = os.fdopen(descriptor, "wb")

    def has_room(self, *, size: int, inputs: int) -> bool:
        """Whether one more line of `size` bytes fits."""
        limits = self._limits
        return (
            self.request_count < limits.request_count
            and self.offset + size <= limits.input_bytes
            and self.input_count + inputs <= limits.embedding_inputs
        )

    def has_room_for(self, size: int, count: int) -> bool:
        """Whether `count` more lines of one input each, `size` bytes together, fit."""
        limits = self._limits
        return (
            self.request_count + count <= limits.request_count
            and self.offset + size <= limits.input_bytes
            and self.input_count + count <= limits.embedding_inputs
        )

    def append(
        self, lines: bytes, *, count: int, inputs: int, first_item: int, last_item: int
    ) -> None:
        """Write whole lines. Raises LedgerError when the disk refuses."""
        try:
            self._file.write(lines)
        except OSError as exc:
            raise disk_error(self._path, exc) from exc
        self._hash.update(lines)
        self.offset += len(lines)
        self.request_count += count
        self.input_count += inputs
        self.first_item = min(self.first_item or first_item, first_item)
        self.last_item = max(self.last_item, last_item)

    def readable(self) -> Path:
        """Where what was appended so far can be read. Raises LedgerError when the disk refuses."""
        if self._file.closed:
            return self._path
        try:
            self._file.flush()
        except OSError as exc:
            raise disk_error(self._path, exc) from exc
        return self._temp

    def close(self) -> None:
        """Fsync and give the file its name; the row still says `writing` (see `finish`)."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        except OSError as exc:
            raise disk_error(self._path, exc) from exc
        publish(self._temp, self._path)

    def finish(self, state: FileState) -> RequestFile:
        """Record counts and hash: after `close`, inside a transaction."""
        done = RequestFile(
            id=self.id,
            request_count=self.request_count,
            bytes=self.offset,
            checksum=self._hash.hexdigest(),
            first_item=self.first_item,
            last_item=self.last_item,
        )
        self._ledger.execute(
            "update request_files set state = ?, request_count = ?, input_count = ?, bytes = ?, checksum = ?, "
            "first_item = ?, last_item = ? where id = ?",
            (
                state,
                done.request_count,
                self.input_count,
                done.bytes,
                done.checksum,
                done.first_item,
                done.last_item,
                done.id,
            ),
        )
        return done

    def abandon(self) -> None:
        """Drop the temp file; the row is removed by the sweep of its submission. Never fails: there is an error under way."""
        with contextlib.suppress(OSError):
            self._file.close()  # on a full disk its last bytes cannot be written either
        with contextlib.suppress(OSError):
            self._temp.unlink(missing_ok=True)
