"""Homes: one process at a time, one place, one account; nothing is sent where any of it is in doubt."""

import shutil
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from processkit import source
from runnerkit import NewWorld, World, items

from batchrun.errors import (
    Ambiguous,
    AuthError,
    HomeLocked,
    LedgerError,
    NotFound,
    Transient,
    WrongAccount,
)
from batchrun.ledger.connection import open_for_reading, open_ledger
from batchrun.ledger.home import Home
from batchrun.ledger.lock import pass_lock
from batchrun.testing_backend import Fault


@pytest.mark.fault(40)
def test_a_pass_that_meets_another_one_gives_way(world: World) -> None:
    world.write(items(3))
    world.submit(send=False)
    with pass_lock(world.home, wait_s=0):
        assert world.api().tick() is None
        with pytest.raises(HomeLocked, match="another batchrun is at work"):
            world.tick()
        with pytest.raises(HomeLocked):
            world.api(lock_wait_s=0.0).submit([world.job_file])
    assert world.remotes() == []
    world.run()
    assert world.tally() == {"succeeded": 3}


def test_a_tick_with_nothing_to_do_needs_neither_lock_nor_backend(world: World) -> None:
    world.write(items(3))
    world.submit()
    calls = list(world.backend.calls)
    with pass_lock(world.home, wait_s=0):
        result = world.api().tick()
    assert result is not None
    assert result.next_at is not None
    assert world.backend.calls == calls


def test_the_lock_of_a_dead_process_is_free(world: World) -> None:
    world.write(items(1))
    world.submit(send=False)
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom batchrun.ledger.home import Home\n"
        "from batchrun.ledger.lock import pass_lock\n"
        "with pass_lock(Home(Path(sys.argv[1])), wait_s=0):\n"
        "    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(world.home.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    assert holder.stdin is not None
    assert holder.stdout.readline() == b"held\n"
    assert world.api().tick() is None
    holder.kill()
    holder.wait()
    holder.stdout.close()
    holder.stdin.close()
    world.run()
    assert world.tally() == {"succeeded": 1}


def test_two_submits_at_once_wait_for_each_other(world: World) -> None:
    for name in ("one", "two"):
        world.write(items(50), world.folder / f"{name}.jsonl", job=name)
    running = [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                source(world, f"world.submit(world.folder / '{name}.jsonl', send=False)"),
            ]
        )
        for name in ("one", "two")
    ]
    assert [process.wait(60) for process in running] == [0, 0]
    world.run()
    assert set(world.executions().values()) == {1}
    assert len(world.executions()) == 100


@pytest.mark.fault(40)
def test_a_copied_home_sends_nothing(world: World) -> None:
    world.write(items(3))
    world.submit(send=False)
    (world.folder / "copy").mkdir()
    shutil.copytree(world.home.path, world.folder / "copy" / ".batchrun")
    original, world.home = world.home, Home(world.folder / "copy" / ".batchrun")
    with pytest.raises(LedgerError, match="a copy of another one"):
        world.tick()
    assert world.remotes() == []
    world.home = original
    world.run()
    assert world.tally() == {"succeeded": 3}


def test_a_home_whose_folder_was_renamed_goes_on(world: World) -> None:
    world.write(items(3))
    world.submit()
    (world.folder / "elsewhere").mkdir()
    world.home.path.rename(world.folder / "elsewhere" / ".batchrun")
    world.home = Home(world.folder / "elsewhere" / ".batchrun")
    world.run()
    assert world.tally() == {"succeeded": 3}


def test_a_folder_that_was_moved_with_all_that_is_in_it_goes_on_there(tmp_path: Path) -> None:
    world = World(tmp_path / "old")
    world.folder.mkdir()
    world.write(items(3))
    world.submit()
    world.run()
    world.close()
    world.folder.rename(tmp_path / "new")
    moved = World(tmp_path / "new")
    moved.write(items(4))
    prepared = moved.submit()
    assert prepared.error is None
    assert prepared.tally is not None
    assert (prepared.tally.new, prepared.tally.unchanged) == (1, 3)
    moved.run()
    assert len(moved.output("results.jsonl").splitlines()) == 4
    assert not (tmp_path / "old").exists()
    moved.close()


def test_what_stayed_behind_a_moved_home_is_found_where_it_is(world: World) -> None:
    world.write(items(3))
    world.submit()
    world.run()
    (world.folder / "elsewhere").mkdir()
    world.home.path.rename(world.folder / "elsewhere" / ".batchrun")
    world.home = Home(world.folder / "elsewhere" / ".batchrun")
    assert world.submit().error is None
    (job,) = world.rows("select source, outputs from jobs")
    assert job["source"] == str(world.job_file)
    world.run()


def test_a_copy_writes_and_removes_its_own_outputs_and_never_the_originals(tmp_path: Path) -> None:
    world = World(tmp_path / "original")
    world.folder.mkdir()
    world.write(items(3))
    world.submit()
    world.run()
    shutil.copytree(world.folder, tmp_path / "copy")
    mine = world.output("results.jsonl")
    copied = World(tmp_path / "copy")
    copied.api().forget("reviews")
    assert not (copied.home.outputs / "reviews").exists()
    assert world.output("results.jsonl") == mine
    copied.close()
    world.close()


@pytest.mark.parametrize(
    "change",
    [
        {"base_url": "https://other.example/v1"},
        {"organization": "org-2"},
        {"project": "proj-2"},
    ],
)
@pytest.mark.parametrize("is_in_doubt", [True, False])
def test_another_account_touches_nothing(
    new_world: NewWorld, change: dict[str, str], is_in_doubt: bool
) -> None:
    faults = [Fault(call="create", error=Ambiguous("?"), when="after")] if is_in_doubt else []
    world = new_world(faults=faults)
    world.write(items(3))
    world.submit()
    ours = world.wire.identity
    world.wire.identity = replace(ours, **change)
    before = world.batches()
    calls = len(world.backend.calls)
    for _ in range(5):
        world.clock.advance(5_000)
        result = world.tick()
        (problem,) = result.problems
        assert isinstance(problem, WrongAccount)
        assert problem.exit_code == 6
        assert "profile 'openai' has open batches on https://far.example/v1" in str(problem)
    assert world.batches() == before
    assert set(world.backend.calls[calls:]) == {"account"}
    world.wire.identity = ours
    world.run()
    assert world.tally() == {"succeeded": 3}


def test_a_rotated_key_is_accepted_once_it_has_seen_something_of_ours(world: World) -> None:
    world.write(items(3))
    world.submit()
    world.wire.identity = replace(world.wire.identity, fingerprint="f2")
    world.run()
    assert world.tally() == {"succeeded": 3}
    assert world.rows("select fingerprint from accounts") == [{"fingerprint": "f2"}]


@pytest.mark.parametrize(
    "error", [NotFound("no such batch", status=404), AuthError("no", status=401)]
)
def test_a_key_that_sees_nothing_of_ours_touches_nothing(
    new_world: NewWorld, error: Exception
) -> None:
    blind = Fault(call="retrieve", error=error, number=None)
    world = new_world(faults=[blind])
    world.write(items(3))
    world.submit()
    world.wire.identity = replace(world.wire.identity, fingerprint="f2")
    before = world.batches()
    for _ in range(8):
        world.clock.advance(5_000)
        (problem,) = world.tick().problems
        assert isinstance(problem, WrongAccount)
    assert world.batches() == before


def test_a_key_rotated_while_nothing_of_ours_is_on_the_service_needs_no_proof(
    new_world: NewWorld,
) -> None:
    """The create was proven absent, its file is deleted, and the next upload failed: there is nothing that could be seen."""
    down = [Fault(call="upload", error=Transient("down"), number=n) for n in range(2, 40)]
    world = new_world(faults=[Fault(call="create", error=Ambiguous("?")), *down])
    world.write(items(3))
    world.submit()
    world.run_until(lambda: world.batches()[0]["name"] == "planned")
    world.wire.identity = replace(world.wire.identity, fingerprint="f2")
    world.run()
    assert world.tally() == {"succeeded": 3}


def test_without_a_key_a_job_is_not_even_read(new_world: NewWorld) -> None:
    world = new_world(faults=[Fault(call="account", error=AuthError("no key"), number=None)])
    world.write(items(3))
    assert isinstance(world.submit().error, AuthError)
    assert world.rows("select * from jobs") == []


@pytest.mark.fault(35)
def test_a_newer_schema_is_left_alone(world: World) -> None:
    world.write(items(1))
    world.submit(send=False)
    with sqlite3.connect(world.home.database) as connection:
        connection.execute("pragma user_version = 99")
    connection.close()
    for opening in (open_ledger, open_for_reading):
        with pytest.raises(LedgerError, match=r"newer batchrun \(schema 99"):
            opening(world.home)
    with sqlite3.connect(world.home.database) as connection:
        connection.execute("pragma user_version = 1")
    connection.close()


@pytest.mark.parametrize("content", [b"not a database, though long enough to be one" * 100, b"x"])
@pytest.mark.fault(34)
def test_what_is_no_database_is_never_replaced(tmp_path: Path, content: bytes) -> None:
    home = Home(tmp_path / ".batchrun")
    home.create()
    home.database.write_bytes(content)
    for opening in (open_ledger, open_for_reading):
        with pytest.raises(LedgerError, match="damaged"):
            opening(home)
    assert home.database.read_bytes() == content


@pytest.mark.parametrize("is_empty", [True, False])
@pytest.mark.fault(34)
def test_a_ledger_that_is_gone_is_not_begun_anew_beside_what_it_sent(
    world: World, is_empty: bool
) -> None:
    world.write(items(2))
    world.submit()
    kept = world.home.database.read_bytes()
    world.home.database.unlink()
    if is_empty:
        world.home.database.touch()
    with pytest.raises(LedgerError, match="spool/ holds what it sent"):
        world.submit()
    world.home.database.write_bytes(kept)
    world.home.database.chmod(0o600)
    world.run()
    assert set(world.executions().values()) == {1}


def test_there_is_no_ledger_where_nobody_submitted(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="no such ledger"):
        open_ledger(Home(tmp_path / ".batchrun"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fault(56)
def test_everything_in_the_home_is_private(world: World) -> None:
    world.write(items(1))
    world.submit()
    world.run()
    for path in world.home.path.rglob("*"):
        allowed = 0o700 if path.is_dir() else 0o600
        assert path.stat().st_mode & 0o777 & ~allowed == 0, path
