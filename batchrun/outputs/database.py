"""Answers into a table of the user's own SQLite database, so that a nightly job can read a table and write a column back.

What is to be written is gathered first, in a temporary table of our own connection. Then one short transaction brings it over: all of it or
nothing, only rows that change, only the columns that are named. The table is made where it is missing, and never altered; no row is removed.
"""

import contextlib
import difflib
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from batchrun.errors import LedgerError
from batchrun.jobfile.sinks import MEMBER, STATE_VALUES
from batchrun.ledger.connection import Ledger
from batchrun.ledger.states import ItemState
from batchrun.model import SqliteTable
from batchrun.outputs.lines import FAILURE_CAUSE, FAILURE_MESSAGE, STATUS_NAMES
from batchrun.outputs.rows import JobView
from batchrun.outputs.shown import shown_blocks
from batchrun.outputs.values import text_of

BUSY_TIMEOUT_S: Final = 30.0
_LOOK_TIMEOUT_S: Final = 5.0
_LARGEST: Final = (1 << 63) - 1
_SUCCEEDED: Final = int(ItemState.SUCCEEDED)
_SETTLED: Final = f"i.state in ({_SUCCEEDED}, {int(ItemState.FAILED)}, {int(ItemState.CANCELLED)})"
# By the names that a job line gives them; `output` and its members are made of the answer.
_COLUMNS: Final = {
    "status": "i.state",
    "cause": f"case when i.state = {int(ItemState.FAILED)} then {FAILURE_CAUSE} end",
    "message": f"case when i.state = {int(ItemState.FAILED)} then {FAILURE_MESSAGE} end",
    "attempts": "coalesce(a.attempts, 0)",
    "finish": "nullif(a.finish, 'none')",
    "model": "m.name",
    **{name: f"coalesce(a.{name}, 0)" for name in ("input_tokens", "cached_tokens")},
    "cache_write_tokens": "a.cache_write_tokens",
    **{name: f"coalesce(a.{name}, 0)" for name in ("output_tokens", "reasoning_tokens")},
}
_JOINS: Final = (
    "left join result_rows a on a.item = i.id left join result_rows r on r.item = i.id and r.outcome <> 0 "
    "left join bad_items b on b.item = i.id left join batch_rows y on y.id = i.batch left join models m on m.id = a.model"
)
# An item without an id of its own has no key: its place in a file is none that the table could have, today or tomorrow.
_KEY: Final = "coalesce(i.key, case when b.has_id then i.name end)"
_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def table_problem(target: SqliteTable, *, home: Path, allowed: Sequence[Path]) -> str | None:
    """Why answers could not be written there, as far as that can be seen by reading: asked before anything is sent and paid.

    `allowed`: the folders in which the job may write. Job files come from anywhere, and answers are foreign text.
    """
    path = Path(target.path)
    try:
        _check_path(path, home)
        _check_names(target)
        if not any(path.resolve().is_relative_to(folder.resolve()) for folder in allowed):
            raise _Unfit(
                "that is neither in the job file's folder nor in the one that holds the home. "
                "Keep it in one of them, or name its folder in 'write_to' of batchrun.toml."
            )
        if not path.exists():
            return None
        with contextlib.closing(_connected(path, "ro", _LOOK_TIMEOUT_S)) as connection:
            _check_table(connection, target)
    except _Unfit as exc:
        return str(exc)
    except sqlite3.Error as exc:
        # Who holds it now may be gone when the answers come.
        return None if _is_busy(exc) else str(exc)
    return None


def write_table(ledger: Ledger, job: JobView, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
    """Write what is known of a job's items into the table that its job line names; nothing where it names none.

    Raises LedgerError where the database refuses; then the table is as it was. Memory does not grow with the job.
    """
    target = job.settings.output.sqlite
    if target is None:
        return
    path = Path(target.path)
    try:
        _check_path(path, ledger.home.path)
        _check_names(target)
        path.touch(mode=0o600)
        with contextlib.closing(_connected(path, "rw", busy_timeout_s)) as connection:
            _write(connection, ledger, job, target)
    except (_Unfit, sqlite3.Error, OSError) as exc:
        raise _error(exc, job, target) from exc


class _Unfit(Exception):
    """A table or a database that answers cannot be written into."""


def _check_path(path: Path, home: Path) -> None:
    if path.resolve().is_relative_to(home.resolve()):
        raise _Unfit("that is in batchrun's own home. Name a database of yours.")
    if not path.parent.is_dir():
        raise _Unfit("there is no such folder. Make it first.")


def _check_names(target: SqliteTable) -> None:
    # Its own tables are among them: https://sqlite.org/lang_createtable.html
    if target.table.lower().startswith("sqlite_"):
        raise _Unfit(
            f"{target.table!r}: SQLite keeps names that begin with 'sqlite_' for itself. Name a table of yours."
        )
    for name in (target.table, target.key, *target.columns):
        if "\0" in name:
            raise _Unfit(f"{name!r} holds a null character, which no name in SQLite may.")


def _connected(path: Path, mode: str, timeout_s: float) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=timeout_s, isolation_level=None)


def _check_table(connection: sqlite3.Connection, target: SqliteTable) -> dict[str, str] | None:
    """Column names (in small letters) and declared types of the table; None where it is not there. Raises _Unfit."""
    kind = connection.execute(
        "select type from main.sqlite_master where name = ? collate nocase and type in ('table', 'view')",
        (target.table,),
    ).fetchone()
    if kind is None:
        return None
    if kind[0] == "view":
        raise _Unfit(f"{target.table!r} is a view. Name a table.")
    found = connection.execute(
        "select name, type from pragma_table_info(?, 'main')", (target.table,)
    )
    columns = {name.lower(): declared for name, declared in found}
    gone = [name for name in (target.key, *target.columns) if name.lower() not in columns]
    if gone:
        raise _Unfit("; ".join(_lack(target, name, columns) for name in gone))
    return columns


def _lack(target: SqliteTable, name: str, columns: Collection[str]) -> str:
    """That the table has no such column, and what to do."""
    near = difflib.get_close_matches(name.lower(), columns, n=1)
    if near:
        fix = f"Did you mean {near[0]!r}?"
    elif name == target.key:
        fix = "Name the one that holds the items' ids."
    else:
        fix = f"Add it: alter table {_name(target.table)} add column {_name(name)}"
    return f"table {target.table!r} has no column {name!r}. {fix}"


def _write(
    connection: sqlite3.Connection, ledger: Ledger, job: JobView, target: SqliteTable
) -> None:
    connection.execute("pragma temp_store = file")
    connection.execute("pragma synchronous = full")
    columns = _check_table(connection, target)
    affinity = "text"
    if columns is not None:
        is_strict = _is_strict(connection, target)
        affinity = _affinity(columns[target.key.lower()], is_strict=is_strict)
    key_of = _number if not affinity and _has_numbers(connection, target) else str
    values = [f"v{n}" for n in range(len(target.columns))]
    connection.execute(
        f"create temp table answers (key {affinity} not null unique, answered integer, {', '.join(values)})"
    )
    marks = ", ".join("?" * (len(values) + 2))
    connection.execute("begin")
    try:
        connection.executemany(
            f"insert into answers values ({marks})", _rows(ledger, job, target, key_of)
        )
    except sqlite3.IntegrityError as exc:
        raise _Unfit(
            f"two items have ids that are the same key in column {target.key!r} of type {affinity or 'ANY'}, as '7' and '07' are the same "
            "number. Give the items ids that differ there, or the column the type TEXT"
        ) from exc
    connection.execute("commit")
    connection.execute("begin immediate")
    try:
        if _check_table(connection, target) is None:
            names = ", ".join(map(_name, target.columns))
            connection.execute(
                f"create table {_table(target)} ({_name(target.key)} text primary key not null, {names})"
            )
        for statement in _statements(target):
            connection.execute(statement)
        connection.execute("commit")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("rollback")
        raise


def _statements(target: SqliteTable) -> Iterator[str]:
    """Update the rows of answered items, those of the others, and insert what has no row."""
    table, key = _table(target), _name(target.key)
    numbered = list(enumerate(target.columns.items()))
    state = [(n, column) for n, (column, value) in numbered if value in STATE_VALUES]
    for answered, chosen in ((1, [(n, column) for n, (column, _) in numbered]), (0, state)):
        if chosen:
            sets = ", ".join(f"{_name(column)} = n.v{n}" for n, column in chosen)
            differs = " or ".join(f"t.{_name(column)} is not n.v{n}" for n, column in chosen)
            yield (
                f"update {table} as t set {sets} from temp.answers as n "
                f"where t.{key} = n.key and n.answered = {answered} and ({differs})"
            )
    if target.insert:
        names = ", ".join(map(_name, target.columns))
        values = ", ".join(f"n.v{n}" for n in range(len(target.columns)))
        yield (
            f"insert into {table} ({key}, {names}) select n.key, {values} from temp.answers as n "
            f"left join {table} as t on t.{key} = n.key where t.{key} is null order by n.rowid"
        )


def _rows(
    ledger: Ledger, job: JobView, target: SqliteTable, key_of: Callable[[str], object]
) -> Iterator[Sequence[object]]:
    """(key, whether it has an answer, value of each column) of every item that is settled and has something to write."""
    wanted = tuple(target.columns.values())
    plain = tuple(name for name in wanted if name in _COLUMNS)
    always = f"{_KEY}, i.state, cast(a.output as blob)"
    columns = ", ".join([always, *(_COLUMNS[name] for name in plain)])
    where = f"{_written(wanted)} and {_KEY} is not null"
    for rows in shown_blocks(ledger, job, columns, joins=_JOINS, where=where):
        for key, state, output, *values in rows:
            found = dict(zip(plain, values, strict=True))
            if "status" in found:
                found["status"] = STATUS_NAMES[state]
            is_answered = state == _SUCCEEDED
            if is_answered:
                found |= _of_answer(output, wanted)
            else:
                found = {name: found[name] for name in plain if name in STATE_VALUES}
            yield (key_of(key), int(is_answered), *(found.get(name) for name in wanted))


def _written(wanted: Sequence[str]) -> str:
    """Which items have something to write."""
    return _SETTLED if any(name in STATE_VALUES for name in wanted) else f"i.state = {_SUCCEEDED}"


def count_keyless(ledger: Ledger, job: JobView) -> int | None:
    """How many items the table does not get because they have no id of their own; None where the job line names no table."""
    target = job.settings.output.sqlite
    if target is None:
        return None
    return int(
        ledger.value(
            "select count(*) from item_rows i not indexed left join bad_items b on b.item = i.id where i.job = ? and i.id >= ? and i.id < ? "
            f"and i.vanished = 0 and i.key is null and {_written(tuple(target.columns.values()))} and {_KEY} is null",
            (job.id, job.first_item, job.end_item),
        )
        or 0
    )


def _of_answer(output: bytes, wanted: Sequence[str]) -> dict[str, object]:
    """`output` and its members, as SQLite has them; a member that the answer lacks is null."""
    found: dict[str, object] = {}
    members: dict[str, msgspec.Raw] = {}
    if output[:1] == b"{" and any(name.startswith(MEMBER) for name in wanted):
        members = _members(output)
    for name in wanted:
        if name == "output":
            found[name] = _value(output)
        elif name.startswith(MEMBER) and (value := members.get(name.removeprefix(MEMBER))):
            found[name] = _value(bytes(value))
    return found


def _value(value: bytes) -> object:
    """Text, a number, 1 or 0 for true and false, null; lists and objects, and whole numbers of more than 64 bits, as their JSON."""
    if value[:1] == b'"':
        return text_of(value)
    if value[:1] in b"[{":
        return value.decode()
    decoded: Any = msgspec.json.decode(value)
    if type(decoded) is int and abs(decoded) > _LARGEST:
        return value.decode()
    return decoded


def _is_strict(connection: sqlite3.Connection, target: SqliteTable) -> bool:
    found = connection.execute(
        "select strict from pragma_table_list where schema = 'main' and name = ? collate nocase",
        (target.table,),
    ).fetchone()
    return found is not None and bool(found[0])


def _affinity(declared: str, *, is_strict: bool) -> str:
    """What a column of this type makes of a value, so that our keys are of one kind with those that are there and can be looked up; "" where it takes
    everything as it comes, as ANY does in strict tables only.
    Source: https://sqlite.org/datatype3.html#determination_of_column_affinity and https://sqlite.org/stricttables.html.
    """
    declared = declared.upper()
    for parts, affinity in (
        (("INT",), "integer"),
        (("CHAR", "CLOB", "TEXT"), "text"),
        (("BLOB",), ""),
        (("REAL", "FLOA", "DOUB"), "real"),
    ):
        if any(part in declared for part in parts):
            return affinity
    return "" if not declared or (is_strict and declared == "ANY") else "numeric"


def _has_numbers(connection: sqlite3.Connection, target: SqliteTable) -> bool:
    """Whether the keys that are there are numbers, as far as the first one tells."""
    kind = f"select typeof({_name(target.key)}) from {_table(target)} limit 1"
    row = connection.execute(kind).fetchone()
    return row is not None and row[0] == "integer"


def _number(key: str) -> object:
    """The number that an id was taken from, or the id."""
    is_number = key.isdecimal() and key.isascii() and len(key) < 19
    return int(key) if is_number and str(int(key)) == key else key


def _table(target: SqliteTable) -> str:
    """The table as SQL; of the database itself, whatever our temporary one is called."""
    return f"main.{_name(target.table)}"


def _name(name: str) -> str:
    """A name as SQL: quoted, so that it can be nothing else."""
    return '"' + name.replace('"', '""') + '"'


def _is_busy(exc: sqlite3.Error) -> bool:
    code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
    return code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def _error(exc: Exception, job: JobView, target: SqliteTable) -> LedgerError:
    if isinstance(exc, sqlite3.Error) and _is_busy(exc):
        fix = "Another process holds it."
    elif isinstance(exc, sqlite3.IntegrityError):
        fix = (
            'Where a row of an item cannot be made of these columns, "insert": false in output.sqlite updates those that are there. '
            "Mend the table or the job line."
        )
    elif isinstance(exc, _Unfit):
        fix = ""
    else:
        fix = "Make it a SQLite database that this user may write, in a folder that this user may write."
    what = f"{target.path}: the answers of job {job.name!r} cannot be written there: {str(exc).rstrip('.')}."
    return LedgerError(
        " ".join(filter(None, (what, fix, "Nothing of it was written; the next pass tries again.")))
    )
