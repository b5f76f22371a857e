"""A backup of the ledger from before a `prune`, of items that were asked further: their conversations go on from requests that are gone here."""

import pytest
from callingkit import lend, ran
from recoverykit import back_up, finish, recover, restore_database
from runnerkit import NewWorld, World, items
from test_recovered_calls import model
from test_repaired_items import SCHEMA, SCRIPT


def lived_on(world: World, *, batches: int) -> None:
    """The ledger is backed up when it has sent so many batches, all is answered, the spool is pruned, and the backup put back."""
    world.submit(send=batches > 0)
    if batches:
        world.run_until(lambda: len(world.remotes()) == batches)
    backup = back_up(world)
    world.run()
    (freed,) = world.api().prune()
    assert freed.file_count > 0
    restore_database(world, backup)


@pytest.mark.parametrize("batches", [0, 1, 2])
def test_a_repaired_answer_is_found_and_not_bought_again(new_world: NewWorld, batches: int) -> None:
    world = new_world(script=SCRIPT)
    world.write(items(3), schema=SCHEMA, repair={"attempts": 1})
    lived_on(world, batches=batches)
    recover(world)
    assert world.tally() == {"succeeded": 3}
    finish(world)
    assert world.executions() == {1: 1, 2: 2, 3: 1}
    told = world.api().explain("reviews", "i1")
    assert [attempt.outcome for attempt in told.attempts] == ["repair", "succeeded"]
    assert not world.api().verify().broken


@pytest.mark.parametrize("batches", [0, 1, 2])
def test_what_was_called_is_not_run_again(new_world: NewWorld, batches: int) -> None:
    world = new_world(script=model)
    lend(world)
    world.write(items(2), rounds=3)
    lived_on(world, batches=batches)
    recover(world)
    assert world.tally() == {"succeeded": 2}
    finish(world)
    assert world.executions() == {1: 3, 2: 3}
    assert len(ran()) == 4
    assert not world.api().verify().broken


def test_where_the_service_has_no_copy_either_the_repaired_answer_is_kept_and_told(
    new_world: NewWorld,
) -> None:
    world = new_world(script=SCRIPT)
    world.write(items(3), schema=SCHEMA, repair={"attempts": 1})
    lived_on(world, batches=1)
    for remote in world.remotes():
        world.service.delete_file(remote["input_file_id"])
    found = recover(world).batches[-1]
    assert found.became == "unclaimed"
    assert found.unplaced == 1
    recover(world, takes_unproven=True)
    assert world.tally() == {"succeeded": 3}
    world.api().prune()  # what the missing file held is needed no more, and is known to be gone
