"""Somebody else may write where batchrun writes: what they plant there is replaced, refused or left alone, and never followed."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from runnerkit import World, items

from batchrun.errors import LedgerError

SECRET = b"a file of somebody else"
FILES: dict[str, Any] = {"output": {"files": "{{ id }}.md", "csv": True}}


def link(path: Path, victim: Path) -> None:
    path.symlink_to(victim)


def second_name(path: Path, victim: Path) -> None:
    path.hardlink_to(victim)


def fifo(path: Path, victim: Path) -> None:
    os.mkfifo(path)


def dangling(path: Path, victim: Path) -> None:
    path.symlink_to(victim.with_name("made by batchrun"))


PLANTS = [link, second_name, fifo, dangling]
Plant = Callable[[Path, Path], None]


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "victim"
    path.write_bytes(SECRET)
    return path


def ran(world: World) -> None:
    world.write(items(2), **FILES)
    world.submit()
    world.run()


def in_time(do: Callable[[], object]) -> None:
    """`do`, in a thread: what waits for the other end of a FIFO would wait for ever."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            do()
        except BaseException as exc:  # noqa: BLE001 - raised again in the test
            failed.append(exc)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive(), "it waits for a FIFO"
    if failed:
        raise failed[0]


@pytest.mark.parametrize("plant", PLANTS)
@pytest.mark.parametrize(
    "name",
    ["results.jsonl", "failures.jsonl", "results.csv", "report.md", "manifest.json", "files.jsonl", "files/i0.md"],
)  # fmt: skip
@pytest.mark.fault(52)
def test_what_stands_where_an_output_goes_is_replaced(
    world: World, victim: Path, plant: Plant, name: str
) -> None:
    path = world.home.outputs / "reviews" / name
    path.parent.mkdir(parents=True)
    plant(path, victim)
    in_time(lambda: ran(world))
    assert world.tally() == {"succeeded": 2}
    assert path.is_file()
    assert not path.is_symlink()
    assert path.stat().st_nlink == 1
    assert victim.read_bytes() == SECRET
    assert not victim.with_name("made by batchrun").exists()


@pytest.mark.parametrize("plant", PLANTS)
@pytest.mark.parametrize("name", ["spool/requests/1.jsonl", "spool/fields/1.jsonl"])
@pytest.mark.fault(52)
def test_what_stands_where_a_request_goes_is_replaced_before_anything_is_sent(
    world: World, victim: Path, plant: Plant, name: str
) -> None:
    world.write([])
    world.submit(send=False)  # refused, since it has no items; the home is there now
    before = {path.name for path in world.home.requests.iterdir()}
    path = world.home.path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    plant(path, victim)
    in_time(lambda: ran(world))
    assert world.tally() == {"succeeded": 2}
    assert victim.read_bytes() == SECRET
    assert before == set()
    assert not victim.with_name("made by batchrun").exists()
    assert not [p for p in world.home.path.rglob("*") if p.is_symlink() or p.is_fifo()]


@pytest.mark.parametrize("plant", [link, dangling])
@pytest.mark.fault(52)
def test_what_stands_where_a_result_goes_is_replaced(
    world: World, victim: Path, plant: Plant
) -> None:
    """A link to what is no result; whoever can plant more than that in a private home is its owner."""
    world.write(items(2), **FILES)
    world.submit()
    (batch,) = world.batches()
    plant(world.home.result_file(batch["id"], 0), victim)
    in_time(world.run)
    assert world.tally() == {"succeeded": 2}
    assert victim.read_bytes() == SECRET
    assert not world.home.result_file(batch["id"], 0).is_symlink()


@pytest.mark.parametrize("plant", [link, fifo, dangling])
@pytest.mark.fault(34, 52)
def test_a_ledger_is_never_begun_through_a_planted_name(
    world: World, victim: Path, plant: Plant
) -> None:
    world.home.path.mkdir(mode=0o700)
    plant(world.home.database, victim)
    world.write(items(1))
    with pytest.raises((LedgerError, OSError)):
        in_time(world.submit)
    assert victim.read_bytes() == SECRET
    assert not victim.with_name("made by batchrun").exists()
    assert world.remotes() == []
    world.home.database.unlink()


@pytest.mark.parametrize("plant", [link, dangling])
@pytest.mark.parametrize("name", ["lock", "schema.lock"])
@pytest.mark.fault(52)
def test_a_planted_lock_costs_nobody_his_file(
    world: World, victim: Path, name: str, plant: Plant
) -> None:
    world.home.path.mkdir(mode=0o700)
    plant(world.home.path / name, victim)
    world.write(items(1))
    try:
        in_time(world.submit)
    except (LedgerError, OSError):
        assert world.remotes() == []
        (world.home.path / name).unlink()
    assert victim.read_bytes() == SECRET
