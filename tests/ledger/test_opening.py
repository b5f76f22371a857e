"""The ledger itself: transactions that are all or nothing, migrations, and spool files that are whole or absent."""

import os
import sqlite3
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from batchrun.errors import IllegalTransition, LedgerError
from batchrun.ledger.batches import add_incident, insert_batch, move_batch
from batchrun.ledger.connection import Ledger, is_copied, open_for_reading, open_ledger
from batchrun.ledger.home import Home, find_home, home_to_create, require_home
from batchrun.ledger.schema import SCHEMA_VERSION
from batchrun.ledger.spool import publish, sweep_temps, temp_beside, written
from batchrun.ledger.states import BatchEvent, BatchState


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / ".batchrun")


class Death(BaseException):
    """Anything that no code of ours catches."""


def test_a_transaction_that_dies_leaves_nothing(home: Home) -> None:
    with open_ledger(home, create=True) as ledger:

        def insert_and_die() -> None:
            with ledger.transaction():
                ledger.execute("insert into models (name) values ('m')")
                raise Death

        with pytest.raises(Death):
            insert_and_die()
        assert ledger.value("select count(*) from models") == 0
        assert not ledger.connection.in_transaction


def test_a_reading_that_an_interruption_left_behind_ends_quietly_after_the_ledger(
    home: Home,
) -> None:
    with open_ledger(home, create=True) as ledger:
        reading = ledger.rows("select 1 union all select 2")
        next(reading)
    assert isinstance(reading, Generator)
    reading.close()  # as the interpreter does with what nobody refers to any more


@pytest.mark.fault(33)
def test_a_transaction_takes_the_write_lock_at_its_start(home: Home) -> None:
    with open_ledger(home, create=True) as ledger, open_ledger(home) as other:
        other.connection.execute("pragma busy_timeout = 0")
        with (
            ledger.transaction(),
            pytest.raises(LedgerError, match="Another process holds it"),
            other.transaction(),
        ):
            pass


def test_readers_see_the_state_before_an_open_transaction(home: Home) -> None:
    with open_ledger(home, create=True) as ledger, open_for_reading(home) as reader:
        with ledger.transaction():
            ledger.execute("insert into models (name) values ('m')")
            assert reader.value("select count(*) from models") == 0
        assert reader.value("select count(*) from models") == 1


def test_a_reader_cannot_write(home: Home) -> None:
    open_ledger(home, create=True).close()
    with (
        open_for_reading(home) as reader,
        pytest.raises(LedgerError, match="readonly"),
        reader.transaction(),
    ):
        reader.execute("insert into models (name) values ('m')")


@pytest.mark.fault(37)
def test_commits_survive_a_power_cut(home: Home) -> None:
    """WAL with synchronous=FULL: a committed intent is on the disk."""
    with open_ledger(home, create=True) as ledger:
        assert ledger.value("pragma journal_mode") == "wal"
        assert ledger.value("pragma synchronous") == 2
        assert ledger.value("pragma foreign_keys") == 1
        assert ledger.value("pragma user_version") == SCHEMA_VERSION


@pytest.mark.fault(37)
def test_a_migration_that_dies_is_made_whole_by_the_next_process(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    from batchrun.ledger import schema

    statements = schema._statements

    def dies_half_way(script: str) -> list[str]:
        found = statements(script)
        return [*found[: len(found) // 2], "this is no SQL"]

    monkeypatch.setattr(schema, "_statements", dies_half_way)
    with pytest.raises(LedgerError):
        open_ledger(home, create=True)
    monkeypatch.undo()
    with open_ledger(home) as ledger:
        assert ledger.value("select count(*) from jobs") == 0


def test_every_ledger_has_an_identity_of_its_own(tmp_path: Path) -> None:
    ids = set()
    for name in "ab":
        (tmp_path / name).mkdir()
        home = Home(tmp_path / name / ".batchrun")
        for _ in range(2):
            with open_ledger(home, create=True) as ledger:
                ids.add((ledger.meta("ledger"), ledger.meta("salt")))
                assert is_copied(ledger) is None
    assert len(ids) == 2


@pytest.mark.usefixtures("real_sleep")
def test_a_new_ledger_that_many_open_at_once_is_made_once(tmp_path: Path) -> None:
    """The first two cron lines of a home, or a `status` beside the first `submit`."""
    for attempt in range(15):
        home = Home(tmp_path / str(attempt))
        home.create()
        home.database.touch()
        start = threading.Barrier(4)

        def opened(reads: bool, home: Home = home, start: threading.Barrier = start) -> str | None:
            start.wait()
            with open_for_reading(home) if reads else open_ledger(home, create=True) as ledger:
                return ledger.meta("ledger")

        with ThreadPoolExecutor(4) as pool:
            ids = set(pool.map(opened, (True, False, True, False)))
        assert len(ids) == 1
        assert None not in ids


def batch(ledger: Ledger) -> int:
    with ledger.transaction():
        ledger.execute(
            "insert into jobs (id, name, profile, source, settings, outputs, created_at) values (1, 'j', 'p', '', '{}', '', 0)"
        )
        ledger.execute(
            "insert into request_files (id, job, kind, state, endpoint, model) values (1, 1, 0, 2, 'e', 'm')"
        )
        columns = {
            "profile": "p",
            "endpoint": "e",
            "model": "m",
            "window": "24h",
            "token": "br-1",
            "request_file": 1,
            "request_count": 1,
            "input_bytes": 1,
            "checksum": "",
            "first_item": 1,
            "last_item": 1,
            "metadata": "{}",
        }
        return insert_batch(ledger, job=1, at=5, columns=columns)


def test_a_move_is_a_compare_and_set(home: Home) -> None:
    """Two processes that both believe in `planned`: the second one stops instead of going on from a wrong belief."""
    with open_ledger(home, create=True) as ledger:
        number = batch(ledger)
        with ledger.transaction():
            move_batch(ledger, number, before=BatchState.PLANNED, event=BatchEvent.UPLOADED, at=6)
        with pytest.raises(IllegalTransition, match="not planned"), ledger.transaction():
            move_batch(ledger, number, before=BatchState.PLANNED, event=BatchEvent.UPLOADED, at=7)
        events = [
            (r["event"], r["before"], r["after"]) for r in ledger.rows("select * from events")
        ]
        assert events == [("planned", None, 0), ("uploaded", 0, 1)]


def test_an_illegal_move_changes_nothing(home: Home) -> None:
    with open_ledger(home, create=True) as ledger:
        number = batch(ledger)
        with pytest.raises(IllegalTransition), ledger.transaction():
            move_batch(ledger, number, before=BatchState.PLANNED, event=BatchEvent.CREATED, at=6)
        assert ledger.value("select state from batch_rows") == BatchState.PLANNED


def test_the_same_incident_is_recorded_once(home: Home) -> None:
    with open_ledger(home, create=True) as ledger:
        for message in ("one", "one", "two"):
            with ledger.transaction():
                add_incident(ledger, at=1, kind="strange", message=message)
        assert ledger.value("select count(*) from incidents") == 2


def _write_and_die(path: Path) -> None:
    with written(path) as file:
        file.write(b"half")
        raise Death


# -- the spool ----------------------------------------------------------------------------------------------------------------


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "1.jsonl"
    with pytest.raises(Death):
        _write_and_die(path)
    assert list(tmp_path.iterdir()) == []
    with written(path) as file:
        file.write(b"whole\n")
        assert not path.exists()
    assert path.read_bytes() == b"whole\n"
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_old_file_stands_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "1.jsonl"
    path.write_bytes(b"old\n")
    with pytest.raises(Death):
        _write_and_die(path)
    assert path.read_bytes() == b"old\n"


def test_what_a_dead_writer_left_is_swept_by_its_name_only(tmp_path: Path) -> None:
    temp = temp_beside(tmp_path / "1.jsonl")
    temp.write_bytes(b"half")
    (tmp_path / "kept.part").write_bytes(b"not ours")
    assert sweep_temps(tmp_path) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["kept.part"]


@pytest.mark.fault(52)
def test_a_link_in_the_way_is_replaced_and_never_followed(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_bytes(b"precious")
    path = tmp_path / "1.jsonl"
    path.symlink_to(target)
    with written(path) as file:
        file.write(b"ours\n")
    assert target.read_bytes() == b"precious"
    assert not path.is_symlink()


def test_a_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(LedgerError, match=r"gone/1\.jsonl: cannot be written"),
        written(tmp_path / "gone" / "1.jsonl") as file,
    ):
        file.write(b"x")
    with pytest.raises(LedgerError):
        publish(tmp_path / "nothing", tmp_path / "1.jsonl")


# -- finding a home -----------------------------------------------------------------------------------------------------------


def test_the_nearest_home_upwards_is_found(tmp_path: Path) -> None:
    open_ledger(Home(tmp_path / ".batchrun"), create=True).close()
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    found, start = find_home(explicit=None, environ=None, near=deep)
    assert (found, start) == (tmp_path / ".batchrun", deep)
    with pytest.raises(Exception, match="no batchrun home here"):
        require_home(None, deep)


@pytest.mark.parametrize(
    "name", ["spool/requests", "spool/results", "spool-of-lost-ledger-1/results"]
)
def test_a_home_whose_ledger_is_gone_is_found_by_its_spool(tmp_path: Path, name: str) -> None:
    home = Home(tmp_path / ".batchrun")
    folder = home.path / name
    folder.mkdir(parents=True)
    assert find_home(explicit=None, environ=None, near=tmp_path)[0] is None, "nothing was sent"
    (folder / "1.jsonl").write_bytes(b"{}\n")
    assert find_home(explicit=None, environ=None, near=tmp_path)[0] == home.path
    for open_it in (open_ledger, open_for_reading):
        with pytest.raises(LedgerError, match=r"`batchrun recover FILE\.\.\.`"):
            open_it(home)
    assert not home.database.exists()


def test_a_named_home_wins_over_the_environment_and_the_nearest(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        open_ledger(Home(tmp_path / name / "home"), create=True).close()
    a, b = str(tmp_path / "a" / "home"), str(tmp_path / "b" / "home")
    assert find_home(explicit=a, environ=b, near=tmp_path)[0] == Path(a)
    assert find_home(explicit=None, environ=b, near=tmp_path)[0] == Path(b)
    assert find_home(explicit=str(tmp_path / "none"), environ=None, near=tmp_path)[0] is None


def test_a_new_home_is_made_here_if_the_job_file_lies_below_and_else_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, other = tmp_path / "here", tmp_path / "other"
    (here / "jobs").mkdir(parents=True)
    other.mkdir()
    monkeypatch.chdir(here)
    below = home_to_create(explicit=None, environ=None, job_file=here / "jobs" / "a.jsonl")
    beside = home_to_create(explicit=None, environ=None, job_file=other / "a.jsonl")
    assert (below, beside) == (here / ".batchrun", other / ".batchrun")


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(LedgerError, match="cannot be created"):
        Home(tmp_path / "file" / ".batchrun").create()


@pytest.mark.fault(56)
def test_the_database_is_private_whatever_the_umask(home: Home) -> None:
    before = os.umask(0)
    try:
        with open_ledger(home, create=True) as ledger, ledger.transaction():
            ledger.execute("insert into models (name) values ('m')")
            modes = {p.name: p.stat().st_mode & 0o777 for p in home.path.glob("batchrun.db*")}
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(("batchrun.db", "batchrun.db-wal", "batchrun.db-shm"), 0o600)


def test_statements_of_ours_that_are_wrong_stay_what_they_are(home: Home) -> None:
    """A unique index that objects is no fault of the disk."""
    with open_ledger(home, create=True) as ledger:
        with pytest.raises(sqlite3.IntegrityError), ledger.transaction():
            ledger.execute("insert into models (id, name) values (1, 'm'), (1, 'n')")
        assert ledger.value("select count(*) from models") == 0
