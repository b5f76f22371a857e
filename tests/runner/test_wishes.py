"""What the user wishes on the way: cancelling at every stage, and asking again."""

import pytest
from runnerkit import NewWorld, World, items

from batchrun.errors import Ambiguous
from batchrun.service.options import Options
from batchrun.service.responders.script import Rule
from batchrun.testing_backend import Fault


def test_a_job_that_was_not_sent_is_cancelled_at_once(world: World) -> None:
    world.write(items(3))
    world.submit(send=False)
    world.api().cancel("reviews")
    world.run()
    assert world.tally() == {"cancelled": 3}
    assert world.remotes() == []


def test_a_planned_batch_is_dropped(new_world: NewWorld) -> None:
    from batchrun.errors import Transient

    fault = Fault(call="upload", error=Transient("down"), number=None)
    world = new_world(faults=[fault])
    world.write(items(3))
    world.submit()
    assert world.batches()[0]["name"] == "planned"
    world.api().cancel("reviews")
    world.run()
    assert world.tally() == {"cancelled": 3}
    assert world.batches()[0]["name"] == "rejected"


def test_a_batch_in_doubt_is_found_first_and_then_cancelled(new_world: NewWorld) -> None:
    fault = Fault(call="create", error=Ambiguous("timeout"), when="after")
    world = new_world(faults=[fault], options=Options(validating_s=10_000))
    world.write(items(3))
    world.submit()
    world.api().cancel("reviews")
    world.run()
    assert world.tally() == {"cancelled": 3}
    assert [r["status"] for r in world.remotes()] == ["cancelled"]
    assert world.charges() == {}


def test_a_batch_in_doubt_that_never_was_is_dropped(new_world: NewWorld) -> None:
    fault = Fault(call="create", error=Ambiguous("timeout"))
    world = new_world(faults=[fault])
    world.write(items(3))
    world.submit()
    world.api().cancel("reviews")
    world.run()
    assert world.tally() == {"cancelled": 3}
    assert world.remotes() == []


def test_a_running_batch_is_cancelled_and_its_answers_are_kept(new_world: NewWorld) -> None:
    world = new_world(options=Options(line_s=1_000))
    world.write(items(3))
    world.submit()
    world.serve()
    world.clock.advance(1_500)
    world.serve()
    world.api().cancel("reviews")
    world.run()
    assert world.tally() == {"succeeded": 1, "cancelled": 2}
    assert set(world.executions().values()) == {1}
    assert b"cancelled" in world.output("results.jsonl")


def test_a_batch_that_had_ended_before_the_cancel_keeps_every_answer(world: World) -> None:
    world.write(items(3))
    world.submit()
    world.serve()
    world.api().cancel("reviews")
    world.run()
    assert world.tally() == {"succeeded": 3}


def test_a_failed_item_that_waits_for_its_next_attempt_is_cancelled(new_world: NewWorld) -> None:
    world = new_world(script=[Rule(status=500)])
    world.write(items(3))
    world.submit()
    world.run_until(lambda: world.tally() == {"pending": 3})
    world.api().cancel("reviews")
    world.run()
    assert world.tally() == {"cancelled": 3}
    assert set(world.executions().values()) == {1}


def test_cancelling_twice_is_as_good_as_once(new_world: NewWorld) -> None:
    world = new_world(options=Options(validating_s=10_000, cancelling_s=600))
    world.write(items(3))
    world.submit()
    world.api().cancel("reviews")
    world.clock.advance(60)
    world.tick()
    world.api().cancel("reviews")
    world.run()
    assert world.tally() == {"cancelled": 3}
    assert world.backend.calls.count("cancel") == 1


def test_an_item_changed_in_flight_and_then_cancelled_is_not_asked_again(world: World) -> None:
    world.write(items(2))
    world.submit()
    world.write([items(2)[0], {"id": "i1", "text": "new"}])
    world.submit()
    world.api().cancel("reviews")
    world.run()
    assert set(world.executions().values()) <= {1}
    assert "pending" not in world.tally()


def cancelled_on_its_way(new_world: NewWorld, *, validating_s: int = 0, line_s: int = 0) -> World:
    """A job whose batch is to be cancelled, which takes the service a while."""
    options = Options(cancelling_s=600, validating_s=validating_s, line_s=line_s)
    world = new_world(options=options)
    world.write(items(3))
    world.submit()
    world.serve()
    world.clock.advance(1_500)
    world.serve()
    world.api().cancel("reviews")
    return world


def test_a_job_cancelled_and_submitted_again_at_once_is_answered(new_world: NewWorld) -> None:
    world = cancelled_on_its_way(new_world, validating_s=10_000)
    tally = world.submit().tally
    assert tally is not None
    assert (tally.unchanged, tally.requeued) == (3, 3)
    world.run()
    assert world.tally() == {"succeeded": 3}
    assert [r["status"] for r in world.remotes()] == ["cancelled", "completed"]
    assert set(world.executions().values()) == {1}


def test_an_answer_of_the_cancelled_batch_is_not_asked_for_again(new_world: NewWorld) -> None:
    world = cancelled_on_its_way(new_world, line_s=1_000)
    world.submit()
    world.submit()
    world.run()
    assert world.tally() == {"succeeded": 3}
    assert set(world.executions().values()) == {1}


def test_a_second_cancel_takes_back_the_second_submission(new_world: NewWorld) -> None:
    world = cancelled_on_its_way(new_world, validating_s=10_000)
    world.submit()
    world.api().cancel("reviews")
    world.run()
    assert world.tally() == {"cancelled": 3}


def test_an_item_changed_after_the_cancel_and_changed_back_is_asked_as_it_was(
    new_world: NewWorld,
) -> None:
    world = cancelled_on_its_way(new_world, validating_s=10_000)
    world.write([*items(2), {"id": "i2", "text": "other"}])
    world.submit(new_only=False)
    world.write(items(3))
    world.submit()
    world.run()
    assert world.answers()["i2"] == "Review: text 2"
    assert set(world.executions().values()) == {1}


def test_a_cancelled_job_submitted_again_for_new_items_only_is_wanted_too(
    new_world: NewWorld,
) -> None:
    world = cancelled_on_its_way(new_world, validating_s=10_000)
    world.submit(new_only=True)
    world.run()
    assert world.tally() == {"succeeded": 3}


def test_a_planned_batch_that_was_cancelled_goes_again_when_it_is_submitted_again(
    new_world: NewWorld,
) -> None:
    from batchrun.errors import Transient

    world = new_world(faults=[Fault(call="upload", error=Transient("down"))])
    world.write(items(3))
    world.submit()
    world.api().cancel("reviews")
    world.submit()
    world.run()
    assert world.tally() == {"succeeded": 3}


def test_a_job_with_cancelled_items_has_not_succeeded(world: World) -> None:
    world.write(items(3))
    world.submit(send=False)
    world.api().cancel("reviews")
    world.run()
    (status,) = world.api().status()
    assert status.exit_code == 3


def failed(new_world: NewWorld, count: int = 3) -> World:
    """A job of which i1 failed for good, once."""
    world = new_world(script=[Rule(prompt="text 1", times=1, status=400)])
    world.write(items(count))
    world.submit()
    world.run()
    assert world.states()["i1"] == "failed"
    return world


def test_retry_asks_failed_items_again_as_they_were_sent(new_world: NewWorld) -> None:
    world = failed(new_world)
    world.api().retry("reviews")
    world.run()
    assert world.tally() == {"succeeded": 3}
    assert sorted(world.executions().values()) == [1, 1, 2]
    assert world.rows("select attempts from results where id = 'i1'") == [{"attempts": 1}]


def test_retry_of_named_items_leaves_the_others(new_world: NewWorld) -> None:
    world = new_world(script=[Rule(times=1, status=400)])
    world.write(items(3))
    world.submit()
    world.run()
    world.api().retry("reviews", ["i2"])
    world.run()
    assert world.states() == {"i0": "failed", "i1": "failed", "i2": "succeeded"}


def test_redo_takes_answered_items_too(world: World) -> None:
    world.write(items(3))
    world.submit()
    world.run()
    world.api().retry("reviews", ["i1"], redo=True)
    world.run()
    assert world.executions() == {1: 1, 2: 2, 3: 1}
    assert world.tally() == {"succeeded": 3}


def test_a_redo_that_is_rejected_fails_with_its_own_reason(world: World) -> None:
    from batchrun.errors import Refused

    world.write(items(1))
    world.submit()
    world.run()
    world.backend.add(Fault(call="create", error=Refused("no", status=400), number=None))
    world.api().retry("reviews", redo=True)
    world.run()
    assert world.failures() == {"i0": "rejected"}


@pytest.mark.parametrize("wish", ["cancel", "retry"])
def test_a_wish_made_while_another_process_holds_the_home_waits_for_the_next_pass(
    new_world: NewWorld, wish: str
) -> None:
    from batchrun.ledger.lock import pass_lock

    world = failed(new_world)
    before = world.states()
    with pass_lock(world.home, wait_s=0):
        world.api().cancel("reviews") if wish == "cancel" else world.api().retry("reviews")
        assert world.states() == before
    world.run()
    expected = "failed" if wish == "cancel" else "succeeded"
    assert world.states()["i1"] == expected
