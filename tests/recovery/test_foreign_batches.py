"""Batches of other ledgers, other jobs and nobody's: told, kept, and never taken for ours by accident."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from recoverykit import became, finish, lose_home, recover
from runnerkit import OPENAI, NewWorld, World, items

from batchrun.errors import AuthError, BackendError, UsageError
from batchrun.ledger.home import Home
from batchrun.testing_backend import Fault


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
    assert set(world.incidents()) == {"unknown_result"}, "the others took the rest of its usage"
    (remote,) = world.remotes()
    usage = world.api().spend().total.usage
    assert usage.output_tokens == remote["usage"]["output_tokens"], "all of it was paid"


def test_an_adopted_batch_that_the_service_refuses_yet_goes_again_with_its_items_only(
    world: World,
) -> None:
    world.write(items(4))
    world.submit()
    lose_home(world)
    world.write(items(4)[:0:-1])
    (batch,) = recover(world).batches
    assert (str(batch.became), batch.items) == ("in_flight", 3)
    world.service.cancel_batch(batch.remote_id)
    full = {"code": "token_limit_exceeded", "message": "no room", "line": None, "param": None}
    world.wire.edit = lambda b: (
        replace(b, status="failed", errors=(full,)) if b.id == batch.remote_id else b
    )
    finish(world)
    assert world.answers() == {f"i{n}": f"Review: text {n}" for n in (1, 2, 3)}
    assert sum(world.charges().values()) == 3
    assert len(world.remotes()) == 2


def test_a_service_whose_listing_tells_nothing_cannot_be_recovered_from(
    new_world: NewWorld,
) -> None:
    world = new_world(traits=replace(OPENAI, listing_echoes=False))
    world.write(items(2))
    world.submit()
    lose_home(world)
    (problem,) = recover(world).problems
    assert isinstance(problem, BackendError)
    assert "shows no metadata" in str(problem)


def test_of_two_batches_of_one_intent_the_first_is_the_one(world: World) -> None:
    world.write(items(2))
    world.submit()
    (remote,) = world.remotes()
    again = ("input_file_id", "endpoint", "completion_window", "metadata")
    world.clock.advance(5)
    world.service.create_batch({key: remote[key] for key in again})
    world.serve()
    lose_home(world)
    first, second = recover(world).batches
    assert (str(first.became), first.remote_id) == ("collected", remote["id"])
    assert (str(second.became), second.note) == ("unclaimed", "a second batch of one intent")
    assert second.unplaced == 2
    finish(world)
    assert world.tally() == {"succeeded": 2}
    assert len(world.remotes()) == 2


def test_without_a_key_nothing_is_read_and_nothing_sent(world: World) -> None:
    world.write(items(2))
    world.submit()
    lose_home(world)
    asked = world.backend.calls.count("account")
    world.backend.add(Fault(call="account", error=AuthError("no key"), number=asked + 1))
    recovered = recover(world)
    assert isinstance(recovered.prepared[0].error, AuthError)
    assert recovered.batches == ()
    assert became(recover(world)) == ["in_flight"]


def test_a_name_of_a_batch_that_is_a_path_stays_in_the_outputs(world: World) -> None:
    other = world.write(items(1), world.folder / "faq.jsonl", job="faq")
    world.write(items(1))
    world.submit(other)
    world.submit()
    world.run()
    lose_home(world)
    world.wire.edit = lambda batch: (
        replace(batch, id="../../etc") if batch.metadata["batchrun_job"] == "faq" else batch
    )
    (folder,) = [Path(batch.folder) for batch in recover(world).batches if batch.folder]
    assert folder.parent == world.home.outputs
    assert folder.name.startswith("recovered-%2E")
