"""A query over a SQLite database as a source: one item a row, its fields named by the columns.

The database is opened read-only, and an authorizer refuses every statement but a SELECT while it is compiled: a job file from somebody else
cannot change a database, attach another one or load code. Rows are streamed; a writer of a database that is not in WAL mode waits meanwhile.
"""

import contextlib
import math
import os
import re
import sqlite3
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote

from batchrun.jobfile.lines import BLOCK_BYTES
from batchrun.jobfile.problems import Fault, ProblemSink, os_fault
from batchrun.jobfile.sources.base import ItemBlock, check_regular, header_fault
from batchrun.model import ITEM_LINE_LIMIT_BYTES, JsonObject

ENDINGS: Final = frozenset({".db", ".sqlite", ".sqlite3"})
BUSY_TIMEOUT_S: Final = 30.0
_SELECTING: Final = frozenset(
    {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE}
)
_UNREADABLE: Final = frozenset(
    {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOTADB}
)
_WORD: Final = re.compile(
    r'near "(.+)": syntax error|(?:no such (?:column|table|function)|ambiguous column name): (.+)'
    r"|wrong number of arguments to function ([^(]+)\(\)"
)


class _Undecodable:
    """Stands for a text that is no UTF-8."""


def read_query(
    path: str,
    query: str,
    shown_path: str,
    problems: ProblemSink,
    block_count: int,
    *,
    busy_timeout_s: float = BUSY_TIMEOUT_S,
) -> Iterator[ItemBlock]:
    """The rows of a query, numbered from 1 in its order: numbers, texts and nulls as they are.

    A row with a BLOB, an infinite number or a text that is no UTF-8 goes to `problems`. Raises Fault where the database cannot be read, or
    the query is anything but one SELECT. A query without rows has no items and is no problem.
    """
    with contextlib.closing(_opened(path, busy_timeout_s)) as connection:
        try:
            cursor = connection.execute(query)
            if cursor.description is None:
                raise Fault("the query is empty", "It is one SELECT.")
            names = [column[0] for column in cursor.description]
            if fault := header_fault(
                names, what="query", fix="Name them apart: select a.id as a_id."
            ):
                raise fault
            yield from _blocks(cursor, names, shown_path, problems, block_count)
        except sqlite3.Error as error:
            raise _fault(error, query) from error


def _opened(path: str, busy_timeout_s: float) -> sqlite3.Connection:
    try:
        check_regular(path)
    except OSError as error:
        raise os_fault(error) from error
    if os.path.isdir(path):  # noqa: PTH112 - as everywhere in sources
        raise Fault("a folder, not a file", "Name the database file.")
    try:
        connection = sqlite3.connect(
            f"file:{quote(path)}?mode=ro", uri=True, timeout=busy_timeout_s, isolation_level=None
        )
    except sqlite3.Error as error:
        raise _fault(error, "") from error
    connection.text_factory = _text
    connection.set_authorizer(_authorize)
    return connection


def _text(raw: bytes) -> str | _Undecodable:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return _Undecodable()


def _authorize(
    action: int, first: str | None, second: str | None, _database: str | None, _by: str | None
) -> int:
    """Reading is allowed. So is what SQLite does by itself when json_each or full-text search is read: none of it writes."""
    is_allowed = (
        action in _SELECTING
        or (action == sqlite3.SQLITE_FUNCTION and second != "load_extension")
        or (action == sqlite3.SQLITE_UPDATE and first == "sqlite_master")  # declares the columns
        or (action == sqlite3.SQLITE_PRAGMA and first == "data_version")  # looks for other writers
    )
    return sqlite3.SQLITE_OK if is_allowed else sqlite3.SQLITE_DENY


def _blocks(
    cursor: sqlite3.Cursor,
    names: list[str],
    path: str,
    problems: ProblemSink,
    block_count: int,
) -> Iterator[ItemBlock]:
    fields: list[JsonObject] = []
    numbers: list[int] = []
    held = bad_count = 0
    for number, row in enumerate(cursor, 1):
        size = sum(len(value) for value in row if type(value) is str)
        if size > ITEM_LINE_LIMIT_BYTES:
            problems.add(_too_large().of_item(path, number))
            continue
        fault = _row_fault(row, names)
        if fault is not None:
            problems.add(fault.of_item(path, number, fields=_readable(row, names)))
            bad_count += 1
        else:
            fields.append(dict(zip(names, row, strict=True)))
            numbers.append(number)
        held += size
        if len(fields) + bad_count == block_count or held >= BLOCK_BYTES:
            yield ItemBlock(path=path, fields=fields, lines=numbers)
            fields, numbers, held, bad_count = [], [], 0, 0
    if fields:
        yield ItemBlock(path=path, fields=fields, lines=numbers)


def _too_large() -> Fault:
    return Fault(f"a row of more than {ITEM_LINE_LIMIT_BYTES:,} characters", "Split the item.")


def _row_fault(row: tuple[Any, ...], names: list[str]) -> Fault | None:
    for name, value in zip(names, row, strict=True):
        if (fault := _value_fault(name, value)) is not None:
            return fault
    return None


def _value_fault(name: str, value: Any) -> Fault | None:
    kind = type(value)
    if kind is str or kind is int or value is None:
        return None
    if kind is bytes:
        return Fault(
            f"column {name!r} is a BLOB, and JSON has no bytes",
            "Leave it out of the query, or make it a text: cast(… as text), hex(…).",
        )
    if kind is _Undecodable:
        return Fault(f"column {name!r} is a text that is no UTF-8", "Leave it out, or use hex(…).")
    if not math.isfinite(value):
        return Fault(f"column {name!r} is infinite, and JSON has no such number", "Make it null.")
    return None


def _readable(row: tuple[Any, ...], names: list[str]) -> JsonObject:
    """What of a bad row JSON has, null in place of the rest."""
    pairs = zip(names, row, strict=True)
    return {name: None if _value_fault(name, value) else value for name, value in pairs}


def _fault(error: sqlite3.Error, query: str) -> Fault:
    message = str(error)
    if "not authorized" in message or "authorization denied" in message:
        return Fault(
            "the query does more than read this database", "It is one SELECT, without PRAGMAs."
        )
    if isinstance(error, sqlite3.ProgrammingError):  # a second statement
        return Fault("more than one statement in the query", "It is one SELECT.")
    code = error.sqlite_errorcode & 0xFF  # the rest is detail
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return Fault(
            "another process holds the database",
            "Try again when that has ended; a database in WAL mode can be read meanwhile.",
        )
    if code in _UNREADABLE:
        return Fault(
            f"the database cannot be read: {message}",
            "It must be a SQLite database, whole, that this user may read with its -wal and -shm files.",
        )
    return Fault(f"the query: {message}{_place(message, query)}")


def _place(message: str, query: str) -> str:
    """Where in the query the word stands that SQLite complains of, if that is in one place only: it tells the word, and no place."""
    found = _WORD.fullmatch(message)
    word = next(filter(None, found.groups()), "") if found else ""
    edge = r"\b" if word.isidentifier() else ""
    places = list(re.finditer(f"{edge}{re.escape(word)}{edge}", query, re.IGNORECASE))
    if not word or len(places) != 1:
        return ""
    line = query.count("\n", 0, places[0].start()) + 1
    column = places[0].start() - query.rfind("\n", 0, places[0].start())
    return f" (line {line}, column {column} of the query)"
