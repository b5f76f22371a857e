"""Batches that the service refused after they were created: what is free, what is tried again, what ends."""

from dataclasses import replace
from typing import Any

import pytest
from runnerkit import DAY_S, NewWorld, World, items

from batchrun.backends.base import RemoteBatch
from batchrun.backends.reading import read_batch
from batchrun.errors import Ambiguous
from batchrun.model import JsonObject
from batchrun.service.options import Options
from batchrun.testing_backend import Fault


def ran(world: World, count: int = 3, **changes: Any) -> World:
    world.write(items(count), **changes)
    world.submit()
    world.run()
    return world


def failed_batch(world: World, times: int, *, but: str = "", **changes: Any) -> None:
    """The first so many batches are shown as failed in validation, with `changes`; they never run."""
    seen: dict[str, int] = {}

    def edit(batch: RemoteBatch) -> RemoteBatch:
        if batch.id == but:
            return batch
        number = seen.setdefault(batch.id, len(seen))
        if number >= times:
            return batch
        if batch.status not in {"cancelled", "cancelling"}:
            world.service.cancel_batch(batch.id)
        errors = changes.get("errors", ())
        raw = {
            **batch.raw,
            "status": "failed",
            "errors": {"object": "list", "data": list(errors)},
            **{k: v for k, v in changes.items() if k != "errors"},
        }

        return read_batch(raw)

    world.wire.edit = edit


TOKENS: JsonObject = {
    "code": "token_limit_exceeded",
    "message": "Enqueued token limit reached",
    "line": None,
}


@pytest.mark.fault(10)
def test_a_full_token_queue_costs_no_attempt_and_backs_off(new_world: NewWorld) -> None:
    world = new_world()
    failed_batch(world, 2, errors=[TOKENS])
    ran(world)
    assert world.tally() == {"succeeded": 3}
    assert {row["attempts"] for row in world.rows("select attempts from results")} == {1}
    assert len(world.batches()) == 1, "it kept its request file"
    created, refused = (
        [e["at"] for e in world.rows("select at from events where event = ? order by id", event)]
        for event in ("created", "upload_lost")
    )
    assert [
        b - a >= least for a, b, least in zip(refused, created[1:], (60, 180), strict=True)
    ] == [
        True,
        True,
    ]
    assert world.rows("select * from holds") == [], "the queue has room again"


@pytest.mark.fault(10)
def test_after_three_refusals_with_nothing_else_in_it_the_batch_is_cut_smaller(
    new_world: NewWorld,
) -> None:
    world = new_world(limits=new_limits(4))
    failed_batch(world, 3, errors=[TOKENS])
    ran(world, 4)
    assert world.tally() == {"succeeded": 4}
    assert max(b["request_count"] for b in world.batches()[-2:]) == 2


def new_limits(count: int) -> Any:
    from batchrun.model import Limits

    return Limits(request_count=count)


def test_token_refusals_never_fail_an_item_however_many(new_world: NewWorld) -> None:
    world = new_world()
    other = world.folder / "other.jsonl"
    world.write(items(1), other, job="other")
    world.submit(other)
    busy = world.remotes()[0]["id"]
    failed_batch(world, 10, errors=[TOKENS], but=busy)
    world.write(items(8))
    world.submit()
    refused = world.wire.edit
    world.wire.edit = lambda b: (
        refused(b)
        if b.id != busy
        else replace(b, status="in_progress", raw={**b.raw, "status": "in_progress"})
    )
    world.run_until(lambda: world.tally().get("succeeded") == 8)
    assert len(world.remotes()) == 12
    assert len(world.batches()) == 2, (
        "nothing was cut smaller, or anew, while another batch filled the queue"
    )


def test_a_single_request_that_never_fits_pauses_its_job(new_world: NewWorld) -> None:
    world = new_world()
    failed_batch(world, 100, errors=[TOKENS])
    ran(world, 1)
    (job,) = world.rows("select paused from jobs")
    assert "5 batches in a row" in job["paused"]
    assert world.tally() == {"pending": 1}
    world.wire.edit = lambda batch: batch
    world.submit()
    world.run()
    assert world.tally() == {"succeeded": 1}


def test_lines_that_the_validator_names_fail_and_the_rest_goes_again(new_world: NewWorld) -> None:
    world = new_world()
    failed_batch(world, 1, errors=[{"code": "invalid_request", "message": "bad", "line": 2}])
    ran(world)
    assert world.tally() == {"succeeded": 2, "failed": 1}
    assert world.failures() == {"i1": "rejected"}
    assert {row["attempts"] for row in world.rows("select attempts from results")} == {1}


def test_a_model_that_does_not_exist_fails_every_item_at_once(new_world: NewWorld) -> None:
    world = new_world(options=Options(models=frozenset({"other"})))
    ran(world, 150)
    assert world.tally() == {"failed": 150}
    assert len(world.remotes()) == 1


def test_a_failure_without_reason_is_tried_once_more_and_then_final(new_world: NewWorld) -> None:
    world = new_world()
    failed_batch(world, 9)
    ran(world)
    assert world.tally() == {"failed": 3}
    assert len(world.remotes()) == 2
    assert world.incidents() == []


def test_a_file_that_the_validator_cannot_find_is_uploaded_again(new_world: NewWorld) -> None:
    world = new_world()
    error = {"code": "invalid_request", "message": "Cannot find file file-1, or no access"}
    failed_batch(world, 2, errors=[error])
    ran(world)
    assert world.tally() == {"succeeded": 3}
    (batch,) = world.batches()
    assert batch["uploads"] == 3
    assert world.incidents() == [], "earlier failed creates of the same row are no duplicates"


def test_a_lost_answer_after_a_failed_create_is_not_mistaken_for_it(new_world: NewWorld) -> None:
    """The failed batch bears our token too; what matters is the one that may be on its way with the new file."""
    world = new_world()
    error = {"code": "invalid_request", "message": "Cannot find file file-1"}
    failed_batch(world, 1, errors=[error])
    world.wire.delays = (0, 2_000)
    ran(world)
    assert world.tally() == {"succeeded": 3}
    assert set(world.executions().values()) == {1}


@pytest.mark.parametrize(
    "traces",
    [
        {"in_progress_at": 1_790_000_000},
        {"request_counts": {"total": 3, "completed": 1, "failed": 0}},
        {"usage": {"total_tokens": 7}},
    ],
)
def test_a_failed_batch_that_had_begun_is_not_free(new_world: NewWorld, traces: JsonObject) -> None:
    world = new_world()
    failed_batch(world, 1, errors=[{"code": "server_error", "message": "oops"}], **traces)
    ran(world)
    assert world.failures() == {"i0": "lost_result", "i1": "lost_result", "i2": "lost_result"}
    assert len(world.remotes()) == 1


def test_five_batches_in_a_row_without_an_answer_pause_the_job(new_world: NewWorld) -> None:
    world = new_world(options=Options(validating_s=2 * DAY_S))

    def cancelled(batch: RemoteBatch) -> RemoteBatch:
        return replace(batch, status="cancelled", raw={**batch.raw, "status": "cancelled"})

    world.wire.edit = cancelled
    ran(world)
    assert len(world.batches()) == 5
    (job,) = world.rows("select paused from jobs")
    assert "batch ended cancelled" in job["paused"]
    assert world.tally() == {"pending": 3}


def test_a_paused_job_sends_nothing_more(new_world: NewWorld) -> None:
    world = new_world()
    world.write(items(3))
    world.submit(send=False)
    with world.ledger() as ledger, ledger.transaction():
        ledger.execute("update jobs set paused = 'to be looked at'")
    assert world.tick().next_at is None
    assert world.remotes() == []


def test_a_create_that_is_nowhere_can_be_declared_absent_although_an_earlier_one_failed(
    new_world: NewWorld,
) -> None:
    """The earlier one is listed with our token, and is known dead."""
    world = new_world(faults=[Fault(call="create", error=Ambiguous("timed out"), number=2)])
    error = {"code": "invalid_request", "message": "Cannot find file file-1"}
    failed_batch(world, 1, errors=[error])
    world.write(items(3))
    world.submit()
    while world.backend.calls.count("create") < 2:
        world.clock.advance(60)
        world.tick()
    assert world.api().resolve(1, remote_id=None).state == "planned"
    world.run()
    assert world.tally() == {"succeeded": 3}
    assert set(world.executions().values()) == {1}
