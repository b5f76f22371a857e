"""Items that share an answer, in a ledger that is gone: they share it again, and nothing more is asked."""

import pytest
from crashkit import outcome
from recoverykit import finish, lose_home, recover, untroubled
from runnerkit import NewWorld, World

from batchrun.service.responders.script import Rule

ROWS = [{"id": f"i{n}", "text": text} for n, text in enumerate("abacbab")]


def brought_back(world: World) -> dict[int, int]:
    """The executions of a world that lost its home in the end, and has its outputs again."""
    expected = untroubled(world)
    executions = world.executions()
    lose_home(world)
    recover(world)
    assert outcome(world) == expected
    finish(world)
    assert outcome(world) == expected
    assert world.executions() == executions
    return executions


def test_shared_answers_come_back_to_all_that_had_them(new_world: NewWorld) -> None:
    world = new_world()
    world.write(ROWS)
    assert brought_back(world) == {1: 1, 2: 1, 4: 1}


def test_so_they_do_where_the_first_had_failed(new_world: NewWorld) -> None:
    world = new_world(script=[Rule(prompt="a$", times=2, status=400)])
    world.write(ROWS)
    assert brought_back(world) == {1: 1, 2: 1, 3: 1, 4: 1, 6: 1}


@pytest.mark.parametrize("has_ids", [True, False])
def test_items_that_were_asked_each_have_their_own_answers_back(
    new_world: NewWorld, *, has_ids: bool
) -> None:
    world = new_world()
    world.write([row if has_ids else {"text": row["text"]} for row in ROWS])
    world.submit(dedupe=False)
    world.run()
    expected, executions = outcome(world), world.executions()
    assert len(executions) == len(ROWS)
    lose_home(world)
    recover(world)
    finish(world)
    assert outcome(world) == expected
    assert world.executions() == executions


def test_what_is_on_its_way_answers_the_others_when_it_comes(new_world: NewWorld) -> None:
    world = new_world()
    world.write(ROWS)
    world.submit()
    lose_home(world)
    recover(world)
    assert world.tally() == {"in_flight": 3, "pending": 4}
    world.run()
    assert world.tally() == {"succeeded": 7}
    assert world.executions() == {1: 1, 2: 1, 4: 1}
