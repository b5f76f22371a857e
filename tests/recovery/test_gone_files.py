"""What the service no longer has: input files, answers, and whole batches' worth of both."""

import json
from pathlib import Path

import pytest
from crashkit import outcome
from recoverykit import became, finish, lose_home, recover, untroubled
from runnerkit import NewWorld, World, items, texts

from batchrun.errors import NotFound
from batchrun.model import JsonObject
from batchrun.service.responders.script import Rule
from batchrun.testing_backend import Fault


def delete_file(world: World, kind: str) -> None:
    """Delete this file of every batch at the far end."""
    for remote in world.remotes():
        if remote[kind] is not None:
            world.service.delete_file(remote[kind])


def answers_in(folder: str | None) -> list[JsonObject]:
    assert folder is not None
    return [json.loads(line) for line in (Path(folder) / "results.jsonl").read_text().splitlines()]


def test_without_its_input_file_a_batch_is_mapped_by_its_ids_and_its_hash(
    new_world: NewWorld,
) -> None:
    world = new_world(script=[Rule(prompt="text 1", status=400)])
    world.write(items(4))
    expected = untroubled(world)
    delete_file(world, "input_file_id")
    lose_home(world)
    recovered = recover(world)
    assert (became(recovered), recovered.batches[0].items) == (["collected"], 4)
    assert outcome(world) == expected
    finish(world)
    assert sum(world.charges().values()) == 4


@pytest.mark.parametrize("change", ["changed", "vanished"])
def test_without_its_input_file_no_answer_goes_to_what_may_be_another_question(
    world: World, change: str
) -> None:
    rows = items(3)
    world.write(rows)
    expected = untroubled(world)
    delete_file(world, "input_file_id")
    lose_home(world)
    world.write([*rows[:2], {"id": "i2", "text": "another"}] if change == "changed" else rows[:2])
    (batch,) = recover(world).batches
    assert (str(batch.became), batch.unplaced) == ("unclaimed", 3)
    assert "--by-id" in (batch.note or "")
    assert set(world.states().values()) == {"pending"}
    world.write(rows)
    assert became(recover(world)) == ["collected"]
    assert outcome(world) == expected
    finish(world)
    assert sum(world.charges().values()) == 3


def test_a_person_may_let_the_ids_alone_decide(world: World) -> None:
    world.write(items(3))
    world.submit()
    world.run()
    delete_file(world, "input_file_id")
    lose_home(world)
    world.write(items(2))
    (batch,) = recover(world, takes_unproven=True).batches
    assert (str(batch.became), batch.items, batch.unplaced) == ("collected", 2, 1)
    assert world.tally() == {"succeeded": 2}


def test_items_without_ids_and_without_requests_are_kept_for_people(world: World) -> None:
    world.write(texts("one", "two"))
    world.submit()
    world.run()
    delete_file(world, "input_file_id")
    lose_home(world)
    (batch,) = recover(world).batches
    assert (str(batch.became), batch.unplaced) == ("unclaimed", 2)
    found = answers_in(batch.folder)
    assert {line["output"] for line in found} == {"Review: one", "Review: two"}
    assert world.tally() == {"pending": 2}
    world.run()
    assert sum(world.charges().values()) == 2


@pytest.mark.fault(3)
def test_answers_that_are_gone_are_lost_and_not_asked_again(world: World) -> None:
    world.write(items(3))
    world.submit()
    world.run()
    delete_file(world, "output_file_id")
    lose_home(world)
    world.clock.advance(86_400)
    (batch,) = recover(world).batches
    assert str(batch.became) == "collected"
    assert batch.note == "the service no longer has the result files of this batch"
    finish(world)
    assert world.failures() == dict.fromkeys(("i0", "i1", "i2"), "lost_result")
    assert sum(world.charges().values()) == 3


def test_a_batch_of_which_nothing_is_left_is_told(world: World) -> None:
    world.write(items(3))
    world.submit()
    world.run()
    delete_file(world, "output_file_id")
    delete_file(world, "input_file_id")
    lose_home(world)
    (batch,) = recover(world).batches
    assert str(batch.became) == "gone"
    assert "3 answers" in (batch.note or "")
    world.run()
    assert world.tally() == {"pending": 3}
    assert sum(world.charges().values()) == 3


def test_a_batch_that_runs_without_its_input_file_holds_everything_back(world: World) -> None:
    world.write(items(3))
    world.submit()
    lose_home(world)
    hidden = Fault(call="download", error=NotFound("gone", status=404), number=1)
    world.backend.add(hidden)
    recovered = recover(world)
    assert became(recovered) == ["waiting"]
    assert recovered.look_again_at is not None
    world.submit()
    world.tick()
    assert len(world.remotes()) == 1
    world.serve()
    delete_file(world, "input_file_id")
    assert became(recover(world)) == ["collected"]
    finish(world)
    assert world.tally() == {"succeeded": 3}
    assert sum(world.charges().values()) == 3


def test_a_batch_that_expired_half_way_leaves_the_rest_to_be_asked(new_world: NewWorld) -> None:
    world = new_world()
    world.write(items(4))
    world.submit()
    world.service.work(0)
    world.clock.advance(2 * 86_400)
    world.serve()
    lose_home(world)
    assert became(recover(world)) == ["collected"]
    assert world.tally() == {"pending": 4}
    finish(world)
    assert world.tally() == {"succeeded": 4}
    assert sum(world.charges().values()) == 4
