"""A backup of the ledger beside the outputs and the spool of a later time: verify does not advise to do away with what is newer."""

import shutil
from pathlib import Path

import pytest
from runnerkit import World, items

from batchrun.recovery.recovering import RecoverOptions
from batchrun.verifying.verify import Verification, verify


@pytest.fixture
def older(world: World, tmp_path: Path) -> World:
    """Every job was finished when the backup was made; then one item more was asked, and answered."""
    for name in ("flying", "later", "again"):
        world.api().cancel(name)
    world.run()
    world.embedded.close()
    backup = tmp_path / "backup.db"
    with world.ledger() as ledger:
        ledger.connection.execute("vacuum into ?", (str(backup),))
    world.write([*items(5), {"id": "newer", "text": "newer"}], output={"csv": True})
    world.submit()
    world.run()
    for path in world.home.path.glob("batchrun.db*"):
        path.unlink()
    shutil.move(backup, world.home.database)
    world.home.database.chmod(0o600)
    return world


def verified(world: World) -> Verification:
    with world.ledger() as ledger:
        return verify(ledger)


@pytest.mark.fault(34)
def test_it_names_the_older_ledger_first_and_what_overwrites_afterwards(older: World) -> None:
    fixes = {outcome.name: outcome.fix for outcome in verified(older).broken}
    assert set(fixes) == {"outputs-rewrite-alike", "no-strays"}
    for fix in fixes.values():
        assert fix.startswith("Where a backup of the ledger was put back")
        assert fix.index("`batchrun recover`") < fix.index("Else")


@pytest.mark.fault(34)
def test_what_it_advises_brings_the_newer_answers_back(older: World) -> None:
    older.clock.advance(300)
    older.api().recover(sorted(older.folder.glob("*.jsonl")), RecoverOptions())
    older.run()
    assert "newer" in older.answers()
    assert [outcome.name for outcome in verified(older).broken] == []
