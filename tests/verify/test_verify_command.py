"""`batchrun verify`: what it prints, its document, its exit code, and that it changes nothing."""

import json
import os
from pathlib import Path

import pytest
from runnerkit import World

from batchrun.cli.main import run
from batchrun.ledger.lock import pass_lock
from batchrun.verifying.verify import INVARIANTS


def test_a_home_in_order_ends_with_0(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", "--home", str(world.home.path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:-1] == [f"ok      {invariant.name}" for invariant in INVARIANTS]
    assert lines[-1].endswith(f"17 items, 5 batches; {len(INVARIANTS)} invariants hold")


def test_a_broken_one_is_told_with_what_to_do_and_ends_with_7(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(91, 98):
        (world.home.requests / f"{number}.jsonl").touch(mode=0o600)
    assert run(["verify", "--quick", "--home", str(world.home.path)]) == 7
    out = capsys.readouterr().out
    assert "BROKEN  no-strays: The spool holds only files" in out
    assert "91.jsonl: nothing names this file" in out
    assert "… and 2 more" in out
    assert "What to do: Where a backup of the ledger was put back" in out
    assert "Else nothing needs them: look at them, and remove them." in out
    assert "1 broken (quick form)" in out
    assert "pointers-hit" not in out


def test_the_document_has_the_same(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    path = world.home.requests / "99.jsonl"
    path.touch(mode=0o600)
    assert run(["verify", "--json", "--home", str(world.home.path)]) == 7
    found = json.loads(capsys.readouterr().out)
    assert (found["home"], found["holds"], found["quick"]) == (str(world.home.path), False, False)
    assert (found["items"], found["batches"], found["leftovers"]) == (17, 5, [])
    (broken,) = [entry for entry in found["invariants"] if not entry["holds"]]
    assert (broken["name"], broken["count"]) == ("no-strays", 1)
    assert broken["findings"] == [f"{path}: nothing names this file"]
    assert set(broken) == {"name", "rule", "holds", "count", "findings", "fix"}


def test_what_a_dead_process_left_is_a_note(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    (world.home.results / ".9-output.jsonl.0123.part").touch(mode=0o600)
    assert run(["verify", "--quick", "--home", str(world.home.path)]) == 0
    assert "note    left by a process that was ended" in capsys.readouterr().out


def test_it_writes_nothing(world: World) -> None:
    def contents() -> dict[Path, bytes]:
        files = [
            Path(folder) / name for folder, _, names in os.walk(world.folder) for name in names
        ]
        return {
            path: path.read_bytes()
            for path in files
            if not path.name.endswith(("-shm", "-wal")) and path.name != "lock"
        }

    before = contents()
    assert run(["verify", "--home", str(world.home.path)]) == 0
    assert contents() == before


@pytest.mark.fault(40)
def test_it_waits_for_the_lock_since_nothing_may_move_meanwhile(world: World) -> None:
    with pass_lock(world.home, wait_s=0):
        assert run(["verify", "--lock-wait", "0", "--home", str(world.home.path)]) == 75


@pytest.mark.fault(34)
def test_a_ledger_that_is_no_database_ends_with_7(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.home.database.write_bytes(b"x" * 8192)
    assert run(["verify", "--home", str(world.home.path)]) == 7
    assert "restore a backup" in capsys.readouterr().err


@pytest.mark.fault(34)
def test_a_damaged_page_is_told_and_the_rest_is_still_checked(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    with world.ledger() as ledger:
        ledger.connection.execute("pragma wal_checkpoint(truncate)")
        page = ledger.value("select rootpage from sqlite_schema where name = 'history'")
        size = ledger.value("pragma page_size")
    with world.home.database.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * 100)
    assert run(["verify", "--home", str(world.home.path)]) == 7
    out = capsys.readouterr().out
    assert "BROKEN  database-sound" in out
    assert "could not be checked to its end" in out
    assert "ok      private" in out
