"""A creation that was refused for good and took effect all the same, listed late: it is taken back, and its requests are not sent twice."""

from collections.abc import Callable
from typing import Literal

import pytest
from runnerkit import DAY_S, OPENAI, NewWorld, World, items

from batchrun.backends.base import RemoteBatch
from batchrun.backends.reading import read_batch
from batchrun.errors import Refused, Transient
from batchrun.service.responders.script import Rule
from batchrun.testing_backend import Fault

REFUSED = Refused("bad gateway", status=400)
LAG_S = 600


def refused(
    new_world: NewWorld, *effects: Literal["before", "after"], faults: tuple[Fault, ...] = ()
) -> World:
    """Two creates of one batch were refused (after its effect or before it), and the listing lags."""
    creates = [
        Fault(call="create", error=REFUSED, number=n, when=when)
        for n, when in enumerate(effects, start=1)
    ]
    world = new_world(faults=[*creates, *faults])
    world.wire.lag_s = LAG_S
    world.write(items(3))
    world.submit()
    assert (world.batches()[0]["name"], world.tally()) == ("rejected", {"failed": 3})
    return world


def answered_once(world: World) -> bool:
    return world.tally() == {"succeeded": 3} and set(world.executions().values()) == {1}


def retried(world: World) -> None:
    world.api().retry("reviews")
    world.tick()


def retried_after_a_minute(world: World) -> None:
    world.clock.advance(60)
    retried(world)


def retried_next_day(world: World) -> None:
    world.serve()
    world.clock.advance(DAY_S)
    retried(world)


def left_alone(world: World) -> None:
    """Nobody asks again."""


def unticked(world: World) -> None:
    world.api().retry("reviews")
    world.serve()
    world.clock.advance(DAY_S)


@pytest.mark.parametrize(
    "meanwhile", [left_alone, retried, retried_after_a_minute, retried_next_day, unticked]
)
def test_what_was_refused_and_is_there_is_collected_and_not_bought_again(
    new_world: NewWorld, meanwhile: Callable[[World], None]
) -> None:
    world = refused(new_world, "before", "after")
    meanwhile(world)
    world.run()
    assert len(world.remotes()) == 1
    assert answered_once(world)
    assert world.incidents() == ["refused_batch"]


def test_of_two_that_took_effect_the_first_is_taken_back_and_the_other_cancelled(
    new_world: NewWorld,
) -> None:
    world = refused(new_world, "after", "after")
    world.api().retry("reviews")
    world.clock.advance(LAG_S + 10)
    world.tick()
    # Created in the same second, they have no order but that of their ids.
    assert sorted(remote["status"] for remote in world.remotes()) == ["cancelling", "validating"]
    assert sorted(world.incidents()) == ["duplicate_batch", "refused_batch"]
    world.run()
    assert answered_once(world)


def test_a_refusal_that_was_one_is_sent_again_after_a_complete_listing(new_world: NewWorld) -> None:
    world = refused(new_world, "before", "before")
    begun = world.clock.now()
    world.api().retry("reviews")
    world.run_until(lambda: len(world.remotes()) == 1)
    assert OPENAI.settle_s <= world.clock.now() - begun <= OPENAI.settle_s + 300
    world.run()
    assert answered_once(world)
    assert world.incidents() == []


def test_a_listing_that_is_down_confirms_no_refusal(new_world: NewWorld) -> None:
    down = [
        Fault(call="list_batches", error=Transient("busy", status=503), number=n)
        for n in range(4, 60)
    ]
    world = refused(new_world, "before", "after", faults=tuple(down))
    world.api().retry("reviews")
    for _ in range(40):
        world.tick()
        world.clock.advance(60)
    assert len(world.remotes()) == 1
    world.run()
    assert answered_once(world)


def go_on(world: World, done: Callable[[], bool]) -> None:
    """Passes until it is done, while the far service does nothing."""
    while not done():
        next_at = world.tick().next_at
        assert next_at is not None
        world.clock.sleep_until(next_at)


def shown_as_failed(world: World) -> None:
    """What is on the service never runs, and failed in validation."""
    for remote in world.remotes():
        world.service.cancel_batch(remote["id"])

    def edit(batch: RemoteBatch) -> RemoteBatch:
        error = {"code": "invalid_model", "message": "no such model"}
        return read_batch({**batch.raw, "status": "failed", "errors": {"data": [error]}})

    world.wire.edit = edit


def test_a_batch_that_failed_before_it_ran_confirms_the_refusal(new_world: NewWorld) -> None:
    world = refused(new_world, "after", "after")
    shown_as_failed(world)
    world.run()
    assert world.tally() == {"failed": 3}
    assert world.backend.calls.count("create") == 2
    assert world.incidents() == []


def test_what_is_taken_back_and_fails_before_it_ran_is_refused_for_good(
    new_world: NewWorld,
) -> None:
    world = refused(new_world, "before", "after")
    go_on(world, lambda: world.batches()[0]["name"] == "created")
    shown_as_failed(world)
    world.run()
    assert world.tally() == {"failed": 3}
    assert world.backend.calls.count("create") == 2
    assert "no such model" in world.rows("select message from failures")[0]["message"]


def test_a_repair_that_is_taken_back_after_a_retry_is_in_order_while_it_runs(
    new_world: NewWorld,
) -> None:
    """The retry began the conversation anew; what is taken back belongs to the one before."""
    world = new_world(
        script=[Rule(prompt="cannot be used", reply="good"), Rule(reply="perhaps")],
        faults=[
            Fault(call="create", error=REFUSED, number=2),
            Fault(call="create", error=REFUSED, number=3, when="after"),
        ],
    )
    world.write(items(1), labels=["good", "bad"], repair={"attempts": 1})
    world.submit()
    world.run_until(lambda: [b["name"] for b in world.batches()] == ["collected", "rejected"])
    world.api().retry("reviews")
    go_on(world, lambda: world.batches()[1]["name"] == "created")
    assert not world.api().verify().broken
    world.run()
    assert world.answers() == {"i0": "good"}
    assert world.executions() == {1: 2}


def test_another_question_does_not_wait(new_world: NewWorld) -> None:
    world = refused(new_world, "before", "before")
    world.write(items(3), prompt="Judge: {{ text }}")
    world.submit()
    assert len(world.remotes()) == 1
    world.run()
    assert answered_once(world)


def test_items_that_changed_meanwhile_get_no_answer_to_their_older_question(
    new_world: NewWorld,
) -> None:
    world = refused(new_world, "before", "after")
    rows = items(3)
    rows[1]["text"] = "another"
    world.write(rows)
    world.submit()
    world.run()
    assert world.tally() == {"succeeded": 3}
    assert world.answers()["i1"] == "Review: another"
    assert world.executions() == {1: 1, 2: 2, 3: 1}


def test_nobody_waits_for_the_look(new_world: NewWorld) -> None:
    world = refused(new_world, "before", "before")
    _, is_done = world.api().wait()
    assert is_done
    assert world.tick_moment() is not None
    result = world.run()
    assert result.next_at is None
    assert world.batches()[0]["audit_until"] is None
