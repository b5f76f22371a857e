"""Before the first create of a pass the service is looked at: an older ledger, in whatever way it came back, buys nothing again."""

import shutil
import sqlite3
from dataclasses import replace

import pytest
from runnerkit import DAY_S, OPENAI, NewWorld, World, items

from batchrun.backends.base import BatchPage, RemoteBatch
from batchrun.errors import LedgerError, Refused, Transient
from batchrun.ledger.home import Home
from batchrun.testing_backend import Fault


def back_up(world: World) -> bytes:
    """The ledger as it stands, in one file."""
    with sqlite3.connect(world.home.database) as connection:
        connection.execute("pragma wal_checkpoint(truncate)")
    connection.close()
    return world.home.database.read_bytes()


def restore(world: World, backup: bytes) -> None:
    """Put an older ledger into the same folder, as a careless person does; nothing in the home can tell."""
    for suffix in ("-wal", "-shm"):
        world.home.database.with_name(f"batchrun.db{suffix}").unlink(missing_ok=True)
    world.home.database.write_bytes(backup)


def queued(world: World, count: int = 3) -> bytes:
    """Items queued and not sent, a backup of that, then sent; returns the backup."""
    world.write(items(count))
    world.submit(send=False)
    backup = back_up(world)
    world.run_until(lambda: bool(world.batches()) and world.batches()[0]["name"] == "created")
    return backup


def test_an_older_ledger_put_back_in_place_sends_nothing_again(world: World) -> None:
    backup = queued(world)
    newest = back_up(world)
    restore(world, backup)
    world.clock.advance(300)
    (problem,) = world.tick().problems
    assert "batchrun recover" in str(problem)
    assert len(world.remotes()) == 1
    world.clock.advance(DAY_S)
    world.tick()
    assert len(world.remotes()) == 1
    (job,) = world.api().status()
    assert any("older than the service" in reason for reason in job.waiting)
    restore(world, newest)
    world.run()
    assert world.tally() == {"succeeded": 3}
    assert set(world.executions().values()) == {1}


def test_a_taken_over_backup_sends_nothing_that_was_sent_after_it_was_made(world: World) -> None:
    world.write(items(3))
    world.submit(send=False)
    (world.folder / "backup").mkdir()
    shutil.copytree(world.home.path, world.folder / "backup" / ".batchrun")
    world.run_until(lambda: bool(world.batches()) and world.batches()[0]["name"] == "created")
    shutil.rmtree(world.home.path)
    world.home = Home(world.folder / "backup" / ".batchrun")
    with pytest.raises(LedgerError, match="--take-over"):
        world.tick()
    world.api().take_over()
    for _ in range(50):
        world.clock.advance(600)
        world.tick()
        world.serve()
    assert len(world.remotes()) == 1
    assert set(world.executions().values()) == {1}
    assert "older_ledger" in world.incidents()


def moved(world: World) -> World:
    """A home with three queued items, copied and taken over; the original sent nothing."""
    world.write(items(3))
    world.submit(send=False)
    (world.folder / "copy").mkdir()
    shutil.copytree(world.home.path, world.folder / "copy" / ".batchrun")
    world.home = Home(world.folder / "copy" / ".batchrun")
    world.api().take_over()
    return world


def test_after_a_take_over_nothing_is_created_before_a_clean_listing_after_settle(
    world: World,
) -> None:
    moved(world)
    began = world.clock.now()
    world.run()
    assert world.tally() == {"succeeded": 3}
    assert world.batches()[0]["intent_at"] - began >= OPENAI.settle_s


@pytest.mark.parametrize("is_broken", [True, False])
def test_after_a_take_over_a_listing_that_cannot_be_had_whole_keeps_everything_waiting(
    new_world: NewWorld, is_broken: bool
) -> None:
    world = moved(new_world())
    if is_broken:
        world.backend.add(Fault(call="list_batches", error=Transient("502"), number=None))
    else:
        world.wire.page = lambda page: BatchPage(batches=(), has_more=True)
    for _ in range(20):
        world.clock.advance(1_000)
        world.tick()
    assert world.remotes() == []
    world.backend._script.clear()
    world.wire.page = lambda page: page
    world.run()
    assert world.tally() == {"succeeded": 3}


def test_what_was_created_just_before_the_take_over_and_is_listed_late_stops_it_too(
    world: World,
) -> None:
    world.wire.lag_s = 600
    world.write(items(3))
    world.submit(send=False)
    (world.folder / "backup").mkdir()
    shutil.copytree(world.home.path, world.folder / "backup" / ".batchrun")
    world.run_until(lambda: bool(world.batches()) and world.batches()[0]["name"] == "created")
    world.home = Home(world.folder / "backup" / ".batchrun")
    world.api().take_over()
    for _ in range(50):
        world.clock.advance(100)
        world.tick()
    assert len(world.remotes()) == 1


@pytest.mark.parametrize(
    "error", [Refused("not here", status=400), Transient("no such route", status=405)]
)
def test_a_service_without_a_listing_is_sent_to_all_the_same(
    new_world: NewWorld, error: Exception
) -> None:
    world = new_world(faults=[Fault(call="list_batches", error=error, number=None)])
    world.write(items(3))
    world.submit()
    world.run()
    assert world.tally() == {"succeeded": 3}


def test_a_pass_looks_once_however_many_batches_it_creates(world: World) -> None:
    rows = items(6)
    for n, row in enumerate(rows):
        row["model"] = f"gpt-4.1-{n}"
    world.write(rows)
    world.submit()
    assert world.backend.calls.count("create") == 6
    assert world.backend.calls.count("list_batches") == 1


# -- twins ------------------------------------------------------------------------------------------------------------------------


def other_home(world: World) -> World:
    """The same job file in another home, at the same service."""
    other = World(world.folder)
    other.home = Home(world.folder / "elsewhere" / ".batchrun")
    other.home.path.parent.mkdir()
    other.embedded.close()
    other.embedded, other.wire, other.backend = world.embedded, world.wire, world.backend
    other.clock = world.clock
    return other


def test_the_same_requests_in_another_home_are_not_sent_while_they_run(world: World) -> None:
    world.write(items(3))
    world.submit()
    other = other_home(world)
    other.submit()
    assert len(world.remotes()) == 1
    (job,) = other.api().status()
    assert job.paused is not None
    assert "Work in one home" in job.paused
    assert other.incidents() == ["twin"]
    world.run()
    other.clock.advance(60)
    other.submit()
    other.run()
    assert other.tally() == {"succeeded": 3}, "the first has ended: whoever submits again means it"


def test_another_question_in_another_home_is_no_twin(world: World) -> None:
    world.write(items(3))
    world.submit()
    other = other_home(world)
    other.write(items(4))
    other.submit()
    assert len(world.remotes()) == 2


def unlisted(world: World) -> None:
    """Nothing is listed yet: two homes that send at the same moment do not see each other."""
    world.wire.page = lambda page: replace(page, batches=(), has_more=False)


def listed(world: World) -> None:
    world.wire.page = lambda page: page


def test_of_two_homes_that_sent_at_the_same_time_the_later_one_cancels_itself(
    world: World,
) -> None:
    unlisted(world)
    world.write(items(3))
    world.submit()
    world.clock.advance(5)
    other = other_home(world)
    other.submit()
    assert len(world.remotes()) == 2
    listed(world)
    world.clock.advance(60)
    other.tick()
    world.tick()
    assert [remote["status"] for remote in world.remotes()] == ["validating", "cancelling"]
    assert other.incidents() == ["twin"]
    assert world.incidents() == []
    world.run()
    assert world.tally() == {"succeeded": 3}
    for _ in range(5):
        other.tick()
        other.clock.advance(100)
    assert other.tally() == {"pending": 3}, "kept, and paused"


def test_a_twin_that_ended_is_none(world: World) -> None:
    world.write(items(3))
    world.submit()
    world.run()
    other = other_home(world)
    other.submit()
    other.run()
    assert other.tally() == {"succeeded": 3}


def test_the_first_poll_of_a_batch_is_the_listing_and_no_call_more(world: World) -> None:
    world.write(items(3))
    world.submit()
    before = list(world.backend.calls)
    world.clock.advance(60)
    world.tick()
    assert world.backend.calls[len(before) :] == ["account", "list_batches"]
    world.clock.advance(120)
    world.tick()
    assert world.backend.calls[len(before) + 2 :] == ["account", "retrieve"]


def test_metadata_leave_room_for_ten_pairs_of_the_user(world: World) -> None:
    world.write(items(1), metadata={f"k{n}": "v" for n in range(10)})
    world.submit()
    (remote,) = world.remotes()
    ours = {key for key in remote["metadata"] if key.startswith("batchrun")}
    assert ours == {"batchrun", "batchrun_ledger", "batchrun_job", "batchrun_requests"}
    assert len(remote["metadata"]) == 14


def shown(batch: RemoteBatch) -> RemoteBatch:
    return replace(batch, metadata={})


def test_a_service_that_shows_no_metadata_has_no_twins(world: World) -> None:
    world.wire.edit = shown
    world.write(items(3))
    world.submit()
    world.run()
    assert world.tally() == {"succeeded": 3}
