"""An answer is judged by the labels or schema that its request asked for, however often these change while it is on its way."""

from typing import Any, Final

import pytest
from runnerkit import NewWorld, World, items
from schemakit import A_PRICE, A_TITLE, PRICE, TITLE, answers, in_flight

from batchrun.model import JsonObject
from batchrun.service.responders.script import Rule

DAY: Final = ["good", "bad"]
NIGHT: Final = ["bright", "dark"]


def formatted(schema: JsonObject) -> JsonObject:
    """A body that asks for answers of this schema by itself."""
    return {"text": {"format": {"type": "json_schema", "name": "x", "schema": schema}}}


def test_a_schema_that_changes_before_a_trial_judges_only_what_the_trial_asks(world: World) -> None:
    in_flight(world, 3, schema=TITLE)
    world.write(items(3), schema=PRICE)
    world.submit(limit=1)
    world.run()
    assert world.failures() == {}
    assert answers(world) == {"i0": A_PRICE, "i1": A_TITLE, "i2": A_TITLE}


def test_labels_that_change_judge_no_item_that_left_the_data_and_is_kept(world: World) -> None:
    in_flight(world, 2, labels=DAY, missing="keep")
    world.write(items(3)[2:], labels=NIGHT, missing="keep")
    world.submit()
    world.run()
    assert world.failures() == {}
    assert answers(world) == {"i2": "bright", "i0": "good", "i1": "good"}


@pytest.mark.parametrize(("before", "after"), [({}, {"schema": PRICE}), ({"schema": PRICE}, {})])
def test_text_and_schema_each_judge_their_own(
    world: World, before: dict[str, Any], after: dict[str, Any]
) -> None:
    in_flight(world, 2, **before)
    world.write(items(2), **after)
    world.submit(limit=1)
    world.run()
    text = {"i0": "Review: text 0", "i1": "Review: text 1"}
    assert answers(world) == {
        key: A_PRICE if (after if key == "i0" else before) else text[key] for key in text
    }


def test_an_old_schema_refuses_what_does_not_fit_it_also_when_the_new_one_would_take_it(
    new_world: NewWorld,
) -> None:
    world = new_world(script=[Rule(prompt="text 1", json=A_PRICE)])
    in_flight(world, 2, schema=TITLE)
    world.write(items(2), schema=PRICE)
    world.submit(limit=1)
    world.run()
    assert world.failures() == {"i1": "schema_mismatch"}


def test_a_schema_for_new_items_only_judges_no_item_in_flight(world: World) -> None:
    in_flight(world, 1, schema=TITLE)
    world.write(items(2), schema=PRICE)
    world.submit(new_only=True)
    world.run()
    assert answers(world) == {"i0": A_TITLE, "i1": A_PRICE}


def test_an_item_that_fails_and_goes_again_is_judged_as_it_was_asked(new_world: NewWorld) -> None:
    world = new_world(script=[Rule(prompt="text 1", times=2, status=500)])
    in_flight(world, 2, schema=TITLE)
    world.write(items(2), schema=PRICE)
    world.submit(limit=1)
    world.run()
    assert answers(world) == {"i0": A_PRICE, "i1": A_TITLE}


def test_an_item_that_a_person_retries_is_judged_as_it_was_asked(new_world: NewWorld) -> None:
    world = new_world(script=[Rule(prompt="text 1", times=1, status=400)])
    in_flight(world, 2, labels=DAY)
    world.write(items(2), labels=NIGHT)
    world.submit(limit=1)
    world.run()
    assert world.failures() == {"i1": "bad_request"}
    world.api().retry("reviews")
    world.run()
    assert answers(world) == {"i0": "bright", "i1": "good"}


def test_retries_of_different_schemas_go_in_batches_of_their_own(new_world: NewWorld) -> None:
    world = new_world(script=[Rule(times=1, status=400)])
    world.write(items(2), labels=DAY, missing="keep")
    world.submit()
    world.run()
    world.write(items(4)[2:], labels=NIGHT, missing="keep")
    world.submit()
    world.run()
    assert len(world.batches()) == 2
    world.api().retry("reviews")
    world.run()
    assert [b["request_count"] for b in world.batches()] == [2, 2, 2, 2]
    assert answers(world) == {"i0": "good", "i1": "good", "i2": "bright", "i3": "bright"}


def test_retries_of_many_submits_with_one_schema_share_a_batch(new_world: NewWorld) -> None:
    world = new_world(script=[Rule(times=1, status=400)])
    for n in range(3):
        world.write(items(3)[n : n + 1], labels=DAY, missing="keep", note=f"night {n}")
        world.submit()
        world.run()
    world.api().retry("reviews")
    world.run()
    assert [b["request_count"] for b in world.batches()] == [1, 1, 1, 3]
    assert world.tally() == {"succeeded": 3}


def test_attempts_are_those_of_the_newest_submit_for_all_items(new_world: NewWorld) -> None:
    world = new_world(script=[Rule(prompt="text 1", times=4, status=500)])
    in_flight(world, 2, schema=TITLE, attempts=1)
    world.write(items(2), schema=PRICE, attempts=5)
    world.submit(limit=1)
    world.run()
    assert answers(world) == {"i0": A_PRICE, "i1": A_TITLE}


def test_a_format_that_stands_in_the_body_judges_only_what_asks_for_it(new_world: NewWorld) -> None:
    world = new_world(script=[Rule(prompt="text 2", reply="no JSON")])
    in_flight(world, 3, body=formatted(TITLE))
    world.write(items(3), body=formatted(PRICE))
    world.submit(limit=1)
    world.run()
    assert world.failures() == {"i2": "invalid_json"}
    assert answers(world) == {"i0": A_PRICE, "i1": A_TITLE, "i2": None}


def test_a_schema_is_kept_once_however_many_submits_and_files_bear_it(world: World) -> None:
    for n in range(4):
        world.write(items(n + 1), schema=PRICE if n == 2 else TITLE, missing="keep")
        world.submit(reask=True)
        world.run()
    assert len(world.rows("select * from criteria")) == 2


def test_a_submit_that_comes_to_nothing_leaves_no_schema(world: World) -> None:
    world.write([*items(1), {"id": "bad"}], schema=TITLE)
    assert world.submit().error is not None
    assert world.rows("select * from criteria") == []
    world.write(items(1))
    world.submit()
    world.write([{"id": "i0", "text": "another"}, {"id": "bad"}], schema=PRICE)
    assert world.submit().error is not None
    assert world.rows("select * from criteria") == []
