"""The service's memory: one SQLite database and a folder of files, both private to the user.

    <data>/service.db          files, batches, lines started and finished (WAL, every commit fsynced)
    <data>/files/<file id>     contents; a row in `files` is what makes one exist
    <data>/incoming/           uploads on their way; whatever is found here later belongs to a dead process
    <data>/work.lock           held by the one process that executes lines; open.lock by the one that makes the database

A file is written whole, fsynced and renamed before its row is committed, and its row is marked deleted before its bytes go: at
whatever instant the process dies, no row points at bytes that are not there.
"""

import contextlib
import os
import secrets
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, TypeAlias

from batchrun.errors import LedgerError
from batchrun.service.refusals import ServiceError

SqlValue: TypeAlias = int | str | bytes | None

_COPY_BYTES = 1 << 20
_ABANDONED_AFTER_S = 86_400
_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE files (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  filename TEXT NOT NULL,
  purpose TEXT NOT NULL,
  bytes INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  deleted_at INTEGER  -- gone for the API; the bytes follow when no unfinished batch reads them
) STRICT;

CREATE TABLE batches (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,  -- the order of creation
  id TEXT NOT NULL UNIQUE,
  status TEXT NOT NULL,
  endpoint TEXT NOT NULL,
  completion_window TEXT NOT NULL,
  input_file_id TEXT NOT NULL,
  output_file_id TEXT,
  error_file_id TEXT,
  output_life_s INTEGER NOT NULL,
  metadata TEXT,  -- JSON
  errors TEXT,  -- JSON array
  model TEXT,
  prompt_tokens INTEGER NOT NULL DEFAULT 0,  -- estimated by validation, for the queue's limit
  total INTEGER NOT NULL DEFAULT 0,
  completed INTEGER NOT NULL DEFAULT 0,
  failed INTEGER NOT NULL DEFAULT 0,
  input_tokens INTEGER NOT NULL DEFAULT 0,
  cached_tokens INTEGER NOT NULL DEFAULT 0,
  output_tokens INTEGER NOT NULL DEFAULT 0,
  reasoning_tokens INTEGER NOT NULL DEFAULT 0,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  in_progress_at INTEGER,
  finalizing_at INTEGER,
  completed_at INTEGER,
  failed_at INTEGER,
  expired_at INTEGER,
  cancelling_at INTEGER,
  cancelled_at INTEGER
) STRICT;
CREATE INDEX live ON batches (seq)
  WHERE status IN ('validating', 'in_progress', 'finalizing', 'cancelling');

CREATE TABLE finished (
  seq INTEGER PRIMARY KEY,  -- the order of completion
  batch INTEGER NOT NULL REFERENCES batches (seq),
  line INTEGER NOT NULL,  -- 1-based, in the input file
  custom_id TEXT NOT NULL,
  is_success INTEGER NOT NULL,  -- goes to the output file, not to the error file
  answer BLOB,  -- the line of that file; NULL once the file is written
  UNIQUE (batch, line)  -- no line of a batch is executed twice
) STRICT;

CREATE TABLE started (
  batch INTEGER NOT NULL REFERENCES batches (seq),
  line INTEGER NOT NULL,
  custom_id TEXT NOT NULL,
  PRIMARY KEY (batch, line)  -- under way, or it was when a process died (lines.py)
) STRICT, WITHOUT ROWID;

-- What a fault script has done so far (faults/memory.py); empty without one.
CREATE TABLE fault_night (began_at INTEGER NOT NULL) STRICT;

CREATE TABLE fault_counts (
  fault TEXT PRIMARY KEY,
  matched INTEGER NOT NULL,
  fired INTEGER NOT NULL
) STRICT;

CREATE TABLE postponed (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  due_at INTEGER NOT NULL,
  call TEXT NOT NULL,
  arguments TEXT NOT NULL  -- JSON
) STRICT;
"""


def _make_private(folder: Path) -> None:
    """A folder, and those above it that are missing, for nobody else. (`parents` alone would leave these to the umask.)"""
    if not folder.exists():
        _make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


class Store:
    """Open with `Store(folder)`. Usable from several threads and processes; `transaction` is the only way in."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.work_lock_path = data / "work.lock"
        self._files = data / "files"
        self._incoming = data / "incoming"
        self._lock = threading.RLock()
        with _readable_errors(data):
            for folder in (data, self._files, self._incoming):
                _make_private(folder)
            database = data / "service.db"
            # SQLite would create it with the umask's mode; the -wal and -shm files copy the mode of the database.
            os.close(os.open(database, os.O_CREAT | os.O_RDWR, 0o600))
            self._connection = sqlite3.connect(
                database, timeout=30.0, isolation_level=None, check_same_thread=False
            )
            self._connection.row_factory = sqlite3.Row
            self._prepare()
            self._drop_abandoned()

    def _prepare(self) -> None:
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.execute("PRAGMA foreign_keys=ON")
        (mode,) = self._connection.execute("PRAGMA journal_mode").fetchone()
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if (mode, version) == ("wal", _SCHEMA_VERSION):
            return
        from filelock import FileLock

        # The busy timeout does not cover the change to WAL: two processes that both made it would find the database locked.
        with FileLock(self.data / "open.lock", mode=0o600):
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._migrate()

    def _migrate(self) -> None:
        with self.transaction() as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version == 0:
                for statement in _SCHEMA.split(";\n"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
            elif version != _SCHEMA_VERSION:
                raise LedgerError(
                    f"{self.data / 'service.db'}: made by another version of batchrun (schema {version}, "
                    f"this one reads {_SCHEMA_VERSION}). Use that version, or another --data folder."
                )

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One immediate transaction, committed and durable at its end, rolled back by any exception; other threads wait.

        Raises LedgerError for what SQLite or the disk says.
        """
        with self._lock, _readable_errors(self.data):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # SQLite itself rolls back on a full disk
                    self._connection.execute("ROLLBACK")
                raise

    def rows(
        self, sql: str, parameters: Sequence[SqlValue] | Mapping[str, SqlValue] = ()
    ) -> list[sqlite3.Row]:
        """All rows of a SELECT, outside any transaction."""
        with self._lock, _readable_errors(self.data):
            return self._connection.execute(sql, parameters).fetchall()

    def open_file(self, file_id: str) -> BinaryIO:
        """The bytes of a file that has a row; the caller closes it."""
        with _readable_errors(self.data):
            return (self._files / file_id).open("rb")

    def take_in(self, source: BinaryIO, file_id: str, *, limit_bytes: int) -> int:
        """Copy a stream into place, durably; returns its bytes. Raises ServiceError 413 where it is longer than the limit."""
        with self.writing(file_id) as target:
            size = 0
            while chunk := source.read(_COPY_BYTES):
                size += len(chunk)
                if size > limit_bytes:
                    raise ServiceError(
                        status=413,
                        message=f"File is too large: the limit is {limit_bytes} bytes.",
                        code="file_too_large",
                        param="file",
                    )
                target.write(chunk)
        return size

    @contextlib.contextmanager
    def writing(self, file_id: str) -> Iterator[BinaryIO]:
        """Write a file: in `incoming/` first, then fsynced and renamed; nothing stays of one that was not finished."""
        part = self._incoming / f"{file_id}-{secrets.token_hex(4)}"
        with _readable_errors(self.data):
            try:
                descriptor = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
                with os.fdopen(descriptor, "wb") as target:
                    yield target
                    target.flush()
                    os.fsync(target.fileno())
                part.replace(self._files / file_id)
                _fsync_folder(self._files)
            finally:
                part.unlink(missing_ok=True)

    def drop(self, file_id: str) -> None:
        """Remove the bytes of a file whose row is marked deleted."""
        with _readable_errors(self.data):
            (self._files / file_id).unlink(missing_ok=True)

    def wipe_free_space(self, patience_s: float) -> None:
        """Write the database anew without what was deleted from it, and empty its WAL. Raises LedgerError while another process reads."""
        with self._lock, _readable_errors(self.data):
            self._connection.execute(f"PRAGMA busy_timeout = {int(patience_s * 1000)}")
            self._connection.execute("VACUUM")
            (busy, _, _) = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise LedgerError(
                f"{self.data / 'service.db'}-wal: still holds what was deleted, because another process reads the database. "
                "End it, and run the same command again."
            )

    def _drop_abandoned(self) -> None:
        # What a killed process left: parts, and whole files without a row. Their age is told by the file system's own clock, which a
        # fresh touch shows; a day is longer than any upload or any writing of results.
        self.work_lock_path.touch(mode=0o600)
        oldest = self.work_lock_path.stat().st_mtime - _ABANDONED_AFTER_S
        known = {row["id"] for row in self.rows("SELECT id FROM files")}
        for path in (*self._incoming.iterdir(), *self._files.iterdir()):
            with contextlib.suppress(
                FileNotFoundError
            ):  # renamed or dropped by another process just now
                if path.name not in known and path.stat().st_mtime < oldest:
                    path.unlink()

    def close(self) -> None:
        """Close the database. Idempotent."""
        with self._lock:
            self._connection.close()


def new_id(prefix: str) -> str:
    """A random id as the service gives them out: 32 hex digits after the prefix (`file-`, `batch_`, `batch_req_`)."""
    return prefix + secrets.token_hex(16)


@contextlib.contextmanager
def _readable_errors(data: Path) -> Iterator[None]:
    """Tell what SQLite and the disk say in our own words, with the folder that it is about."""
    try:
        yield
    except sqlite3.Error as error:
        raise LedgerError(
            f"{data / 'service.db'}: {error}. Is the disk full, the folder read-only, or another process stuck in it?"
        ) from error
    except OSError as error:
        where = error.filename or data
        raise LedgerError(
            f"{where}: {error.strerror or error}. Free some space or permit writing, and run it again."
        ) from error


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
