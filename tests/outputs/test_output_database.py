"""Answers in a table of the user's own database: only what is named, all or nothing, and nothing that is not asked for."""

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from factory import AT, World

from batchrun.errors import LedgerError
from batchrun.ledger.states import ItemState
from batchrun.model import OutputSettings, SqliteTable
from batchrun.outputs import database
from batchrun.outputs.database import table_problem, write_table
from batchrun.outputs.rows import job_view, snapshot
from batchrun.outputs.writing import write_outputs

MOOD: Mapping[str, str] = {"mood": "output"}

ANYWHERE = (Path("/"),)


def _target(folder: Path, **more: Any) -> SqliteTable:
    given: dict[str, Any] = {
        "path": str(folder / "shop #1.db"),
        "table": "reviews",
        "key": "id",
        "columns": MOOD,
    }
    return SqliteTable(**(given | more))


def _job(world: World, **more: Any) -> int:
    return world.job(output=OutputSettings(sqlite=_target(world.folder, **more)))


def _sql(folder: Path, *statements: str) -> list[tuple[Any, ...]]:
    """The rows of the last statement."""
    rows: list[tuple[Any, ...]] = []
    with closing(sqlite3.connect(folder / "shop #1.db")) as connection, connection:
        for statement in statements:
            rows = connection.execute(statement).fetchall()
    return rows


def _write(world: World, job: int, **how: Any) -> None:
    with snapshot(world.ledger):
        write_table(world.ledger, job_view(world.ledger, job), **how)


def test_the_column_that_is_named_is_written_and_nothing_else(world: World) -> None:
    _sql(
        world.folder,
        "create table reviews (id integer primary key, text text not null, mood text)",
        "insert into reviews values (1, 'nice', null), (2, 'broke', 'old'), (3, 'hm', 'mine')",
    )
    job = _job(world)
    world.answered(job, "2", "bad")
    world.answered(job, "1", "good")
    world.failed(job, "3")
    write_outputs(world.ledger, job, now=AT)
    assert _sql(world.folder, "select * from reviews") == [
        (1, "nice", "good"),
        (2, "broke", "bad"),
        (3, "hm", "mine"),
    ]


def test_a_missing_database_and_table_are_made_and_ids_get_rows(world: World) -> None:
    job = _job(world, columns={"mood": "output", "state": "status", "why": "cause"})
    world.answered(job, "a'; --", "good")
    world.failed(job, "b", "refusal")
    world.item(job, "c", ItemState.PENDING)
    write_outputs(world.ledger, job, now=AT)
    assert _sql(world.folder, "select * from reviews") == [
        ("a'; --", "good", "succeeded", None),
        ("b", None, "failed", "refusal"),
    ]
    assert (world.folder / "shop #1.db").stat().st_mode & 0o077 == 0
    with pytest.raises(sqlite3.IntegrityError):
        _sql(world.folder, "insert into reviews (id) values ('b')")


def test_writing_again_changes_no_row(world: World) -> None:
    _sql(
        world.folder,
        "create table reviews (id text primary key, mood text)",
        "create table log (what text)",
        "create trigger t after update on reviews begin insert into log values (new.id); end",
        "insert into reviews values ('a', null)",
    )
    job = _job(world)
    world.answered(job, "a", "good")
    _write(world, job)
    _write(world, job)
    assert _sql(world.folder, "select * from log") == [("a",)]
    assert _sql(world.folder, "select * from reviews") == [("a", "good")]


def test_an_item_that_failed_leaves_its_row_alone_but_for_columns_that_say_so(
    world: World,
) -> None:
    _sql(
        world.folder,
        "create table reviews (id primary key, mood, state, why, spent, tokens)",
        "insert into reviews values ('a', 'old', 'succeeded', null, 1, 7), ('c', 'x', 'y', 'z', 0, 0)",
    )
    columns = {"mood": "output", "state": "status", "why": "message", "spent": "attempts", "tokens": "output_tokens"}  # fmt: skip
    job = _job(world, columns=columns)
    world.failed(job, "a", "refusal", attempts=2, output_tokens=9)
    world.answered(job, "b", "good")
    _write(world, job)
    assert _sql(world.folder, "select * from reviews order by id") == [
        ("a", "old", "failed", "refusal, said the service", 2, 7),
        ("b", "good", "succeeded", None, 1, 10),
        ("c", "x", "y", "z", 0, 0),
    ]


@pytest.mark.parametrize(
    ("answer", "stored"),
    [
        ("naïve \u0000 text", "naïve \u0000 text"),
        (b'"\\ud800"', "\ufffd"),
        (7, 7),
        (2.5, 2.5),
        (2**63, str(2**63)),
        (True, 1),
        ([1, "a"], '[1,"a"]'),
        ({"city": "Lyon"}, '{"city":"Lyon"}'),
    ],
    ids=repr,
)
def test_an_answer_is_what_sqlite_has_for_it(world: World, answer: object, stored: object) -> None:
    job = _job(world)
    world.answered(job, "a", answer)
    _write(world, job)
    assert _sql(world.folder, "select mood from reviews") == [(stored,)]


def test_keys_of_an_answer_go_into_columns_of_their_own(world: World) -> None:
    job = _job(
        world,
        columns={"city": "output.city", "n": "output.people", "all": "output", "m": "model"},
    )
    world.answered(job, "a", {"city": "Lyon", "people": None, "x": 1})
    world.answered(job, "b", {"people": 4})
    world.answered(job, "c", "no object")
    _write(world, job)
    assert _sql(world.folder, "select * from reviews") == [
        ("a", "Lyon", None, '{"city":"Lyon","people":null,"x":1}', "gpt-5-mini"),
        ("b", None, 4, '{"people":4}', "gpt-5-mini"),
        ("c", None, None, "no object", "gpt-5-mini"),
    ]


@pytest.mark.parametrize(
    ("declared", "key"),
    [
        ("integer", 7),
        ("bigint", 7),
        ("varchar(9)", "7"),
        ("real", 7.0),
        ("numeric", 7),
        ("", 7),
        ("", "7"),
        ("blob", "7"),
        ("any", 7),
    ],
)
def test_an_id_finds_its_row_whatever_type_the_key_column_has(
    world: World, declared: str, key: object
) -> None:
    value = repr(key)
    _sql(
        world.folder,
        f"create table reviews (id {declared}, mood)",
        f"insert into reviews values ({value}, null)",
    )
    job = _job(world)
    world.answered(job, "7", "good")
    world.answered(job, "07x", "bad")
    _write(world, job)
    _write(world, job)
    assert _sql(world.folder, "select * from reviews") == [(key, "good"), ("07x", "bad")]


@pytest.mark.parametrize("key", [7, "7"])
def test_an_id_finds_its_row_in_a_strict_table_that_takes_any(world: World, key: object) -> None:
    _sql(
        world.folder,
        "create table reviews (id any, mood text) strict",
        f"insert into reviews values ({key!r}, null)",
    )
    job = _job(world)
    world.answered(job, "7", "good")
    _write(world, job)
    assert _sql(world.folder, "select * from reviews") == [(key, "good")]


@pytest.mark.parametrize("declared", ["integer", "real", "numeric", "any"])
def test_ids_that_are_one_number_to_the_table_are_refused_and_none_gets_the_others_answer(
    world: World, declared: str
) -> None:
    _sql(
        world.folder,
        f"create table reviews (id {declared}, mood)",
        "insert into reviews values (7, null)",
    )
    job = _job(world)
    world.answered(job, "7", "good")
    world.answered(job, "07", "bad")
    with pytest.raises(
        LedgerError, match=r"two items have ids .* same key in column 'id' of type "
    ):
        _write(world, job)
    assert _sql(world.folder, "select * from reviews") == [(7, None)]


def test_every_row_of_an_id_is_written_where_the_key_is_not_unique(world: World) -> None:
    _sql(
        world.folder,
        "create table reviews (id text, mood)",
        "insert into reviews values ('a', 1), ('a', 2)",
    )
    job = _job(world)
    world.answered(job, "a", "good")
    _write(world, job)
    assert _sql(world.folder, "select * from reviews") == [("a", "good"), ("a", "good")]


def test_rows_that_are_gone_stay_gone_where_inserting_is_off(world: World) -> None:
    _sql(
        world.folder,
        "create table reviews (id text, mood)",
        "insert into reviews values ('a', null)",
    )
    job = _job(world, insert=False)
    world.answered(job, "a", "good")
    world.answered(job, "b", "good")
    _write(world, job)
    assert _sql(world.folder, "select id from reviews") == [("a",)]


def test_a_row_of_an_item_that_is_gone_from_the_data_stays(world: World) -> None:
    job = _job(world)
    world.answered(job, "a", "good")
    _write(world, job)
    world.execute("update item_rows set vanished = 1")
    _write(world, job)
    assert _sql(world.folder, "select * from reviews") == [("a", "good")]


def test_names_are_names_whatever_they_hold(world: World) -> None:
    odd = 'answers"; drop table x; --'
    job = _job(world, table=odd, key='the "id"', columns={"select": "output"})
    world.answered(job, "a", "good")
    _write(world, job)
    _write(world, job)
    quoted = odd.replace('"', '""')
    assert _sql(world.folder, f'select * from "{quoted}"') == [("a", "good")]


def test_a_table_called_like_our_own_temporary_one_is_still_the_users(world: World) -> None:
    job = _job(world, table="answers", key="key")
    world.answered(job, "a", "good")
    _write(world, job)
    _write(world, job)
    assert _sql(world.folder, "select * from answers") == [("a", "good")]


def _tell(world: World, job: int) -> str:
    with pytest.raises(LedgerError) as caught:
        _write(world, job, busy_timeout_s=0)
    return str(caught.value)


def test_a_locked_database_is_told_and_written_by_the_next_pass(world: World) -> None:
    _sql(world.folder, "create table reviews (id text, mood)")
    job = _job(world)
    world.answered(job, "a", "good")
    with closing(sqlite3.connect(world.folder / "shop #1.db")) as other:
        other.execute("begin immediate")
        message = _tell(world, job)
        assert "shop #1.db: the answers of job 'reviews' cannot be written there" in message
        assert "Another process holds it. Nothing of it was written" in message
    _write(world, job)
    assert _sql(world.folder, "select * from reviews") == [("a", "good")]


def test_a_row_that_the_table_refuses_leaves_it_as_it_was(world: World) -> None:
    _sql(
        world.folder,
        "create table reviews (id text, text text not null, mood)",
        "insert into reviews values ('a', 'nice', null)",
    )
    job = _job(world)
    world.answered(job, "a", "good")
    world.answered(job, "b", "good")
    message = _tell(world, job)
    assert "NOT NULL constraint failed: reviews.text" in message
    assert '"insert": false' in message
    assert _sql(world.folder, "select mood from reviews") == [(None,)]


def test_the_other_outputs_are_written_and_the_manifest_is_not(world: World) -> None:
    (world.folder / "shop #1.db").write_bytes(b"this is no database at all " * 50)
    job = _job(world)
    world.answered(job, "a", "good")
    with pytest.raises(LedgerError, match="file is not a database"):
        write_outputs(world.ledger, job, now=AT)
    folder = world.folder / "outputs" / "reviews"
    assert (folder / "results.jsonl").exists()
    assert not (folder / "manifest.json").exists()
    (world.folder / "shop #1.db").unlink()
    write_outputs(world.ledger, job, now=AT)
    assert (folder / "manifest.json").exists()


@pytest.mark.parametrize(
    ("made", "more", "what"),
    [
        ("create table reviews (id, mood)", {}, None),
        ("create table REVIEWS (ID, Mood)", {}, None),
        ("create table other (id)", {}, None),
        ("create table reviews (number, mood)", {}, "table 'reviews' has no column 'id'. Name the one that holds the items' ids."),
        ("create table reviews (id, mood)", {"key": "idd"}, "table 'reviews' has no column 'idd'. Did you mean 'id'?"),
        ("create table reviews (id, moood)", {}, "table 'reviews' has no column 'mood'. Did you mean 'moood'?"),
        ("create table reviews (id)", {}, "table 'reviews' has no column 'mood'. Add it: alter table \"reviews\" add column \"mood\""),
        ("create view reviews as select 1 as id, 2 as mood", {}, "'reviews' is a view. Name a table."),
        ("", {"table": "sqlite_master"}, "'sqlite_master': SQLite keeps names that begin with 'sqlite_' for itself. Name a table of yours."),
        ("", {"table": "SQLite_mine"}, "'SQLite_mine': SQLite keeps names that begin with 'sqlite_' for itself. Name a table of yours."),
        ("create table x (id integer primary key autoincrement)", {"table": "sqlite_sequence", "key": "name", "columns": {"seq": "output"}}, "'sqlite_sequence': SQLite keeps names that begin with 'sqlite_' for itself. Name a table of yours."),
        ("", {"table": "a\0b"}, "'a\\x00b' holds a null character, which no name in SQLite may."),
        ("", {"columns": {"mo\0od": "output"}}, "'mo\\x00od' holds a null character, which no name in SQLite may."),
        ("", {"path": "/nowhere/at/all.db"}, "there is no such folder. Make it first."),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_seen_before_anything_is_paid_and_told_when_it_is_written(
    world: World, made: str, more: dict[str, Any], what: str | None
) -> None:
    _sql(world.folder, made)
    job = _job(world, **more)
    world.answered(job, "a", "good")
    home = world.ledger.home.path
    assert table_problem(_target(world.folder, **more), home=home, allowed=ANYWHERE) == what
    if what is not None:
        assert what.rstrip(".") in _tell(world, job)


def test_a_job_file_writes_nowhere_else(world: World) -> None:
    """It may come from a stranger, and its answers are foreign text."""
    home, jobs, elsewhere = world.ledger.home.path, world.folder / "jobs", world.folder / "else"
    for folder in (jobs, elsewhere):
        folder.mkdir()
    (jobs / "link.db").symlink_to(elsewhere / "a.db")
    for path in (elsewhere / "a.db", jobs / "link.db", jobs / ".." / "else" / "a.db"):
        told = table_problem(_target(world.folder, path=str(path)), home=home, allowed=[jobs])
        assert "neither in the job file's folder" in (told or "")
        assert "'write_to' of batchrun.toml" in (told or "")
    for path, allowed in ((jobs / "a.db", [jobs]), (elsewhere / "a.db", [jobs, elsewhere])):
        target = _target(world.folder, path=str(path))
        assert table_problem(target, home=home, allowed=allowed) is None


def test_batchruns_own_home_is_nobody_elses_database(world: World) -> None:
    own = str(world.ledger.home.database)
    home = world.ledger.home.path
    assert "in batchrun's own home" in (table_problem(_target(world.folder, path=own), home=home, allowed=ANYWHERE) or "")  # fmt: skip
    job = _job(world, path=own)
    world.answered(job, "a", "good")
    assert "in batchrun's own home" in _tell(world, job)


def test_a_database_that_is_not_there_yet_or_held_by_somebody_now_is_no_problem_and_a_damaged_one_is(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = world.ledger.home.path
    target = _target(world.folder)
    assert table_problem(target, home=home, allowed=ANYWHERE) is None
    assert not (world.folder / "shop #1.db").exists()

    monkeypatch.setattr(database, "_LOOK_TIMEOUT_S", 0)
    with closing(sqlite3.connect(world.folder / "shop #1.db")) as other:
        other.execute("begin exclusive")
        assert table_problem(target, home=home, allowed=ANYWHERE) is None

    (world.folder / "shop #1.db").write_bytes(b"this is no database at all " * 50)
    assert table_problem(target, home=home, allowed=ANYWHERE) == "file is not a database"


def test_items_without_an_id_of_their_own_are_passed_over_and_counted(world: World) -> None:
    _sql(world.folder, "create table reviews (id text primary key, mood text, status text)")
    job = _job(world, columns={"mood": "output", "status": "status"})
    world.answered(job, "1", "good")
    world.answered(job, None, "bad", name="data.csv:3")
    world.bad(job, "data.csv:4", "bad_item", "the line is broken")
    item = world.bad(job, "5", "bad_item", "a field is missing")
    world.execute("update bad_items set has_id = 1 where item = ?", item)
    written = write_outputs(world.ledger, job, now=AT)
    rows = _sql(world.folder, "select * from reviews order by id")
    assert rows == [("1", "good", "succeeded"), ("5", None, "failed")]
    report = json.loads((written.folder / "report.json").read_text())
    assert report["without_key"] == 2
    told = "- not in the table of `output.sqlite`, without an id of their own: 2\n"
    assert told in (written.folder / "report.md").read_text()
