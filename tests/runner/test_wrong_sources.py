"""`bad_items` forgives items. What is wrong with a whole source (a file, a database, a query) stops the job, whatever it says."""

import io
import json
import sqlite3
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from runnerkit import World

from batchrun.errors import JobFileError
from batchrun.takingitems import SubmitOptions

ALLOWED = 5
GOOD = b"id,text\na,one\nb,two\n"
TORN = b'id,text\na,one\nb,"two\n' + b"".join(b"c%d,more\n" % n for n in range(500))


def database(folder: Path) -> Path:
    """Three rows, the second with a BLOB."""
    path = folder / "data.db"
    with sqlite3.connect(path) as connection:
        connection.execute("create table t (id text, text text)")
        connection.executemany(
            "insert into t values (?, ?)", [("a", "one"), ("b", b"\0"), ("c", "two")]
        )
    connection.close()
    return path


def write(world: World, source: Any, allowed: int = ALLOWED) -> None:
    """A job file whose data is elsewhere, or nowhere; it allows bad items."""
    path = world.write([], bad_items=allowed)
    if source is not None:
        path.write_text(json.dumps(json.loads(path.read_text()) | {"items": source}) + "\n")


def refused(world: World, source: Any, **options: Any) -> tuple[str, ...]:
    """What is wrong, told of a job over this source that allows bad items. Nothing of it may stay."""
    write(world, source)
    error = world.submit(send=False, **options).error
    assert isinstance(error, JobFileError)
    assert error.exit_code == 5
    assert world.rows("select * from jobs") == []
    return tuple(problem.what for problem in error.problems)


def taken(world: World, source: Any, **options: Any) -> dict[str, int]:
    """The job's tally where its bad items were forgiven."""
    write(world, source)
    assert world.submit(send=False, **options).error is None
    return world.tally()


@pytest.mark.parametrize(
    "name", ["a.csv", "a.tsv", "a.jsonl", "a.ndjson", "a.txt", "*.csv", "*.md"]
)
def test_a_source_that_is_not_there_is_no_bad_item(world: World, name: str) -> None:
    (what,) = refused(world, str(world.job_file.parent / "data" / name))
    assert what in {"there is no such file", "no file matches"}


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("a.csv", GOOD.decode().encode("utf-16"), "UTF-16"),
        ("a.tsv", GOOD.decode().encode("utf-16"), "UTF-16"),
        ("a.jsonl", '{"id": "a", "text": "x"}\n'.encode("utf-16"), "UTF-16"),
        ("a.csv", GOOD.replace(b",", b";"), "separated by semicolons"),
        ("a.tsv", GOOD, "separated by commas"),
        ("a.csv", b"id,id\na,b\n", "duplicate column 'id'"),
        ("a.csv", b"id,\xff\na,b\n", "invalid UTF-8"),
        ("a.csv", b'id,"text"x\na,b\n', "text after a closing quote"),
        ("a.csv", b"", "the table is empty"),
        ("a.jsonl", b"", "the file is empty"),
        ("a.csv", TORN, "never closed"),
        ("a.csv", b'id,text\na,one\nb,"two', "never closed"),
        ("a.csv", TORN + b'd,"quoted"\n', "text after a closing quote"),
        ("a.parquet", b"no such thing", "no Parquet file"),
        ("a.json", b"[]", "one document"),
        ("a.csv.gz", b"\x1f\x8b", "compressed"),
        ("a.db", b"", "no query"),
    ],
)
def test_a_file_that_is_wrong_as_a_whole_is_no_bad_item(
    world: World, tmp_path: Path, name: str, data: bytes, told: str
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    found = refused(world, str(path))
    assert any(told in what for what in found)


def test_the_rest_of_a_table_behind_a_row_without_end_is_no_bad_item(
    world: World, tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'id,text\na,one\nb,"two\n' + (b"c" * 99_999 + b"\n") * 200)
    (what,) = refused(world, str(path))
    assert "a quote that never closes?" in what


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("selec id from t", "syntax error"),
        ("update t set text = 'x'", "does more than read"),
        ("select id, text from t; select 1", "more than one statement"),
        ("select id, gone from t", "no such column"),
        ("select id, id from t", "duplicate column"),
        ("-- nothing", "empty"),
        ("select id, text, json(text) as j from t", "malformed JSON"),
    ],
)
def test_a_query_that_cannot_be_asked_is_no_bad_item(
    world: World, tmp_path: Path, query: str, told: str
) -> None:
    found = refused(world, {"sqlite": str(database(tmp_path)), "query": query})
    assert any(told in what for what in found)


def test_a_database_that_is_missing_or_none_is_no_bad_item(world: World, tmp_path: Path) -> None:
    query = "select id, text from t"
    (missing,) = refused(world, {"sqlite": str(tmp_path / "gone.db"), "query": query})
    assert missing == "there is no such file"
    (tmp_path / "none.db").write_bytes(b"not a database at all" * 100)
    (none,) = refused(world, {"sqlite": str(tmp_path / "none.db"), "query": query})
    assert "cannot be read" in none


def test_one_wrong_file_of_a_glob_stops_the_job_and_its_bad_items_are_told_too(
    world: World, tmp_path: Path
) -> None:
    (tmp_path / "1.csv").write_bytes(GOOD + b"c\n")
    (tmp_path / "2.csv").write_bytes(GOOD.replace(b",", b";"))
    (tmp_path / "3.csv").write_bytes(b"id,text\nd,one\ne\n")
    found = refused(world, str(tmp_path / "*.csv"))
    assert ["fewer" in what for what in found] == [True, False, True]


def test_items_of_the_command_line_are_held_to_the_same(world: World, tmp_path: Path) -> None:
    data = tmp_path / "a.csv"
    data.write_bytes(GOOD.replace(b",", b";"))
    (what,) = refused(world, None, items=str(data))
    assert "separated by semicolons" in what
    (what,) = refused(world, None, items=str(tmp_path / "gone.jsonl"))
    assert what == "there is no such file"


@pytest.mark.parametrize("data", ['{"id": "a"}\n'.encode("utf-16"), b"", b"\n\n"])
def test_standard_input_that_is_wrong_as_a_whole_is_no_bad_item(world: World, data: bytes) -> None:
    api = world.api()
    write(world, None)
    checked = api.check([world.job_file], SubmitOptions(items="-"), stdin=io.BytesIO(data))
    assert isinstance(checked[0].error, JobFileError)


def test_a_job_without_item_lines_is_no_bad_item(world: World) -> None:
    (what,) = refused(world, None)
    assert what == "job 'reviews' has no items"


def test_a_wrong_source_is_told_behind_as_many_bad_items_as_are_kept(
    world: World, tmp_path: Path
) -> None:
    (tmp_path / "1.csv").write_bytes(b"id,text\na,one\n" + b"b\n" * 1_000)
    (tmp_path / "2.csv").write_bytes(GOOD.replace(b",", b";"))
    write(world, str(tmp_path / "*.csv"), allowed=1_000)
    error = world.submit(send=False).error
    assert isinstance(error, JobFileError)
    assert "semicolons" in error.problems[-1].what


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", GOOD + b"c\n"),
        ("a.csv", GOOD + b"c,\xff\n"),
        ("a.csv", GOOD + b'c,"x"y\n'),
        ("a.csv", GOOD + b'c,"x\ny",z\n'),
        ("a.tsv", GOOD.replace(b",", b"\t") + b"c\n"),
        ("a.jsonl", b'{"id": "a", "text": "x"}\n{"id": "b", "text": "y"}\n{"id": \n'),
    ],
)
def test_one_bad_row_or_line_is_still_a_bad_item(
    world: World, tmp_path: Path, name: str, data: bytes
) -> None:
    (tmp_path / name).write_bytes(data)
    assert taken(world, str(tmp_path / name)) == {"pending": 2, "failed": 1}


@pytest.mark.parametrize("data", [b"\xff", "text".encode("utf-16"), b"\xe4 and more"])
def test_a_text_is_an_item_and_one_that_cannot_be_decoded_a_bad_one(
    world: World, tmp_path: Path, data: bytes
) -> None:
    (tmp_path / "1.md").write_bytes(b"one")
    (tmp_path / "2.md").write_bytes(data)
    assert taken(world, str(tmp_path / "*.md")) == {"pending": 1, "failed": 1}
    (name,) = world.failures()
    assert name.endswith("2.md")


def test_one_row_of_a_query_is_still_a_bad_item(world: World, tmp_path: Path) -> None:
    query = "select id, text from t"
    source = {"sqlite": str(database(tmp_path)), "query": query}
    assert taken(world, source) == {"pending": 2, "failed": 1}


def test_one_row_of_parquet_is_still_a_bad_item(world: World, tmp_path: Path) -> None:
    table = pa.table({"text": ["one", "two", "three"], "n": [1.0, float("nan"), 2.0]})
    pq.write_table(table, tmp_path / "a.parquet")
    assert taken(world, str(tmp_path / "a.parquet")) == {"pending": 2, "failed": 1}


def test_the_failure_of_a_bad_item_names_its_place_once_and_what_to_do(
    world: World, tmp_path: Path
) -> None:
    data = world.job_file.parent / "data"
    data.mkdir()
    (data / "1.csv").write_bytes(GOOD + b"c\n")
    (data / "2.md").write_bytes(b"\xff")
    assert taken(world, "data/*.*") == {"pending": 2, "failed": 2}
    told = dict(sorted((row["id"], row["message"]) for row in world.rows("select * from failures")))
    assert told == {
        "data/1.csv:4": "data/1.csv:4: 1 cell, fewer than the 2 columns of the header. "
        "Quote cells that hold the separator, line breaks or quotes.",
        "data/2.md": "data/2.md: invalid UTF-8: byte 0xff at offset 0. "
        "Save the file as UTF-8, or narrow the glob to text files.",
    }
