"""A backup was put back: the service knows more than the ledger, and what the ledger knows stays as it is."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from crashkit import outcome
from recoverykit import (
    back_up,
    became,
    custom_ids_once,
    finish,
    recover,
    restore,
    restore_database,
)
from runnerkit import NewWorld, World, items

from batchrun.errors import Ambiguous, Refused
from batchrun.ledger.home import Home
from batchrun.model import Limits
from batchrun.service.responders.script import Rule
from batchrun.testing_backend import Fault

SMALL = Limits(request_count=2)
RESTORES = (restore, restore_database)
Restore = Callable[[World, Path], None]


@pytest.mark.parametrize("put_back", RESTORES)
def test_batches_that_were_only_planned_are_found_created(
    new_world: NewWorld, put_back: Restore
) -> None:
    world = new_world(limits=SMALL)
    world.write(items(5))
    world.submit(send=False)
    backup = back_up(world)
    world.run()
    expected = outcome(world)
    put_back(world, backup)
    assert became(recover(world)) == ["collected"] * 3
    assert world.tally() == {"succeeded": 5}
    finish(world)
    assert outcome(world) == expected
    assert sum(world.charges().values()) == 5


@pytest.mark.parametrize("put_back", RESTORES)
@pytest.mark.parametrize("passes", [1, 2, 3, 4])
def test_a_backup_of_any_moment_comes_to_the_same_end(
    new_world: NewWorld, put_back: Restore, passes: int
) -> None:
    world = new_world(
        limits=SMALL,
        script=[Rule(prompt="text 1", times=2, status=500), Rule(prompt="text 3", status=400)],
    )
    world.write(items(5))
    world.submit()
    for _ in range(passes):
        at = world.tick().next_at
        assert at is not None
        world.serve()
        world.clock.sleep_until(at)
    backup = back_up(world)
    world.run()
    expected, executions = outcome(world), world.executions()
    put_back(world, backup)
    recover(world)
    finish(world)
    assert outcome(world) == expected
    assert world.executions() == executions


def test_what_runs_when_the_backup_is_put_back_is_collected(world: World) -> None:
    world.write(items(3))
    world.submit(send=False)
    backup = back_up(world)
    world.tick()
    restore(world, backup)
    assert became(recover(world)) == ["in_flight"]
    finish(world)
    assert sum(world.charges().values()) == 3


def test_jobs_that_the_ledger_knows_need_no_job_file(new_world: NewWorld) -> None:
    world = new_world(limits=SMALL)
    world.write(items(4))
    world.submit()
    backup = back_up(world)
    world.run()
    expected = outcome(world)
    restore(world, backup)
    world.job_file.unlink()
    assert became(world.api().recover()) == ["collected"] * 2
    world.run()
    assert outcome(world) == expected
    assert sum(world.charges().values()) == 4


def test_items_that_came_after_the_backup_come_from_the_job_file(world: World) -> None:
    world.write(items(2))
    world.submit()
    world.run()
    backup = back_up(world)
    world.write(items(6))
    world.submit()
    world.run()
    expected = outcome(world)
    restore(world, backup)
    assert became(recover(world)) == ["known", "collected"]
    finish(world)
    assert outcome(world) == expected
    assert sum(world.charges().values()) == 6


def test_a_job_that_shrank_after_the_backup_is_recovered_where_that_is_meant(world: World) -> None:
    rows = items(5)
    world.write(rows)
    world.submit()
    backup = back_up(world)
    world.run()
    rows[0]["text"] = "another"
    world.write(rows[:1])
    world.submit(allow_missing=True)
    world.run()
    expected = outcome(world)
    restore(world, backup)
    (prepared,) = recover(world).prepared
    assert "4 of 5 items" in str(prepared.error)
    assert "--allow-missing" in str(prepared.error)
    assert became(recover(world, allow_missing=True)) == ["collected"] * 2
    finish(world)
    assert outcome(world) == expected
    assert sum(world.charges().values()) == 6


def test_a_prompt_that_changed_after_the_backup_is_recovered_where_that_is_meant(
    world: World,
) -> None:
    world.write(items(101))
    world.submit()
    world.run()
    backup = back_up(world)
    world.write(items(101), prompt="Sum up: {{ text }}")
    world.submit(reask=True)
    world.run()
    expected = outcome(world)
    restore(world, backup)
    (prepared,) = recover(world).prepared
    assert "--reask" in str(prepared.error)
    assert became(recover(world, reask=True)) == ["known", "collected"]
    finish(world)
    assert outcome(world) == expected
    assert sum(world.charges().values()) == 202


def test_an_item_that_changed_after_the_backup_keeps_its_newer_answer(world: World) -> None:
    rows = items(3)
    world.write(rows)
    world.submit()
    backup = back_up(world)
    world.run()
    rows[1]["text"] = "another"
    world.write(rows)
    world.submit()
    world.run()
    expected = outcome(world)
    restore(world, backup)
    recover(world)
    finish(world)
    assert outcome(world) == expected
    assert world.answers()["i1"] == "Review: another"
    assert sum(world.charges().values()) == 4


def test_a_batch_that_was_cut_after_the_backup_gives_its_items_to_the_smaller_ones(
    new_world: NewWorld,
) -> None:
    refusal = Fault(call="create", error=Refused("too large", status=413), number=1)
    world = new_world(faults=[refusal])
    world.write(items(4))
    world.api().submit([world.job_file], send=False)
    with world.ledger() as ledger:
        from batchrun.running.form import form_from_file

        assert form_from_file(ledger, 1, world.clock.now()) is not None
    backup = back_up(world)
    world.run()
    expected = outcome(world)
    assert len(world.remotes()) == 2
    restore(world, backup)
    assert became(recover(world)) == ["collected"] * 2
    assert world.batches()[0]["name"] == "rejected"
    finish(world)
    assert outcome(world) == expected
    assert sum(world.charges().values()) == 4


def test_the_refusal_of_an_older_ledger_ends_with_the_recovery(new_world: NewWorld) -> None:
    world = new_world(limits=SMALL)
    world.write(items(2))
    world.submit()
    world.run()
    backup = back_up(world)
    world.write(items(4))
    world.submit()
    world.run()
    restore(world, backup)
    world.write(items(6))
    world.submit(send=False)
    with world.ledger() as ledger, ledger.transaction():
        # A sweep, for whatever reason, finds out.
        ledger.execute("update batch_rows set audit_until = ?", (world.clock.now() + 9_999,))
    world.tick()
    (hold,) = world.rows("select * from holds")
    assert "batchrun recover" in hold["reason"]
    recover(world)
    assert world.rows("select * from holds") == []
    finish(world)
    assert world.tally() == {"succeeded": 6}
    assert custom_ids_once(world)


def test_a_copied_home_is_recovered_and_taken_over(world: World) -> None:
    world.write(items(2))
    world.submit()
    world.run()
    backup = back_up(world)
    world.write(items(4))
    world.submit()
    world.run()
    expected = outcome(world)
    restore(world, backup)
    world.home.path.rename(world.folder / "gone")
    backup.rename(world.home.path)
    world.home = Home(world.home.path)
    assert became(recover(world)) == ["known", "collected"]
    world.api().take_over()
    finish(world)
    assert outcome(world) == expected
    assert sum(world.charges().values()) == 4


def test_batches_of_the_time_before_a_take_over_are_still_ours(world: World) -> None:
    world.write(items(2))
    world.submit()
    backup = back_up(world)
    world.run()
    world.write(items(4))
    world.submit()
    world.run()
    restore(world, backup)
    world.api().take_over()
    assert became(recover(world)) == ["collected", "collected"]
    finish(world)
    assert world.tally() == {"succeeded": 4}
    assert sum(world.charges().values()) == 4


def test_a_listing_without_input_files_does_not_make_the_ledger_forget_its_own(
    new_world: NewWorld,
) -> None:
    unclear = Fault(call="create", error=Ambiguous("timed out"), number=1, when="after")
    world = new_world(faults=[unclear])
    world.wire.edit = lambda remote: replace(remote, input_file_id=None)
    world.write(items(3))
    world.submit()
    (uploaded,) = world.batches()
    assert (uploaded["name"], uploaded["input_file_id"] is None) == ("creating", False)
    assert became(recover(world)) == ["in_flight"]
    (created,) = world.batches()
    assert created["input_file_id"] == uploaded["input_file_id"]
    finish(world)
    assert world.tally() == {"succeeded": 3}
    assert sum(world.charges().values()) == 3
