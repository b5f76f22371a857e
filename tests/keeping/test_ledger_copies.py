"""Before a migration the ledger is copied: whatever the migration does, what was there can be had back."""

import contextlib
import sqlite3
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from runnerkit import World, items

from batchrun.errors import LedgerError
from batchrun.ledger import connection, schema
from batchrun.ledger.connection import open_ledger

if TYPE_CHECKING:
    from sqlite_utils import Database
    from sqlite_utils.migrations import Migrations

ADD = "alter table jobs add column colour text"


def next_version(monkeypatch: pytest.MonkeyPatch, *statements: str) -> None:
    """batchrun as it will be one day: a second migration, of these statements."""
    first = schema.migrations

    def migrations() -> "Migrations":
        found = first()

        def m002_next(db: "Database") -> None:
            for statement in (*statements, "pragma user_version = 2"):
                db.execute(statement)

        found()(m002_next)
        return found

    monkeypatch.setattr(schema, "migrations", migrations)
    monkeypatch.setattr(connection, "SCHEMA_VERSION", 2)


def copied(path: Path) -> tuple[int, int]:
    """Schema and number of items of a copy."""
    with contextlib.closing(sqlite3.connect(path)) as copy:
        (version,) = copy.execute("pragma user_version").fetchone()
        (count,) = copy.execute("select count(*) from item_rows").fetchone()
    return version, count


@pytest.mark.fault(37)
def test_the_copy_is_whole_private_and_of_the_state_before(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.write(items(3))
    world.submit()
    with monkeypatch.context() as future:
        next_version(future, ADD, "delete from item_rows")
        open_ledger(world.home).close()
        copy = world.home.path / "batchrun-before-schema-2.db"
        assert copied(copy) == (1, 3)
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    copy.replace(world.home.database)  # as a user would, to go back


@pytest.mark.fault(37)
def test_a_migration_that_fails_leaves_the_old_ledger_and_its_copy(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.write(items(3))
    world.submit()
    with monkeypatch.context() as future:
        next_version(future, ADD, "delete from no_such_table")
        with pytest.raises(LedgerError, match="no such table"):
            open_ledger(world.home)
    assert copied(world.home.path / "batchrun-before-schema-2.db") == (1, 3)
    world.run()
    assert world.tally() == {"succeeded": 3}


def test_a_new_ledger_is_not_copied(world: World) -> None:
    world.write(items(1))
    world.submit()
    assert list(world.home.path.glob("batchrun-before-*")) == []
