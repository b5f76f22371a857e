"""A backup of the ledger from before a `prune`: what its items ask is not in the spool any more, and their answers find them all the same."""

import json
from pathlib import Path

import pytest
from crashkit import outcome
from recoverykit import back_up, became, finish, recover, restore_database
from runnerkit import NewWorld, World, items, texts

from batchrun.errors import Refused
from batchrun.model import JsonObject, Limits
from batchrun.recovery.found import FoundBatch, Recovered
from batchrun.recovery.recovering import RecoverOptions
from batchrun.running.cutting import cut_queued
from batchrun.running.form import form_from_file
from batchrun.testing_backend import Fault


def recover_what_is_known(world: World, *, by_id: bool = False) -> Recovered:
    """`batchrun recover`, without any job file."""
    return world.api().recover((), RecoverOptions(takes_unproven=by_id))


def queued(world: World, rows: list[JsonObject]) -> Path:
    """The items queued and not sent yet; returns a backup of that moment."""
    world.write(rows, dedupe=False)
    world.submit(send=False)
    return back_up(world)


def change(world: World, rows: list[JsonObject]) -> None:
    """The job file of today, all of it in one batch."""
    world.write(rows, dedupe=False)
    world.submit(send=False)
    with world.ledger() as ledger:
        with ledger.transaction():
            ledger.execute("insert into queue select id, job, 0 from item_rows")
        assert len(cut_queued(ledger, 1, Limits(), world.clock.now())) == 1


def pruned_since(world: World, backup: Path, *, is_input_gone: bool = False) -> None:
    """All is answered, the spool pruned, and only then the ledger of the backup put back."""
    world.run()
    (freed,) = world.api().prune()
    assert freed.file_count > 0
    if is_input_gone:
        for remote in world.remotes():
            world.service.delete_file(remote["input_file_id"])
    restore_database(world, backup)


def kept(batch: FoundBatch) -> list[str]:
    """The answers that went to a folder."""
    assert batch.folder is not None
    lines = (Path(batch.folder) / "results.jsonl").read_text().splitlines()
    return sorted(json.loads(line)["output"] for line in lines)


@pytest.mark.parametrize("is_input_gone", [False, True])
@pytest.mark.parametrize("rows", [items(5), texts("a", "b", "a", "c")], ids=["ids", "no-ids"])
def test_answers_find_items_whose_requests_were_pruned(
    new_world: NewWorld, rows: list[JsonObject], is_input_gone: bool
) -> None:
    world = new_world(limits=Limits(request_count=2))
    backup = queued(world, rows)
    pruned_since(world, backup, is_input_gone=is_input_gone)
    recovered = recover_what_is_known(world)
    assert set(became(recovered)) == {"collected"}
    assert world.tally() == {"succeeded": len(rows)}
    assert {answer.removeprefix("Review: ") for answer in world.answers().values()} == {
        row["text"] for row in rows
    }
    finish(world)
    assert set(world.executions().values()) == {1}


def test_an_item_that_changed_since_does_not_get_the_answer_to_its_newer_question(
    world: World,
) -> None:
    rows = items(3)
    backup = queued(world, rows)
    rows[1]["text"] = "another"
    change(world, rows)
    pruned_since(world, backup)
    (batch,) = recover_what_is_known(world).batches
    assert (batch.items, batch.unplaced, kept(batch)) == (2, 1, ["Review: another"])
    assert world.states() == {"i0": "succeeded", "i1": "pending", "i2": "succeeded"}
    finish(world)
    assert world.answers()["i1"] == "Review: another"
    world.api().prune()  # what the missing file held is needed no more, and is known to be gone


@pytest.mark.parametrize("is_input_gone", [False, True])
def test_the_job_file_of_today_brings_the_newer_answer(world: World, is_input_gone: bool) -> None:
    rows = items(3)
    backup = queued(world, rows)
    rows[1]["text"] = "another"
    change(world, rows)
    pruned_since(world, backup, is_input_gone=is_input_gone)
    assert became(recover(world)) == ["collected"]
    assert world.tally() == {"succeeded": 3}
    finish(world)
    assert world.answers()["i1"] == "Review: another"
    assert set(world.executions().values()) == {1}


def test_where_nothing_proves_what_was_asked_the_answers_are_kept_and_told(world: World) -> None:
    """The input file is gone here and there, and an item has changed: which one cannot be known."""
    rows = items(3)
    backup = queued(world, rows)
    rows[1]["text"] = "another"
    change(world, rows)
    pruned_since(world, backup, is_input_gone=True)
    recovered = recover_what_is_known(world)
    (batch,) = recovered.batches
    assert str(batch.became) == "unclaimed"
    assert "--by-id" in (batch.note or "")
    assert kept(batch) == ["Review: another", "Review: text 0", "Review: text 2"]
    assert (world.tally(), recovered.jobs[0].is_paused) == ({"pending": 3}, True)
    assert became(recover_what_is_known(world, by_id=True)) == ["collected"]
    assert world.tally() == {"succeeded": 3}


@pytest.mark.parametrize("is_input_gone", [False, True])
def test_items_that_exchanged_their_questions_do_not_get_each_others_answers(
    world: World, is_input_gone: bool
) -> None:
    """Their requests stand in the batch in the order of the files, which is now that of the items: only the numbers tell them apart."""
    rows = items(3)
    backup = queued(world, rows)
    rows[2]["text"] = "text 1"
    world.write(rows, dedupe=False)
    world.submit(send=False)
    rows[1]["text"] = "text 2"
    change(world, rows)
    pruned_since(world, backup, is_input_gone=is_input_gone)
    recover_what_is_known(world)
    assert world.answers() == ({} if is_input_gone else {"i0": "Review: text 0"})
    recover(world)
    finish(world)
    world.api().prune()
    assert [world.answers()[name] for name in ("i1", "i2")] == ["Review: text 2", "Review: text 1"]


def test_a_batch_that_was_planned_gives_its_items_to_those_that_it_was_cut_into(
    new_world: NewWorld,
) -> None:
    refusal = Fault(call="create", error=Refused("too large", status=413), number=1)
    world = new_world(faults=[refusal])
    world.write(items(4))
    world.submit(send=False)
    with world.ledger() as ledger:
        assert form_from_file(ledger, 1, world.clock.now()) is not None
    backup = back_up(world)
    pruned_since(world, backup)
    assert became(recover_what_is_known(world)) == ["collected"] * 2
    assert world.batches()[0]["name"] == "rejected"
    assert world.tally() == {"succeeded": 4}


def test_results_that_were_pruned_since_are_known_to_be_removed(world: World) -> None:
    """The tests' own end checks every invariant: none of the files is missed."""
    world.write(items(3))
    world.submit()
    world.run()
    expected, backup = outcome(world), back_up(world)
    pruned_since(world, backup)
    assert became(recover_what_is_known(world)) == ["known"]
    assert world.rows("select 1 from result_files where removed_at is null") == []
    finish(world)
    assert outcome(world) == expected
