"""Requests that carry on a conversation are found again, though no item asks them as they stand."""

import msgspec
import pytest
from recoverykit import back_up, became, finish, lose_home, recover, restore
from runnerkit import NewWorld, World, items

from batchrun.followups import goes_on_from
from batchrun.model import JsonObject
from batchrun.service.responders.script import Rule

SCHEMA = {
    "type": "object",
    "properties": {"stars": {"type": "integer", "maximum": 5}},
    "required": ["stars"],
    "additionalProperties": False,
}

SCRIPT = [
    Rule(prompt="cannot be used", reply='{"stars": 4}'),
    Rule(prompt="text 1", reply='{"stars": 9}'),
    Rule(reply='{"stars": 4}'),
]


def repaired(new_world: NewWorld) -> World:
    """One of three items was answered badly, and its repair runs on the service."""
    world = new_world(script=SCRIPT)
    world.write(items(3), schema=SCHEMA, repair={"attempts": 1})
    world.submit()
    world.run_until(lambda: len(world.remotes()) == 2)
    return world


@pytest.mark.parametrize("is_answered", [False, True], ids=["running", "answered"])
def test_a_lost_ledger_gets_the_repaired_answer_and_pays_once(
    new_world: NewWorld, *, is_answered: bool
) -> None:
    world = repaired(new_world)
    if is_answered:
        world.serve()
    lose_home(world)
    assert became(recover(world)) == ["collected", "collected" if is_answered else "in_flight"]
    finish(world)
    assert world.answers() == dict.fromkeys(("i0", "i1", "i2"), '{"stars":4}')
    assert world.executions() == {1: 1, 2: 2, 3: 1}


def test_an_older_ledger_gets_the_repaired_answer(new_world: NewWorld) -> None:
    world = new_world(script=SCRIPT)
    world.write(items(3), schema=SCHEMA, repair={"attempts": 1})
    world.submit()
    world.run_until(lambda: len(world.remotes()) == 1)
    backup = back_up(world)
    world.run()
    restore(world, backup)
    recover(world)
    finish(world)
    assert world.answers() == dict.fromkeys(("i0", "i1", "i2"), '{"stars":4}')
    assert world.executions() == {1: 1, 2: 2, 3: 1}


def tail(**body: object) -> bytes:
    return msgspec.json.encode({"method": "POST", "url": "/v1/responses", "body": body})[1:]


FIRST = {"model": "a", "input": "hi", "text": {"verbosity": "low"}}
SAID = [{"role": "user", "content": "hi"}]
MORE = [{"role": "assistant", "content": "x"}, {"role": "user", "content": "no"}]


@pytest.mark.parametrize(
    ("later", "does"),
    [
        ({**FIRST, "input": SAID + MORE}, True),
        ({**FIRST, "input": SAID + MORE, "model": "b", "max_output_tokens": 9}, True),
        ({**FIRST, "max_output_tokens": 9}, True),
        (FIRST, False),
        ({**FIRST, "input": MORE}, False),
        ({**FIRST, "input": SAID + MORE, "text": {}}, False),
        ({**FIRST, "input": "hi there"}, False),
    ],
)
def test_what_carries_on_a_request(later: JsonObject, *, does: bool) -> None:
    assert goes_on_from(tail(**FIRST), tail(**later)) is does
