"""Answers that call functions come back with their conversation: what was paid and what was run is not paid or run again."""

from typing import Any

import pytest
from callingkit import call, calling, lend, ran
from recoverykit import became, finish, lose_home, recover
from runnerkit import NewWorld, World, items

from batchrun.model import JsonObject
from batchrun.service.responders.script import Rule

FIRST = call("stock", {"article": "lamp", "shop": None}, "call_1")
SECOND = call("stock", {"article": "bulb", "shop": None}, "call_2")


def model(url: str, body: JsonObject, custom_id: str | None) -> Rule:
    """Two rounds, and then what the second returned."""
    del url, custom_id
    said = body["input"]
    if isinstance(said, str) or len(said) == 1:
        return calling(FIRST)
    return calling(SECOND) if len(said) == 3 else Rule(reply=said[-1]["output"])


def begun(new_world: NewWorld, batches: int, **changes: Any) -> World:
    """A world that loses its home when it has sent so many batches; `changes` are keys of its job line."""
    world = new_world(script=model)
    lend(world)
    (world.folder / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    world.write(items(2), rounds=3, **changes)
    world.submit()
    world.run_until(lambda: len(world.remotes()) == batches)
    world.serve()
    lose_home(world)
    return world


@pytest.mark.parametrize("attach", [None, "a.png"])
@pytest.mark.parametrize("batches", [1, 2, 3])
def test_a_lost_ledger_gets_the_conversation_back_and_nothing_is_asked_or_run_twice(
    new_world: NewWorld, batches: int, attach: str | None
) -> None:
    world = begun(new_world, batches, attach=attach)
    assert became(recover(world)) == ["collected"] * batches
    finish(world)
    assert set(world.answers().values()) == {'{"pieces":4}'}
    assert world.executions() == {1: 3, 2: 3}
    assert sorted(ran()) == ["bulb Lyon"] * 2 + ["lamp Lyon"] * 2
    assert not world.api().verify().broken


def test_an_answer_whose_calls_are_out_of_reach_is_a_failure_and_begins_anew_when_retried(
    new_world: NewWorld,
) -> None:
    world = begun(new_world, 2)
    _, second = world.remotes()
    world.service.delete_file(second["input_file_id"])
    recover(world, takes_unproven=True)
    assert set(world.failures().values()) == {"lost_calls"}
    finish(world)
    world.api().retry("reviews")
    world.run()
    assert set(world.answers().values()) == {'{"pieces":4}'}
