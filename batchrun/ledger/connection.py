"""Opening the ledger, and the one way to write to it: an explicit BEGIN IMMEDIATE that commits or rolls back whole.

Durability: WAL, synchronous=FULL, so that a committed intent survives power loss. Reading commands never wait for a pass, and write nothing
but what makes the ledger readable here: its tables where it is older, its paths where the home was moved.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from batchrun.errors import LedgerError
from batchrun.ledger.home import Home, machine_identity
from batchrun.ledger.lock import schema_lock
from batchrun.ledger.moved import follow_move, has_moved
from batchrun.ledger.schema import SCHEMA_VERSION

BUSY_TIMEOUT_S = 30
_SMALLEST_DATABASE = (
    512  # bytes: SQLite takes a shorter file for an empty database, and would write over it
)
_CACHE_KIB = 16_000  # a bound on page cache; larger ones bought nothing (docs/performance.md)


class Ledger:
    """One open connection. Not for sharing between threads."""

    def __init__(self, connection: sqlite3.Connection, home: Home) -> None:
        self.connection = connection
        self.home = home

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """BEGIN IMMEDIATE … COMMIT, or ROLLBACK of everything. Never around a network call or a sleep.

        Raises LedgerError for what the disk or another process does (full, locked, read-only, damaged).
        """
        try:
            self.connection.execute("begin immediate")
        except sqlite3.Error as exc:
            raise _ledger_error(exc, self.home.database) from exc
        try:
            yield self.connection
            self.connection.execute("commit")
        except BaseException as exc:
            with contextlib.suppress(sqlite3.Error):
                if self.connection.in_transaction:
                    self.connection.execute("rollback")
            if isinstance(exc, sqlite3.OperationalError | sqlite3.DatabaseError) and not isinstance(
                exc, sqlite3.IntegrityError | sqlite3.ProgrammingError
            ):
                raise _ledger_error(exc, self.home.database) from exc
            raise

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        """What the disk or another process does to SQLite, as LedgerError; for statements outside `transaction` and `rows`."""
        try:
            yield
        except sqlite3.DatabaseError as exc:
            if isinstance(exc, sqlite3.ProgrammingError | sqlite3.IntegrityError):
                raise
            raise _ledger_error(exc, self.home.database) from exc

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[sqlite3.Row]:
        """Rows by name, streamed."""
        with self.translated():
            cursor = self.connection.cursor()
            cursor.row_factory = sqlite3.Row
            # Not `yield from`, which would close the cursor with the generator: of one that an exception left behind, after the ledger.
            for row in cursor.execute(sql, parameters):  # noqa: UP028
                yield row

    def row(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Row | None:
        """The first row, or None."""
        return next(iter(list(self.rows(sql, parameters))), None)

    def value(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """The first column of the first row, or None."""
        row = self.row(sql, parameters)
        return None if row is None else row[0]

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        """One statement inside the caller's transaction."""
        return self.connection.execute(sql, parameters)

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> sqlite3.Cursor:
        """One statement many times, inside the caller's transaction: a bare executemany would open a deferred one."""
        assert self.connection.in_transaction
        return self.connection.executemany(sql, rows)

    def meta(self, key: str) -> str | None:
        """A value of the meta table."""
        value = self.value("select value from meta where key = ?", (key,))
        return None if value is None else str(value)

    def close(self) -> None:
        """Close; idempotent."""
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_ledger(home: Home, *, create: bool = False) -> Ledger:
    """Open for writing; migrates where the schema is older, creates home and database where asked to.

    Raises LedgerError: no database, a newer schema, not a database, not writable, disk full.
    """
    if create:
        home.create()
    _check_not_lost(home)
    if not create:
        _check_there(home)
    if not home.database.exists():
        _touch(home.database)
    elif not _is_writable(home):
        raise LedgerError(
            f"{home.path}: the home is read-only. Make it writable for this user; nothing was sent."
        )
    ledger = Ledger(_connect(home.database), home)
    try:
        if not _is_ready(ledger):
            # Two that find a new or an older ledger at once: the second finds it ready when the first has ended.
            with schema_lock(home, wait_s=BUSY_TIMEOUT_S):
                _make_ready(ledger)
        if has_moved(ledger):
            follow_move(ledger, is_copy=is_copied(ledger) is not None)
    except sqlite3.Error as exc:
        ledger.close()
        raise _ledger_error(exc, home.database) from exc
    except BaseException:
        ledger.close()
        raise
    return ledger


def open_for_reading(home: Home) -> Ledger:
    """Open for looking. A ledger that is older, or whose home was moved, is first made ready as `open_ledger` does.

    A moved home that cannot be written is read as it stands, with the paths of its old place. Raises LedgerError as `open_ledger` does.
    """
    _check_not_lost(home)
    _check_there(home)
    ledger = Ledger(_connect(home.database), home)
    try:
        ledger.connection.execute("pragma query_only = on")
        version = int(ledger.connection.execute("pragma user_version").fetchone()[0])
    except sqlite3.Error as exc:
        ledger.close()
        raise _ledger_error(exc, home.database) from exc
    is_whole = version == SCHEMA_VERSION and ledger.meta("ledger") is not None
    if not is_whole or (has_moved(ledger) and _is_writable(home)):
        ledger.close()
        if version > SCHEMA_VERSION:
            raise _too_new(home.database, version)
        open_ledger(home).close()
        return open_for_reading(home)
    return ledger


def _connect(path: Path) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        connection.execute("pragma foreign_keys = on")
        connection.execute(f"pragma cache_size = -{_CACHE_KIB}")
        connection.execute("pragma synchronous = full")
    except sqlite3.Error as exc:
        raise _ledger_error(exc, path) from exc
    return connection


def _is_ready(ledger: Ledger) -> bool:
    execute = ledger.connection.execute
    return (
        execute("pragma user_version").fetchone()[0] == SCHEMA_VERSION
        and execute("pragma journal_mode").fetchone()[0] == "wal"
        and ledger.meta("ledger") is not None
    )


def _make_ready(ledger: Ledger) -> None:
    ledger.connection.execute("pragma journal_mode = wal")
    _migrate(ledger)
    if ledger.meta("ledger") is None:
        with ledger.transaction():
            mint_identity(ledger)


def _migrate(ledger: Ledger) -> None:
    version = int(ledger.connection.execute("pragma user_version").fetchone()[0])
    if version == SCHEMA_VERSION:
        return
    if version > SCHEMA_VERSION:
        raise _too_new(ledger.home.database, version)
    if version:
        _back_up(ledger, version)
    from sqlite_utils import Database

    from batchrun.ledger.schema import migrations

    migrations().apply(Database(ledger.connection))


def _back_up(ledger: Ledger, version: int) -> None:
    target = ledger.home.path / f"batchrun-before-schema-{version + 1}.db"
    _touch(target)
    copy = sqlite3.connect(target)
    with contextlib.closing(copy):
        ledger.connection.backup(copy)


def mint_identity(ledger: Ledger) -> None:
    """Give the ledger a new id and note where its home is, inside the caller's transaction; the salt of fingerprints stays."""
    import json
    import secrets  # hashlib and more: nothing that `status` should load

    ledger.execute("insert or ignore into meta values ('salt', ?)", (secrets.token_hex(16),))
    facts = {
        "ledger": f"l-{secrets.token_hex(6)}",
        "home": json.dumps(machine_identity(ledger.home.path), sort_keys=True),
    }
    ledger.executemany("insert or replace into meta values (?, ?)", facts.items())


def is_copied(ledger: Ledger) -> str | None:
    """Why this home looks like a copy of the one that the ledger was made in, or None. A copied home sends nothing.

    A renamed folder keeps its inode, and so does a volume that one container after the other mounts.
    """
    now = machine_identity(ledger.home.path)
    # SQLite reads the JSON: `status` asks, and should not load a module for it.
    stored = {
        key: ledger.value("select value ->> ? from meta where key = 'home'", (f"$.{key}",))
        for key in ("machine", "inode")
    }
    changed = [key for key in stored if stored[key] != now[key] and stored[key] and now[key]]
    return ", ".join(f"{key} was {stored[key]!r}, is {now[key]!r}" for key in changed) or None


def _is_writable(home: Home) -> bool:
    """Both are needed: SQLite writes beside the database, too."""
    return os.access(home.database, os.W_OK) and os.access(home.path, os.W_OK)


def _check_there(home: Home) -> None:
    if not home.database.exists():
        raise LedgerError(
            f"{home.database}: no such ledger. Start one with `batchrun submit FILE`."
        )


def _check_not_lost(home: Home) -> None:
    """A ledger that is gone or cut to nothing is never begun anew beside what it sent: all of that would be asked and paid again."""
    size = home.database.stat().st_size if home.database.exists() else 0
    if 0 < size < _SMALLEST_DATABASE:
        raise _ledger_error(sqlite3.DatabaseError("file is not a database"), home.database)
    if not size and home.has_spool:
        raise LedgerError(
            f"{home.database}: the ledger is gone or empty, but spool/ holds what it sent or got back. Restore batchrun.db from a backup, "
            "or rebuild it from the service with `batchrun recover FILE...`. "
            "To start over, move the whole home away; what it had sent may then be paid for twice."
        )


def _touch(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600))
    except OSError as exc:
        raise LedgerError(
            f"{path}: cannot be created: {exc.strerror}. Make the folder writable, or choose another with --home."
        ) from exc


def _too_new(path: Path, version: int) -> LedgerError:
    return LedgerError(
        f"{path}: written by a newer batchrun (schema {version}, this one knows {SCHEMA_VERSION}). "
        "Upgrade batchrun; nothing was changed."
    )


def _ledger_error(exc: sqlite3.Error, path: Path) -> LedgerError:
    text = str(exc)
    if "locked" in text or "busy" in text:
        fix = "Another process holds it for more than 30 s; try again when that has ended."
    elif "full" in text or "disk I/O" in text:
        fix = "Free disk space (`df -h`) and run the same command again; nothing was lost."
    elif "readonly" in text or "unable to open" in text:
        fix = "Make the home and its files writable for this user."
    elif "not a database" in text or "malformed" in text:
        fix = (
            "The file is damaged. Keep it elsewhere, restore a backup or rebuild it with `batchrun recover FILE...`, "
            "and do not delete spool/: it holds every answer."
        )
    else:
        fix = "Run the same command again; if it stays, please report it."
    return LedgerError(f"{path}: {text}. {fix}")
