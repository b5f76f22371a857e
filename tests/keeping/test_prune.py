"""`prune`: what nothing needs any more goes, no answer with it, and nothing that may be sent again."""

import shutil
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from keepkit import dies, spool
from runnerkit import DAY_S, World, items

from batchrun.errors import UsageError
from batchrun.keeping import pruning
from batchrun.keeping.pruning import Pruned
from batchrun.ledger.jobs import find_jobs
from batchrun.ledger.lock import pass_lock
from batchrun.service.responders.script import Rule
from batchrun.testing import ManualClock

REFUSED = Rule(prompt="text 1", status=400, code="invalid_value", message="no")


def done(world: World, count: int = 3, **changes: Any) -> None:
    world.write(items(count), **changes)
    world.submit()
    world.run()


def prune(world: World, **settings: object) -> Pruned:
    (found,) = world.api().prune((), **settings)  # type: ignore[arg-type]  # keywords of the test
    return found


def test_a_job_that_is_answered_and_written_keeps_no_request_and_no_result_file(
    world: World,
) -> None:
    done(world)
    size = sum(p.stat().st_size for p in (world.home.path / "spool").rglob("*.jsonl"))
    assert spool(world) == ["1-output.jsonl", "1.jsonl"]
    found = prune(world)
    assert (found.file_count, found.bytes, found.kept) == (2, size, None)
    assert spool(world) == []
    assert prune(world).bytes == 0


def test_outputs_are_written_again_from_the_ledger_alone(world: World) -> None:
    done(world, output={"csv": True}, prompt="Review: {{ text }}")
    before = {p.name: p.read_bytes() for p in (world.home.outputs / "reviews").iterdir()}
    prune(world)
    shutil.rmtree(world.home.outputs)
    world.api().write_outputs("reviews")
    assert {p.name: p.read_bytes() for p in (world.home.outputs / "reviews").iterdir()} == before


def test_a_later_submit_finds_every_pruned_item_unchanged(world: World) -> None:
    done(world)
    prune(world)
    tally = world.submit().tally
    assert tally is not None
    assert (tally.unchanged, tally.new, tally.changed) == (3, 0, 0)
    world.run()
    assert set(world.executions().values()) == {1}


def test_a_changed_item_is_asked_anew_after_a_prune(world: World) -> None:
    done(world)
    prune(world)
    world.write([*items(2), {"id": "i2", "text": "another"}])
    world.submit()
    world.run()
    assert world.tally() == {"succeeded": 3}


def test_the_requests_of_failed_items_stay_and_can_be_sent_again(world: World) -> None:
    world.script.append(REFUSED)  # type: ignore[union-attr]
    done(world)
    assert world.tally() == {"succeeded": 2, "failed": 1}
    prune(world)
    assert spool(world) == ["1.jsonl"], "result files are collected; the request file is needed"
    world.script.clear()  # type: ignore[union-attr]
    world.api().retry("reviews")
    world.run()
    assert world.tally() == {"succeeded": 3}
    prune(world)
    assert spool(world) == []


def test_the_requests_of_cancelled_items_stay_since_a_submit_wants_them_again(world: World) -> None:
    world.write(items(3))
    world.submit(send=False)
    world.api().cancel("reviews")
    world.run()
    prune(world)
    assert spool(world) == ["1.jsonl"]
    world.submit()
    world.run()
    assert world.tally() == {"succeeded": 3}


def test_nothing_goes_while_items_are_open(world: World) -> None:
    world.write(items(3))
    world.submit()
    found = prune(world)
    assert (found.bytes, found.kept) == (0, "its outputs are not written yet")
    world.run()
    assert world.tally() == {"succeeded": 3}


def test_a_job_whose_outputs_were_deleted_keeps_its_spool(world: World) -> None:
    done(world)
    shutil.rmtree(world.home.outputs)
    found = prune(world)
    assert found.kept is not None
    assert str(world.home.outputs) in found.kept
    assert len(spool(world)) == 2
    world.api().write_outputs("reviews")
    assert prune(world).kept is None


def test_of_two_submissions_only_the_file_whose_items_are_all_answered_goes(world: World) -> None:
    done(world, 1)
    world.script.append(REFUSED)  # type: ignore[union-attr]
    world.write(items(3))
    world.submit()
    world.run()
    prune(world)
    assert spool(world) == ["2.jsonl"]


def test_only_what_is_old_enough_goes(world: World) -> None:
    done(world)
    world.clock.sleep_until(world.clock.now() + 10 * DAY_S)
    assert prune(world, older_than_s=11 * DAY_S).file_count == 0
    assert prune(world, older_than_s=10 * DAY_S).file_count == 2


def test_a_dry_run_says_the_same_and_removes_nothing(world: World) -> None:
    done(world)
    would = prune(world, is_dry_run=True)
    assert len(spool(world)) == 2
    assert prune(world) == would


def test_only_the_named_jobs_are_pruned(world: World) -> None:
    done(world)
    other = world.write(items(2), world.folder / "other.jsonl", job="other")
    world.submit(other)
    world.run()
    (found,) = world.api().prune(("other",))
    assert (found.job, found.file_count) == ("other", 2)
    assert spool(world) == ["1-output.jsonl", "1.jsonl"]


def test_a_named_item_whose_request_was_pruned_cannot_be_redone_and_the_way_is_told(
    world: World,
) -> None:
    done(world)
    prune(world)
    with pytest.raises(UsageError, match=r"item 'i1': its request was pruned.*batchrun forget"):
        world.api().retry("reviews", ("i1",), redo=True)


def test_redoing_a_job_takes_what_can_be_sent_and_counts_the_rest(world: World) -> None:
    done(world, 1)
    prune(world)
    world.write(items(3))
    world.submit()
    world.run()
    assert world.api().pruned_count("reviews") == 1
    assert world.api().retry("reviews", redo=True) == 2
    world.run()
    assert sorted(world.executions().values()) == [1, 2, 2]


def test_what_a_retry_took_while_a_prune_held_the_home_is_asked_again(world: World) -> None:
    done(world)
    with pass_lock(world.home, wait_s=0), world.ledger() as ledger:
        assert world.api().retry("reviews", ("i1",), redo=True) == 1
        jobs, now = find_jobs(ledger), world.clock.now()
        assert [found.file_count for found in pruning.prunable(ledger, jobs, now=now)] == [1]
        assert [found.file_count for found in pruning.prune(ledger, jobs, now=now)] == [1]
    world.run()
    assert sorted(world.executions().values()) == [1, 1, 2]
    assert spool(world) == ["1.jsonl", "2-output.jsonl", "2.jsonl"]
    assert prune(world).file_count == 3


class PruningClock(ManualClock):
    """Read when a retry is about to be written down, behind which a prune comes in between."""

    world: World

    def now(self) -> int:
        prune(self.world)
        return super().now()


@pytest.mark.parametrize("names", [(), ("i1",)])
def test_a_prune_that_overtakes_a_retry_is_told(world: World, names: tuple[str, ...]) -> None:
    done(world)
    clock = PruningClock(world.clock.now())
    clock.world = world
    retry = partial(replace(world.api(), clock=clock).retry, "reviews", names, redo=True)
    if names:
        with pytest.raises(UsageError, match="item 'i1': its request was pruned"):
            retry()
    else:
        assert retry() == 0
        assert world.api().pruned_count("reviews") == 3
    assert world.rows("select * from wishes") == []


def test_an_item_that_was_pruned_then_forgotten_is_asked_as_a_new_one(world: World) -> None:
    done(world)
    prune(world)
    world.api().forget("reviews", ("i1",))
    world.submit()
    world.run()
    assert world.tally() == {"succeeded": 3}
    assert sorted(world.executions()) == [1, 2, 3, 4]


def test_explain_says_what_was_pruned(world: World) -> None:
    done(world)
    before = world.api().explain("reviews", "i1")
    assert (before.request_pruned, before.attempts[0].raw_pruned) == (False, False)
    assert before.request is not None
    assert before.attempts[0].raw is not None
    prune(world)
    after = world.api().explain("reviews", "i1")
    assert (after.request, after.request_pruned) == (None, True)
    assert (after.attempts[0].raw, after.attempts[0].raw_pruned) == (None, True)
    assert after.output == before.output


def test_a_prune_that_is_killed_anywhere_is_finished_by_the_next(world: World) -> None:
    done(world)
    kill = 1
    while dies(world, lambda: world.api().prune(()), kill):
        prune(world)
        assert spool(world) == []
        kill += 1
        # The next round begins with files again.
        world.write(items(3 + kill))
        world.submit()
        world.run()
    assert kill > 4
    assert spool(world) == []


def test_result_files_of_which_only_the_name_was_recorded_are_found(world: World) -> None:
    """Whoever downloaded a file may have died before it was recorded: the next pass records it."""
    world.write(items(2))
    world.submit()
    world.serve()
    (remote,) = world.remotes()
    path = world.home.result_file(1, 0)
    world.backend.download(remote["output_file_id"], path)
    world.run()
    (row,) = world.rows("select * from result_files")
    assert (row["remote_file_id"], row["bytes"]) == (remote["output_file_id"], path.stat().st_size)
