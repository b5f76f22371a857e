"""A ledger that is gone: what the service has is brought back, and nothing is asked twice."""

from collections.abc import Callable
from pathlib import Path

import pytest
from crashkit import outcome
from recoverykit import (
    became,
    custom_ids_once,
    finish,
    lose_database,
    lose_home,
    recover,
    untroubled,
)
from runnerkit import NewWorld, World, items, texts

from batchrun.errors import Ambiguous, Transient
from batchrun.model import Limits
from batchrun.service.responders.script import Rule
from batchrun.testing_backend import Fault

SMALL = Limits(request_count=2)
LOSSES = (lose_home, lose_database)


@pytest.mark.parametrize("lose", LOSSES)
def test_answers_of_batches_that_had_ended_are_not_asked_again(
    world: World, lose: Callable[[World], None]
) -> None:
    world.write(items(5))
    expected = untroubled(world)
    lose(world)
    recovered = recover(world)
    assert became(recovered) == ["collected"]
    assert recovered.look_again_at is None
    assert world.tally() == {"succeeded": 5}
    assert outcome(world) == expected
    finish(world)
    assert outcome(world) == expected
    assert sum(world.charges().values()) == 5


@pytest.mark.parametrize("lose", LOSSES)
def test_batches_in_flight_are_adopted_and_collected_by_later_passes(
    world: World, lose: Callable[[World], None]
) -> None:
    world.write(items(5))
    world.submit()
    lose(world)
    recovered = recover(world)
    assert became(recovered) == ["in_flight"]
    assert world.tally() == {"in_flight": 5}
    finish(world)
    assert world.tally() == {"succeeded": 5}
    assert sum(world.charges().values()) == 5
    assert world.incidents() == []


def test_a_whole_life_with_retries_failures_and_many_batches_comes_back_the_same(
    new_world: NewWorld,
) -> None:
    script = [Rule(prompt="text 1", times=2, status=500), Rule(prompt="text 2", status=400)]
    world = new_world(script=script, limits=SMALL)
    world.write(items(7))
    expected = untroubled(world)
    remotes, executions = len(world.remotes()), world.executions()
    lose_home(world)
    recovered = recover(world)
    assert became(recovered) == ["collected"] * remotes
    assert outcome(world) == expected
    assert world.failures() == {"i2": "bad_request"}
    finish(world)
    assert (outcome(world), world.executions(), len(world.remotes())) == (
        expected,
        executions,
        remotes,
    )


def test_a_retry_after_the_recovery_bears_a_custom_id_that_was_never_used(
    new_world: NewWorld,
) -> None:
    world = new_world(script=[Rule(prompt="text 1", times=2, status=500)])
    world.write(items(3))
    world.submit()
    world.run_until(lambda: len(world.batches()) == 2)
    lose_home(world)
    recover(world)
    finish(world)
    assert world.tally() == {"succeeded": 3}
    assert custom_ids_once(world)
    assert sum(world.charges().values()) == 5


def test_the_items_of_other_numbers_are_found_by_their_ids(world: World) -> None:
    """The job was not the first of its home: its items had higher numbers than they get in the new ledger."""
    first = world.write(items(4), world.folder / "first.jsonl", job="first")
    world.write(items(3))
    world.submit(first)
    world.submit()
    world.run()
    expected = outcome(world)
    lose_home(world)
    recovered = recover(world)
    assert sorted(became(recovered)) == ["collected", "unclaimed"]
    assert outcome(world) == expected
    assert {row["custom_id"][0] for row in world.rows("select custom_id from asked_as")} <= set(
        "567"
    )
    finish(world)
    assert custom_ids_once(world)
    assert outcome(world) == expected


def test_items_in_another_order_get_their_own_answers(world: World) -> None:
    rows = items(6)
    world.write(rows)
    world.submit()
    lose_home(world)
    world.write(rows[::-1])
    recover(world)
    finish(world)
    assert world.answers() == {f"i{n}": f"Review: text {n}" for n in range(6)}
    assert sum(world.charges().values()) == 6


def test_items_without_ids_are_found_by_what_they_ask(world: World) -> None:
    world.write(texts("one", "two", "two", "three"), dedupe=False)
    expected = untroubled(world)
    lose_home(world)
    recovered = recover(world)
    assert (became(recovered), recovered.batches[0].items) == (["collected"], 4)
    finish(world)
    assert outcome(world) == expected
    assert sum(world.charges().values()) == 4


def test_twins_that_were_asked_in_two_batches_both_get_an_answer(new_world: NewWorld) -> None:
    world = new_world(limits=Limits(request_count=1))
    world.write(texts("one", "one", "one"), dedupe=False)
    expected = untroubled(world)
    lose_home(world)
    assert became(recover(world)) == ["collected"] * 3
    assert outcome(world) == expected


def test_what_was_never_sent_waits_until_somebody_submits(new_world: NewWorld) -> None:
    world = new_world(limits=SMALL)
    world.write(items(2))
    world.submit()
    lose_home(world)
    world.write(items(5))
    recovered = recover(world)
    (job,) = recovered.jobs
    assert (job.counts["in_flight"], job.counts["pending"], job.is_paused) == (2, 3, True)
    world.run()
    assert world.tally() == {"succeeded": 2, "pending": 3}
    assert len(world.remotes()) == 1
    finish(world)
    assert world.tally() == {"succeeded": 5}
    assert sum(world.charges().values()) == 5


def test_a_question_that_changed_since_is_another_question(world: World) -> None:
    rows = items(3)
    world.write(rows)
    world.submit()
    world.run()
    lose_home(world)
    rows[1]["text"] = "another text"
    world.write(rows)
    (batch,) = recover(world).batches
    assert (str(batch.became), batch.items, batch.unplaced) == ("collected", 2, 1)
    assert batch.folder is not None
    (line,) = (Path(batch.folder) / "results.jsonl").read_text().splitlines()
    assert '"output":"Review: text 1"' in line
    assert b"Review: text 1" in (Path(batch.folder) / "output.jsonl").read_bytes()
    finish(world)
    assert world.answers()["i1"] == "Review: another text"
    assert world.executions() == {1: 1, 2: 2, 3: 1}


def test_a_batch_that_was_created_while_nobody_learned_of_it_is_adopted(
    new_world: NewWorld,
) -> None:
    lost = [Fault(call="create", error=Ambiguous("timed out"), when="after")]
    world = new_world(faults=lost)
    world.write(items(3))
    world.submit()
    lose_home(world)
    assert became(recover(world)) == ["in_flight"]
    finish(world)
    assert sum(world.charges().values()) == 3


def test_a_creation_that_arrives_while_recover_waits_is_seen_by_its_second_look(
    world: World,
) -> None:
    world.wire.delays = (600,)
    world.write(items(3))
    world.submit()
    lose_home(world)
    recovered = recover(world)
    assert became(recovered) == ["in_flight"]
    finish(world)
    assert sum(world.charges().values()) == 3


def test_a_batch_that_is_listed_late_is_seen_by_the_second_look(world: World) -> None:
    world.wire.lag_s = 700
    world.write(items(3))
    world.submit()
    lose_home(world)
    assert became(recover(world)) == ["in_flight"]
    finish(world)
    assert sum(world.charges().values()) == 3


def test_nothing_is_sent_before_the_second_look(world: World) -> None:
    world.write(items(3))
    world.submit(send=False)
    lose_home(world)
    recovered = recover(world, waits=False)
    assert recovered.look_again_at == world.clock.now() + world.traits.settle_s
    world.submit()
    world.tick()
    assert world.remotes() == []
    world.clock.sleep_until(recovered.look_again_at)
    world.tick()
    assert world.remotes() == []
    assert recover(world).look_again_at is None
    finish(world)
    assert sum(world.charges().values()) == 3


def test_a_listing_that_breaks_off_ends_nothing(world: World) -> None:
    world.write(items(3))
    world.submit()
    lose_home(world)
    listed = world.backend.calls.count("list_batches")
    down = Fault(call="list_batches", error=Transient("down"), number=listed + 1)
    world.backend.add(down)
    recovered = recover(world)
    assert [str(problem) for problem in recovered.problems] == ["down"]
    assert recovered.look_again_at is not None
    world.submit()
    assert len(world.remotes()) == 1
    assert became(recover(world)) == ["in_flight"]


def test_recovering_twice_changes_nothing(world: World) -> None:
    world.write(items(4))
    expected = untroubled(world)
    lose_home(world)
    recover(world)
    before = world.rows("select * from item_rows") + world.rows("select * from batch_rows")
    assert became(recover(world)) == ["known"]
    after = world.rows("select * from item_rows") + world.rows("select * from batch_rows")
    assert after == before
    assert outcome(world) == expected
