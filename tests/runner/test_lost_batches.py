"""What was given up as lost is looked for: when it is there again, it is collected, and nothing newer is overwritten."""

from collections.abc import Callable

import pytest
from runnerkit import DAY_S, NewWorld, World, items

from batchrun.backends.base import BatchPage
from batchrun.errors import Ambiguous, NotFound
from batchrun.service.responders.script import Rule
from batchrun.testing_backend import Fault


def vanish(world: World) -> Callable[[], None]:
    """The service answers 404 for every batch and shows none; returns what brings them back."""
    gone = Fault(call="retrieve", error=NotFound("no such batch", status=404), number=None)
    world.backend.add(gone)
    page, world.wire.page = world.wire.page, lambda _: BatchPage(batches=(), has_more=False)

    def back() -> None:
        world.backend._script.remove(gone)
        world.wire.page = page

    return back


def lost(world: World, count: int = 3) -> Callable[[], None]:
    """Send items and lose their batch; returns what brings it back."""
    world.write(items(count))
    world.submit()
    back = vanish(world)
    world.serve()
    world.run_until(lambda: world.batches()[0]["name"] == "lost")
    assert set(world.failures().values()) == {"lost_result"}
    return back


def test_a_lost_batch_that_is_there_again_is_collected_by_the_next_daily_look(world: World) -> None:
    back = lost(world)
    lost_at = world.clock.now()
    back()
    world.run()
    assert world.tally() == {"succeeded": 3}
    assert set(world.executions().values()) == {1}
    assert world.batches()[0]["collected_at"] <= lost_at + DAY_S + 60
    assert world.incidents() == []
    assert world.output("results.jsonl").count(b"Review: text") == 3
    assert ("reappeared", 1) in [(event, facts.get("batch")) for event, facts in world.events]


def test_it_is_asked_for_once_a_day_and_no_longer_than_results_live(world: World) -> None:
    lost(world)
    created_at = world.batches()[0]["created_at"]
    before = world.backend.calls.count("retrieve")
    world.run()
    looks = world.backend.calls.count("retrieve") - before
    assert 28 <= looks <= 30
    assert world.clock.now() < created_at + 30 * DAY_S
    assert world.tally() == {"failed": 3}


def test_a_lost_batch_that_still_runs_is_waited_for(new_world: NewWorld) -> None:
    world = new_world()
    world.write(items(3))
    world.submit()
    back = vanish(world)
    while world.batches()[0]["name"] != "lost":
        result = world.tick()
        assert result.next_at is not None
        world.clock.sleep_until(result.next_at)
    back()
    world.clock.advance(DAY_S - 3_600)
    world.tick()
    assert world.batches()[0]["name"] == "lost", "it has not ended"
    world.run()
    assert world.tally() == {"succeeded": 3}


def test_an_item_that_was_asked_again_keeps_its_newer_answer(world: World) -> None:
    back = lost(world)
    world.embedded.service.work(1.0)
    world.api().retry("reviews", ["i1"], rerun_lost=True)
    world.backend._script.clear()
    world.run_until(lambda: world.states()["i1"] == "succeeded")
    assert world.states() == {"i0": "failed", "i1": "succeeded", "i2": "failed"}
    world.backend.add(gone := Fault(call="retrieve", error=NotFound("no", status=404), number=None))
    back_again = (back, gone)
    world.backend._script.remove(back_again[1])
    world.run()
    assert world.tally() == {"succeeded": 3}
    assert world.rows("select batch from results where id = 'i1'") == [{"batch": 2}]
    assert world.incidents() == ["paid_twice", "usage_differs"]
    row, differs = world.rows("select message from incidents order by id")
    assert "1 of its lines are no answer of an item" in differs["message"]
    assert "2-1-" in row["message"]
    assert "--rerun-lost" in row["message"]
    assert sorted(world.executions().values()) == [1, 1, 2]


def test_a_reappeared_batch_that_expired_leaves_its_items_to_be_asked_again_free(
    new_world: NewWorld,
) -> None:
    world = new_world(script=[Rule(prompt="text 1", times=1, delay_s=2 * DAY_S)])
    world.write(items(3))
    world.submit()
    back = vanish(world)
    world.serve()
    world.run_until(lambda: world.batches()[0]["name"] == "lost")
    back()
    world.run()
    assert world.tally() == {"succeeded": 3}
    assert set(world.executions().values()) == {1}
    assert world.rows("select attempts from results where id = 'i1'") == [{"attempts": 1}]


def test_attempts_before_the_lost_one_still_count(new_world: NewWorld) -> None:
    world = new_world(script=[Rule(prompt="text 1", times=1, status=500)])
    world.write(items(2))
    world.submit()
    world.run_until(lambda: len(world.batches()) == 2 and world.batches()[1]["name"] == "created")
    back = vanish(world)
    world.serve()
    world.run_until(lambda: world.batches()[1]["name"] == "lost")
    assert world.failures() == {"i1": "lost_result"}
    back()
    world.run()
    assert world.rows("select attempts from results order by id") == [
        {"attempts": 1},
        {"attempts": 2},
    ]
    assert world.rows("select count(*) as n from history") == [{"n": 1}]


@pytest.mark.fault(3)
def test_result_files_that_come_back_are_collected(world: World) -> None:
    gone = Fault(call="download", error=NotFound("no such file", status=404), number=None)
    world.backend.add(gone)
    world.write(items(3))
    world.submit()
    world.run_until(lambda: world.batches()[0]["name"] == "lost")
    assert set(world.failures().values()) == {"lost_result"}
    world.backend._script.remove(gone)
    world.run()
    assert world.tally() == {"succeeded": 3}
    assert world.incidents() == []


def test_what_one_of_two_files_settled_is_no_news_when_the_other_comes_back(
    new_world: NewWorld,
) -> None:
    world = new_world(script=[Rule(prompt="text 1", status=400)])
    world.write(items(3))
    world.submit()
    world.serve()
    (remote,) = world.remotes()
    output = remote["output_file_id"]
    download = world.wire.download
    is_gone = True

    def without_output(file_id: str, path: object) -> int:
        if is_gone and file_id == output:
            raise NotFound("no such file", status=404)
        return download(file_id, path)  # type: ignore[arg-type]

    world.wire.download = without_output  # type: ignore[method-assign]
    # The error file was fetched by a pass that died before the output file was asked for.
    world.run_until(lambda: world.batches()[0]["name"] == "ended")
    download(remote["error_file_id"], world.home.result_file(1, 1))
    world.run_until(lambda: world.batches()[0]["name"] == "lost")
    assert world.failures()["i1"] != "lost_result"
    is_gone = False
    world.run()
    assert world.tally() == {"succeeded": 2, "failed": 1}
    assert world.incidents() == []


def test_an_intent_that_grew_too_old_is_still_found_when_its_batch_shows_up(
    new_world: NewWorld,
) -> None:
    world = new_world(faults=[Fault(call="create", error=Ambiguous("timed out"), when="after")])
    world.write(items(3))
    world.submit()
    world.serve()
    page, world.wire.page = world.wire.page, lambda _: BatchPage(batches=(), has_more=True)
    world.clock.advance(8 * DAY_S)
    world.wire.page = lambda _: BatchPage(batches=(), has_more=False)
    world.run_until(lambda: world.batches()[0]["name"] == "lost")
    world.wire.page = page
    world.run()
    assert world.tally() == {"succeeded": 3}
    assert set(world.executions().values()) == {1}


def test_another_account_does_not_look(world: World) -> None:
    from dataclasses import replace

    back = lost(world)
    back()
    ours = world.wire.identity
    world.wire.identity = replace(ours, project="proj-2")
    calls = len(world.backend.calls)
    world.clock.advance(DAY_S)
    world.tick()
    assert set(world.backend.calls[calls:]) == {"account"}
    world.wire.identity = ours
    world.run()
    assert world.tally() == {"succeeded": 3}
