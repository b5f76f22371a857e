"""A query over a SQLite database: rows as items, nothing but reading, and faults that say where."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from batchrun.jobfile import Problems, read_items
from batchrun.jobfile.problems import Fault
from batchrun.jobfile.sources import source_name
from batchrun.jobfile.sources.sqlite import read_query
from batchrun.model import ITEM_LINE_LIMIT_BYTES, JobSettings, SqliteQuery

Rows = list[tuple[int, dict[str, Any]]]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(tmp_path / "shop #1?.db", isolation_level=None)) as connection:
        connection.execute("create table reviews (id integer primary key, text text, stars real)")
        connection.executemany(
            "insert into reviews values (?, ?, ?)", [(1, "good", 4.5), (2, "naïve\0", None)]
        )
        yield connection


def ask(
    folder: Path, query: str, *, name: str = "shop #1?.db", items: str | None = None, **how: Any
) -> tuple[Rows, list[str]]:
    source = SqliteQuery(sqlite=str(folder / name), query=query)
    job = JobSettings(name="a", path=str(folder / "j.jsonl"), line=1, items=source)
    problems = Problems()
    blocks = list(read_items(job, problems, items=items, **how))
    assert all(block.fields and len(block.fields) == len(block.lines) for block in blocks)
    rows = [row for block in blocks for row in zip(block.lines, block.fields, strict=True)]
    return rows, [f"{problem.line}: {problem.what}" for problem in problems]


def test_a_row_is_an_item_with_its_numbers_texts_and_nulls(
    tmp_path: Path, database: sqlite3.Connection
) -> None:
    rows, problems = ask(tmp_path, "select * from reviews order by id desc")
    assert rows == [
        (1, {"id": 2, "text": "naïve\0", "stars": None}),
        (2, {"id": 1, "text": "good", "stars": 4.5}),
    ]
    assert problems == []


def test_a_query_without_rows_is_no_problem(tmp_path: Path, database: sqlite3.Connection) -> None:
    assert ask(tmp_path, "select * from reviews where id > 9") == ([], [])


@pytest.mark.parametrize(
    "query",
    [
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < 2) select i from n",
        "select value as i from json_each('[1, 2]')",
        "-- a comment first\nselect id as i from reviews order by id;",
    ],
)
def test_whatever_only_reads_is_a_query(
    tmp_path: Path, database: sqlite3.Connection, query: str
) -> None:
    assert ask(tmp_path, query) == ([(1, {"i": 1}), (2, {"i": 2})], [])


def test_a_full_text_index_can_be_asked(tmp_path: Path, database: sqlite3.Connection) -> None:
    database.execute("create virtual table found using fts5(text)")
    database.execute("insert into found values ('a red coat'), ('a blue coat')")
    rows, problems = ask(tmp_path, "select text from found where found match 'blue'")
    assert (rows, problems) == ([(1, {"text": "a blue coat"})], [])


@pytest.mark.parametrize(
    "query",
    [
        "insert into reviews values (3, 'x', 1)",
        "delete from reviews returning id",
        "create temp table t (a)",
        "drop table reviews",
        "attach ':memory:' as other",
        "vacuum into 'copy.db'",
        "pragma journal_mode = delete",
        "select * from pragma_table_info('reviews')",
        "select load_extension('x')",
        "begin",
    ],
)
def test_whatever_does_more_than_read_is_refused(
    tmp_path: Path, database: sqlite3.Connection, query: str
) -> None:
    rows, problems = ask(tmp_path, query)
    assert rows == []
    assert problems == ["None: the query does more than read this database"]
    assert database.execute("select count(*) from reviews").fetchone() == (2,)


@pytest.mark.parametrize(
    ("query", "what"),
    [
        ("select 1 as a; select 2", "more than one statement in the query"),
        ("-- nothing", "the query is empty"),
        ("select id, id from reviews", "duplicate column 'id' in the query"),
        ('select 1 as ""', "column 1 of the query has no name"),
        (
            "select id,\n  txt from reviews",
            "the query: no such column: txt (line 2, column 3 of the query)",
        ),
        (
            "select id frm reviews where",
            'the query: near "reviews": syntax error (line 1, column 15 of the query)',
        ),
        ("select id, from from from", 'the query: near "from": syntax error'),
        ("select abs(1, 2)", "the query: wrong number of arguments to function abs() (line 1, column 8 of the query)"),
        ("select (", "the query: incomplete input"),
    ],
)  # fmt: skip
def test_a_query_that_is_wrong_is_told_with_its_place(
    tmp_path: Path, database: sqlite3.Connection, query: str, what: str
) -> None:
    assert ask(tmp_path, query) == ([], [f"None: {what}"])


def test_a_value_that_json_lacks_is_a_problem_of_its_row(
    tmp_path: Path, database: sqlite3.Connection
) -> None:
    database.execute("create table odd (a, b)")
    database.execute("insert into odd values (x'00ff', 1)")
    database.execute("insert into odd values (1, 9e999)")
    database.execute("insert into odd values (1, cast(x'ff' as text))")
    database.execute("insert into odd values (1, 2)")
    rows, problems = ask(tmp_path, "select * from odd")
    assert rows == [(4, {"a": 1, "b": 2})]
    assert problems == [
        "1: column 'a' is a BLOB, and JSON has no bytes",
        "2: column 'b' is infinite, and JSON has no such number",
        "3: column 'b' is a text that is no UTF-8",
    ]


def test_a_row_that_no_request_could_hold_is_a_problem(
    tmp_path: Path, database: sqlite3.Connection
) -> None:
    query = f"select printf('%.{ITEM_LINE_LIMIT_BYTES + 1}c', 'x') as a union all select 'short'"
    rows, problems = ask(tmp_path, query)
    assert rows == [(2, {"a": "short"})]
    assert problems == [f"1: a row of more than {ITEM_LINE_LIMIT_BYTES:,} characters"]


def test_rows_come_in_blocks_of_bounded_count_and_size(
    tmp_path: Path, database: sqlite3.Connection
) -> None:
    many = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 10) select i, printf('%.100000c', 'x') as t from n"
    blocks = list(
        read_query(str(tmp_path / "shop #1?.db"), many, "d", Problems(), block_count=1_000)
    )
    assert [len(block.fields) for block in blocks] == [3, 3, 3, 1]
    blocks = list(read_query(str(tmp_path / "shop #1?.db"), many, "d", Problems(), block_count=2))
    assert [list(block.lines) for block in blocks][:2] == [[1, 2], [3, 4]]


def test_a_locked_database_is_told(tmp_path: Path, database: sqlite3.Connection) -> None:
    database.execute("begin exclusive")
    with pytest.raises(Fault, match="another process holds the database"):
        list(
            read_query(
                str(tmp_path / "shop #1?.db"),
                "select * from reviews",
                "d",
                Problems(),
                10,
                busy_timeout_s=0,
            )
        )


def test_what_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("this is no database, whatever its name is " * 30)
    (tmp_path / "folder.db").mkdir()
    told = {
        name: ask(tmp_path, "select 1 as a from sqlite_master", name=name)[1]
        for name in ("text.db", "gone.db", "folder.db")
    }
    assert told == {
        "text.db": ["None: the database cannot be read: file is not a database"],
        "gone.db": ["None: there is no such file"],
        "folder.db": ["None: a folder, not a file"],
    }
    assert not (tmp_path / "gone.db").exists()


def test_a_database_that_may_not_be_opened_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(tmp_path / "wal.db")) as other:
        other.execute("pragma journal_mode = wal")
        other.execute("create table t (a)")
    (tmp_path / "wal.db-wal").mkdir()  # in the way of what SQLite wants to open
    (problem,) = ask(tmp_path, "select * from t", name="wal.db")[1]
    assert problem == "None: the database cannot be read: unable to open database file"

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *_, **__: connect(tmp_path / "no" / "such.db"))
    assert ask(tmp_path, "select 1 as a", name="wal.db")[1] == [problem]


def test_another_database_can_be_asked_the_same_for_once(
    tmp_path: Path, database: sqlite3.Connection
) -> None:
    with closing(sqlite3.connect(tmp_path / "other.sqlite")) as other, other:
        other.execute("create table reviews (id)")
        other.execute("insert into reviews values (7)")
    query = "select id from reviews"
    assert ask(tmp_path, query, items=str(tmp_path / "other.sqlite")) == ([(1, {"id": 7})], [])
    (tmp_path / "d.csv").write_text("id\n8\n")
    assert ask(tmp_path, query, items=str(tmp_path / "d.csv")) == ([(2, {"id": "8"})], [])


def test_a_database_alone_says_not_what_of_it(tmp_path: Path) -> None:
    (tmp_path / "a.db").touch()
    job = JobSettings(name="a", path="j", line=1, items=str(tmp_path / "*.db"))
    problems = Problems()
    assert list(read_items(job, problems)) == []
    assert [problem.what for problem in problems] == [
        "a database, and no query that says what of it"
    ]


def test_messages_name_a_source_by_its_path() -> None:
    assert source_name("/a/*.csv") == "/a/*.csv"
    assert source_name(SqliteQuery(sqlite="/a.db", query="select secret")) == "/a.db by the query"
