"""Forgetting in files that no row describes: the spool of a lost ledger that was set aside, and downloads that could not be read."""

from pathlib import Path
from typing import Any

import pytest
from forgetkit import HERS, OTHERS, SHE, everywhere, forget
from keepkit import CANARY, dies
from runnerkit import World, items

from batchrun.ledger.connection import open_ledger
from batchrun.recovery.recovering import RecoverOptions


def lost(world: World, *lines: Any, job: str = "reviews", **settings: Any) -> Path:
    """A job that was answered, its ledger gone, and what the service has brought back; returns the spool that was set aside."""
    world.write(lines or (*OTHERS, HERS), job=job, output={"csv": True}, **settings)
    world.submit()
    world.run()
    return lose(world)


def lose(world: World) -> Path:
    open_ledger(world.home).close()
    world.home.database.unlink()
    world.api().recover(sorted(world.folder.glob("*.jsonl")), RecoverOptions())
    (folder,) = world.home.path.glob("spool-of-lost-ledger-*")
    return folder


def lines_of(folder: Path) -> int:
    """Lines of a set-aside spool in which something stands."""
    return sum(
        bool(line.strip())
        for path in folder.rglob("*.jsonl")
        for line in path.read_bytes().splitlines()
    )


def test_nothing_of_an_item_is_left_in_the_spool_of_a_lost_ledger(world: World) -> None:
    folder = lost(world)
    assert lines_of(folder) == 8 + 4, "requests, results and the fields of the table"
    found = forget(world, SHE)
    assert everywhere(world) == []
    assert lines_of(folder) == 6, "requests and results of the others are still there"
    assert str(folder) in found.left[-1]
    assert "Remove the folder" in found.left[-1]


def test_an_item_without_an_id_is_known_there_by_what_it_asks(world: World) -> None:
    folder = lost(world, {"text": CANARY}, {"text": "one"}, {"text": "two"})
    forget(world, "reviews.jsonl:2")
    assert everywhere(world) == []
    assert lines_of(folder) == 4


def test_a_number_that_another_item_had_in_the_lost_ledger_takes_none_of_its_lines(
    world: World,
) -> None:
    """Items are numbered anew by a recovery, in the order of the data as it is then."""
    world.write([{"text": "one"}, {"text": CANARY}])
    world.submit()
    world.run()
    world.write([{"text": CANARY}, {"text": "one"}])
    folder = lose(world)
    forget(world, "reviews.jsonl:2")
    assert everywhere(world) == []
    assert lines_of(folder) == 2


def test_a_whole_job_goes_and_takes_the_spool_with_it_where_nothing_else_is_in_it(
    world: World,
) -> None:
    folder = lost(world)
    found = forget(world)
    assert everywhere(world) == []
    assert not folder.exists()
    assert found.left == ()


def test_lines_of_other_jobs_stay_in_the_spool_of_a_lost_ledger(world: World) -> None:
    path = world.write([{"id": "o1", "text": "other"}], world.folder / "other.jsonl", job="other")
    world.submit(path)
    world.run()
    folder = lost(world)
    found = forget(world)
    assert everywhere(world) == []
    assert lines_of(folder) == 2
    assert str(folder) in found.left[-1]


def test_nothing_is_left_in_what_a_newer_ledger_left_beside_an_older_one(world: World) -> None:
    world.write([*OTHERS, HERS])
    world.submit(send=False)
    backup = world.folder / "backup.db"
    with world.ledger() as ledger:
        ledger.connection.execute("vacuum into ?", (str(backup),))
    world.run()
    for path in world.home.path.glob("batchrun.db*"):
        path.unlink()
    backup.rename(world.home.database)
    world.home.database.chmod(0o600)
    world.clock.advance(300)
    world.api().recover([world.job_file], RecoverOptions())
    (folder,) = world.home.path.glob("spool-of-lost-ledger-*")
    forget(world, SHE)
    assert everywhere(world) == []
    assert lines_of(folder) == 3


def test_what_sqlite_kept_beside_a_lost_ledger_goes_whole(world: World) -> None:
    """Rows of everybody, which nothing can read without the ledger."""
    world.write([*OTHERS, HERS])
    world.submit()
    world.run()
    log = world.home.database.with_name("batchrun.db-wal")
    held = CANARY.encode() * 9
    world.home.database.unlink()
    log.write_bytes(held)
    log.chmod(0o600)
    world.api().recover([world.job_file], RecoverOptions())
    assert any(path.endswith("batchrun.db-wal") for path in everywhere(world))
    forget(world, SHE)
    assert everywhere(world) == []


def test_a_line_there_that_names_nobody_may_be_theirs_and_goes(world: World) -> None:
    folder = lost(world)
    (result,) = folder.glob("results/*-output.jsonl")
    with result.open("ab") as file:
        file.write(f'{{"custom_id":"4-1-{CANARY}\n'.encode())
    forget(world, SHE)
    assert everywhere(world) == []


def test_killed_at_any_effect_it_is_finished_by_the_same_command(world: World) -> None:
    lost(world)
    kill = 1
    while dies(world, lambda: forget(world, SHE), kill):
        if SHE not in world.states():
            world.api().forget()
            break
        kill += 1
    forget(world, "i0")
    assert everywhere(world) == []
    assert kill > 3


@pytest.mark.parametrize("whole", [False, True], ids=["item", "job"])
def test_nothing_is_left_in_a_download_that_could_not_be_read(world: World, whole: bool) -> None:
    """The first download is kept beside the one that could be read."""
    left = [1]

    def content(_: str, sound: bytes) -> bytes:
        left[0] -= 1
        lines = sound.splitlines(keepends=True)
        return b"".join([b"<html>\n", b"<body>\n", *lines]) if left[0] >= 0 else sound

    world.wire.content = content
    world.write([*items(3), HERS])
    world.submit()
    world.run()
    suspect = world.home.suspect_file(1, 0)
    assert CANARY in suspect.read_text()
    forget(world, *(() if whole else (SHE,)))
    assert everywhere(world) == []
    assert suspect.exists() is not whole
