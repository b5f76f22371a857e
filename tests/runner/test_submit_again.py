"""Submitting a job again: what is kept, what is asked, what leaves, whatever state each item is in."""

import json

from runnerkit import NewWorld, World, items

from batchrun.service.responders.script import Rule


def done(world: World, count: int = 4) -> None:
    """`count` items, answered."""
    world.write(items(count))
    world.submit()
    world.run()


def test_an_unchanged_job_is_not_sent_again(world: World) -> None:
    done(world)
    tally = world.submit().tally
    assert tally is not None
    assert (tally.unchanged, tally.new, tally.changed) == (4, 0, 0)
    world.run()
    assert len(world.remotes()) == 1


def test_new_and_changed_items_are_sent_and_the_rest_is_kept(world: World) -> None:
    done(world)
    rows = items(6)
    rows[1]["text"] = "another"
    world.write(rows)
    tally = world.submit().tally
    assert tally is not None
    assert (tally.unchanged, tally.new, tally.changed, tally.reasked) == (3, 2, 1, 1)
    world.run()
    assert world.answers()["i1"] == "Review: another"
    assert sorted(world.executions().values()) == [1, 1, 1, 1, 1, 2]


def test_the_old_answer_of_a_changed_item_is_kept_in_the_history(world: World) -> None:
    done(world, 1)
    world.write([{"id": "i0", "text": "other"}])
    world.submit()
    world.run()
    (old,) = world.rows("select output, outcome from history")
    assert json.loads(old["output"]) == "Review: text 0"
    assert old["outcome"] == 0


def test_a_failed_item_is_left_to_retry(new_world: NewWorld) -> None:
    world = new_world(script=[Rule(prompt="text 1", status=400)])
    done(world)
    tally = world.submit().tally
    assert tally is not None
    assert (tally.unchanged, tally.failed) == (4, 1)
    world.run()
    assert world.states()["i1"] == "failed"
    assert len(world.remotes()) == 1


def test_a_failed_item_that_was_changed_is_asked(new_world: NewWorld) -> None:
    world = new_world(script=[Rule(prompt="text 1", status=400)])
    done(world)
    rows = items(4)
    rows[1]["text"] = "mended"
    world.write(rows)
    world.submit()
    world.run()
    assert world.answers()["i1"] == "Review: mended"


def test_vanished_items_leave_the_outputs_and_stay_in_the_ledger(world: World) -> None:
    done(world)
    world.write(items(4)[:3])
    tally = world.submit().tally
    assert tally is not None
    assert tally.vanished == 1
    world.run()
    assert b'"i3"' not in world.output("results.jsonl")
    assert world.rows("select count(*) as n from item_rows") == [{"n": 4}]


def test_returned_items_come_back_with_their_answer(world: World) -> None:
    done(world)
    world.write(items(4)[:3])
    world.submit()
    world.write(items(4))
    tally = world.submit().tally
    assert tally is not None
    assert (tally.returned, tally.unchanged) == (1, 4)
    world.run()
    assert b'"i3"' in world.output("results.jsonl")
    assert len(world.remotes()) == 1


def test_items_that_vanish_before_they_are_sent_are_not_sent(world: World) -> None:
    world.write(items(4))
    world.submit(send=False)
    world.write(items(4)[:3])
    world.submit()
    world.run()
    assert world.tally() == {"succeeded": 3}
    assert len(world.executions()) == 3


def test_items_that_vanish_unsent_and_return_are_sent_once(world: World) -> None:
    world.write(items(4))
    world.submit(send=False)
    world.write(items(4)[:2])
    world.submit(send=False)
    world.write(items(4))
    tally = world.submit(send=False).tally
    assert tally is not None
    assert (tally.returned, tally.requeued) == (2, 2)
    world.run()
    assert set(world.executions().values()) == {1}
    assert world.tally() == {"succeeded": 4}


def test_missing_keep_keeps_vanished_items_in_the_outputs(world: World) -> None:
    world.write(items(4), missing="keep")
    world.submit()
    world.run()
    world.write(items(4)[:1], missing="keep")
    world.submit()
    world.run()
    assert b'"i3"' in world.output("results.jsonl")


def test_a_limit_makes_nothing_vanish(world: World) -> None:
    done(world)
    tally = world.submit(limit=1).tally
    assert tally is not None
    assert (tally.items, tally.vanished) == (1, 0)
    assert len(world.states()) == 4


def test_an_item_that_vanishes_in_flight_keeps_its_paid_answer_out_of_the_outputs(
    world: World,
) -> None:
    world.write(items(3))
    world.submit()
    world.write(items(3)[:2])
    world.submit()
    world.run()
    assert world.tally() == {"succeeded": 2}
    (gone,) = world.rows("select state from items where vanished")
    assert gone["state"] == "succeeded"


def test_an_item_changed_in_flight_gets_the_answer_to_its_new_request(world: World) -> None:
    world.write(items(2))
    world.submit()
    world.write([{"id": "i0", "text": "newer"}, items(2)[1]])
    tally = world.submit().tally
    assert tally is not None
    assert tally.changed == 1
    assert world.tally() == {"in_flight": 2}, "one open attempt at a time"
    world.run()
    assert world.answers() == {"i0": "Review: newer", "i1": "Review: text 1"}
    (old,) = world.rows("select outcome from history")
    assert old["outcome"] == 5, "the answer to the old request is kept as superseded"


def test_an_item_changed_twice_in_flight_is_asked_only_the_last(world: World) -> None:
    for text in ("first", "second", "third"):
        world.write([{"id": "a", "text": text}])
        world.submit()
    world.run()
    assert world.answers() == {"a": "Review: third"}
    assert world.executions() == {1: 2}


def test_an_item_changed_and_changed_back_in_flight_is_asked_once(world: World) -> None:
    for text in ("first", "second", "first"):
        world.write([{"id": "a", "text": text}])
        world.submit()
    world.run()
    assert world.answers() == {"a": "Review: first"}
    assert world.executions() == {1: 1}


def test_an_item_changed_and_then_gone_in_flight_is_not_asked_again(world: World) -> None:
    world.write([{"id": "a", "text": "first"}, *items(2)])
    world.submit()
    world.write([{"id": "a", "text": "second"}, *items(2)])
    world.submit()
    world.write(items(2))
    world.submit()
    world.run()
    assert set(world.executions().values()) == {1}


def test_a_failed_first_revision_does_not_stop_the_second(new_world: NewWorld) -> None:
    world = new_world(script=[Rule(prompt="bad", status=400)])
    world.write([{"id": "a", "text": "bad"}])
    world.submit()
    world.write([{"id": "a", "text": "good"}])
    world.submit()
    world.run()
    assert world.answers() == {"a": "Review: good"}


def test_a_cancelled_item_that_is_submitted_again_is_sent(world: World) -> None:
    world.write(items(2))
    world.submit(send=False)
    world.api().cancel("reviews")
    assert world.tally() == {"cancelled": 2}
    tally = world.submit().tally
    assert tally is not None
    assert tally.requeued == 2
    world.run()
    assert world.tally() == {"succeeded": 2}
    assert set(world.executions().values()) == {1}


def test_the_order_of_the_last_submission_is_the_order_of_the_outputs(world: World) -> None:
    done(world)
    world.write(reversed(items(5)))
    world.submit()
    world.run()
    order = [json.loads(line)["id"] for line in world.output("results.jsonl").splitlines()]
    assert order == ["i4", "i3", "i2", "i1", "i0"]
    world.write(items(5))
    world.submit()
    world.run()
    order = [json.loads(line)["id"] for line in world.output("results.jsonl").splitlines()]
    assert order == ["i0", "i1", "i2", "i3", "i4"]
