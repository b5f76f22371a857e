"""Batches of other ledgers, other jobs and nobody's: told, kept, and never taken for ours by accident."""

import json
from pathlib import Path

import pytest
from recoverykit import became, finish, lose_home, recover
from runnerkit import NewWorld, World, items

from batchrun.errors import BackendError, UsageError
from batchrun.ledger.home import Home


def elsewhere(world: World, count: int) -> str:
    """Another home runs the same job on the same service; returns the id of its ledger."""
    ours = world.home
    (world.folder / "other").mkdir(exist_ok=True)
    world.home = Home(world.folder / "other" / ".batchrun")
    world.write(items(count, note="theirs"))
    world.submit()
    world.run()
    (row,) = world.rows("select value from meta where key = 'ledger'")
    world.home = ours
    return str(row["value"])


def test_batches_of_other_ledgers_are_left_alone(world: World) -> None:
    world.write(items(3))
    world.submit()
    world.run()
    elsewhere(world, 3)
    recovered = recover(world)
    assert became(recovered) == ["known", "foreign"]
    assert len(world.batches()) == 1


def test_a_new_ledger_does_not_guess_which_of_several_was_lost(world: World) -> None:
    theirs = elsewhere(world, 2)
    world.write(items(4))
    world.submit()
    world.run()
    (mine,) = world.rows("select value from meta where key = 'ledger'")
    lose_home(world)
    with pytest.raises(UsageError, match=r"several ledgers: l-.* --ledger ID"):
        recover(world)
    recovered = recover(world, ledgers=(mine["value"],))
    assert theirs not in recovered.ledgers
    assert became(recovered) == ["foreign", "collected"]
    finish(world)
    assert world.tally() == {"succeeded": 4}
    assert sum(world.executions().values()) == 6


def test_another_ledger_that_is_asked_for_lends_its_answers(world: World) -> None:
    theirs = elsewhere(world, 2)
    world.write(items(4))
    world.api().submit([world.job_file], send=False)
    recovered = recover(world, ledgers=(theirs,))
    assert became(recovered) == ["collected"]
    assert world.tally() == {"succeeded": 2, "pending": 2}
    finish(world)
    assert sum(world.executions().values()) == 4


def test_answers_of_a_job_without_its_file_are_kept_until_it_is_given(world: World) -> None:
    other = world.write(items(2), world.folder / "faq.jsonl", job="faq")
    world.write(items(3))
    world.submit(other)
    world.submit()
    world.run()
    lose_home(world)
    recovered = recover(world)
    assert sorted(became(recovered)) == ["collected", "unclaimed"]
    (unclaimed,) = [batch for batch in recovered.batches if batch.became == "unclaimed"]
    folder = Path(unclaimed.folder or "")
    assert folder.name == f"recovered-{unclaimed.remote_id}"
    lines = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    assert {line["output"] for line in lines} == {"Review: text 0", "Review: text 1"}
    assert {line["status"] for line in lines} == {"succeeded"}
    assert sorted(became(recover(world, other))) == ["collected", "known"]
    finish(world)
    world.submit(other)
    world.run()
    assert sum(world.charges().values()) == 5


def test_a_batch_of_which_some_requests_are_no_items_any_more_is_taken_in_part(
    world: World,
) -> None:
    world.write(items(5))
    world.submit()
    lose_home(world)
    world.write(items(3))
    (batch,) = recover(world).batches
    assert (str(batch.became), batch.items) == ("in_flight", 3)
    finish(world)
    assert world.tally() == {"succeeded": 3}
    (batch,) = recover(world).batches
    assert (str(batch.became), batch.unplaced) == ("known", 2)
    lines = (Path(batch.folder or "") / "results.jsonl").read_text().splitlines()
    assert {json.loads(line)["output"] for line in lines} == {"Review: text 3", "Review: text 4"}
    assert sum(world.charges().values()) == 5


def test_an_adopted_batch_that_the_service_refuses_yet_is_sent_again_with_its_items_only(
    new_world: NewWorld,
) -> None:
    world = new_world()
    world.write(items(4))
    world.submit()
    lose_home(world)
    world.write(items(4)[::-1][:3])
    (batch,) = recover(world).batches
    assert batch.items == 3
    (path,) = [p for p in world.home.requests.glob("*.jsonl") if p.read_bytes().count(b"\n") == 3][
        1:
    ]
    assert [json.loads(line)["custom_id"][0] for line in path.read_text().splitlines()] == [
        "2",
        "3",
        "4",
    ]
    finish(world)
    assert world.answers() == {f"i{n}": f"Review: text {n}" for n in (1, 2, 3)}


def test_a_service_whose_listing_tells_nothing_cannot_be_recovered_from(
    new_world: NewWorld,
) -> None:
    from dataclasses import replace

    from runnerkit import OPENAI

    world = new_world(traits=replace(OPENAI, listing_echoes=False))
    world.write(items(2))
    world.submit()
    lose_home(world)
    (problem,) = recover(world).problems
    assert isinstance(problem, BackendError)
    assert "shows no metadata" in str(problem)
