"""The ledger's migrations: its tables and views (`tables/`) are made by the first.

A migration runs with its record in one transaction, after a copy of the database through SQLite's backup API.
"""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sqlite_utils import Database
    from sqlite_utils.migrations import Migrations

SCHEMA_VERSION: Final = 1  # PRAGMA user_version: the number of migrations below


def migrations() -> "Migrations":
    """The set, in order; sqlite-utils and the SQL are imported here only, since reading commands never migrate."""
    from sqlite_utils.migrations import Migrations

    from batchrun.ledger.tables.asked import ASKED
    from batchrun.ledger.tables.beside import BESIDE
    from batchrun.ledger.tables.equals import EQUALS
    from batchrun.ledger.tables.money import MONEY
    from batchrun.ledger.tables.sent import SENT
    from batchrun.ledger.tables.views import VIEWS

    migration = Migrations("batchrun")

    def m001_initial(db: "Database") -> None:
        for script in (ASKED, SENT, BESIDE, EQUALS, MONEY, VIEWS):
            for statement in _statements(script):
                db.execute(statement)
        db.execute("pragma user_version = 1")

    migration()(m001_initial)
    return migration


def _statements(script: str) -> list[str]:
    # executescript() would commit the open transaction; no statement of ours has a semicolon inside.
    lines = (line.split("--")[0].rstrip() for line in script.splitlines())
    return [s.strip() for s in "\n".join(lines).split(";") if s.strip()]
