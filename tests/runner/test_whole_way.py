"""The whole way of a job, with nothing going wrong."""

import json

import pytest
from runnerkit import World, items


def test_every_item_is_sent_once_and_answered(world: World) -> None:
    world.write(items(5))
    world.submit()
    world.run()
    assert world.tally() == {"succeeded": 5}
    assert set(world.executions().values()) == {1}
    assert world.incidents() == []


def test_results_are_in_the_order_of_the_input(world: World) -> None:
    world.write(items(5))
    world.submit()
    world.run()
    lines = [json.loads(line) for line in world.output("results.jsonl").splitlines()]
    assert [line["id"] for line in lines] == ["i0", "i1", "i2", "i3", "i4"]
    assert lines[3]["output"] == "Review: text 3"


@pytest.mark.fault(42)
def test_a_nul_in_text_and_answer_comes_out_as_it_went_in(world: World) -> None:
    world.write([{"id": "i0", "text": "before\x00after"}], output={"csv": True})
    world.submit()
    world.run()
    (line,) = world.output("results.jsonl").splitlines()
    assert json.loads(line)["output"] == "Review: before\x00after"
    assert b"Review: before\x00after" in world.output("results.csv")
