"""Services that say odd things: late file ids, ends that are taken back, listings that do not work, one batch that spoils the rest."""

from dataclasses import replace
from typing import Any

import pytest
from runnerkit import DAY_S, NewWorld, World, items

from batchrun.backends.base import BatchPage, RemoteBatch
from batchrun.backends.reading import read_batch
from batchrun.errors import BackendError, NotFound, Refused, Transient
from batchrun.model import Limits
from batchrun.service.options import Options
from batchrun.testing_backend import Fault


def edited(batch: RemoteBatch, **changes: Any) -> RemoteBatch:
    return read_batch({**batch.raw, **changes})


def without_files(world: World, status: str, *, until_s: int) -> None:
    """The first so many seconds after a batch was first seen in `status`, its files are not shown."""
    seen: list[int] = []

    def edit(batch: RemoteBatch) -> RemoteBatch:
        if batch.status != status:
            return batch
        seen.append(world.clock.now())
        late = world.clock.now() - seen[0] < until_s
        return edited(batch, output_file_id=None, error_file_id=None) if late else batch

    world.wire.edit = edit


# -- ends ---------------------------------------------------------------------------------------------------------------------


def cancelled_half_way(world: World) -> None:
    world.write(items(3))
    world.submit()
    world.serve()
    world.clock.advance(150)
    world.serve()
    (remote,) = world.remotes()
    world.service.cancel_batch(remote["id"])


@pytest.mark.fault(23)
def test_an_expired_batch_whose_files_are_shown_late_is_not_bought_again(
    new_world: NewWorld,
) -> None:
    world = new_world(options=Options(line_s=40_000))
    without_files(world, "expired", until_s=300)
    world.write(items(3))
    world.submit()
    world.run()
    assert world.tally() == {"succeeded": 3}
    assert set(world.executions().values()) == {1}


@pytest.mark.fault(23)
def test_a_cancelled_batch_whose_files_are_shown_late_is_not_bought_again(
    new_world: NewWorld,
) -> None:
    world = new_world(options=Options(line_s=100))
    without_files(world, "cancelled", until_s=300)
    cancelled_half_way(world)
    world.run()
    assert world.tally() == {"succeeded": 3}
    assert set(world.executions().values()) == {1}


def test_a_cancelled_batch_that_never_shows_its_answers_is_lost_not_bought_again(
    new_world: NewWorld,
) -> None:
    world = new_world(options=Options(line_s=100))
    without_files(world, "cancelled", until_s=9 * DAY_S)
    cancelled_half_way(world)
    world.run_until(lambda: world.batches()[0]["name"] == "lost")
    assert set(world.failures().values()) == {"lost_result"}
    assert len(world.remotes()) == 1


def test_an_end_that_is_taken_back_is_waited_for(new_world: NewWorld) -> None:
    world = new_world()
    shown = 0

    def edit(batch: RemoteBatch) -> RemoteBatch:
        nonlocal shown
        if batch.status != "completed":
            return batch
        shown += 1
        if shown == 1:
            return edited(batch, output_file_id=None)
        if shown < 8:
            return edited(batch, output_file_id=None, status="finalizing")
        return batch

    world.wire.edit = edit
    world.write(items(3))
    world.submit()
    world.run()
    assert shown == 8
    assert world.tally() == {"succeeded": 3}


# -- polling ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [NotFound("no such route", status=404), Transient("not implemented", status=501)],
    ids=["404", "501"],
)
def test_a_server_without_a_listing_is_polled_batch_by_batch(
    new_world: NewWorld, error: BackendError
) -> None:
    listing = Fault(call="list_batches", error=error, number=None)
    world = new_world(
        limits=Limits(request_count=1), faults=[listing], options=Options(line_s=9_000)
    )
    world.write(items(4))
    world.submit()
    world.run()
    assert world.tally() == {"succeeded": 4}
    calls = world.backend.calls
    assert calls.count("list_batches") < calls.count("retrieve") / 8, "it is not asked each time"


@pytest.mark.parametrize(
    "error",
    [Refused("not this one", status=400), Transient("it breaks the server", status=500)],
    ids=["400", "500"],
)
def test_one_batch_that_cannot_be_asked_for_does_not_keep_the_others_waiting(
    new_world: NewWorld, error: BackendError
) -> None:
    world = new_world(limits=Limits(request_count=1))
    world.write(items(4))
    world.submit()
    poisoned = min(b["remote_id"] for b in world.batches())
    retrieve = world.wire.retrieve

    def refuse(batch_id: str) -> RemoteBatch:
        if batch_id == poisoned:
            raise error
        return retrieve(batch_id)

    world.wire.retrieve = refuse  # type: ignore[method-assign]
    world.wire.page = lambda page: replace(page, batches=(), has_more=False)
    begin = world.clock.now()
    world.run_until(lambda: world.tally().get("succeeded") == 3)
    assert world.clock.now() - begin < 1_800
    (waiting,) = [b for b in world.batches() if b["name"] != "collected"]
    assert waiting["reason"] == str(error)


def test_a_failing_call_does_not_touch_what_was_observed_before_it(new_world: NewWorld) -> None:
    world = new_world(limits=Limits(request_count=1), options=Options(line_s=9_000))
    world.write(items(3))
    world.submit()
    world.wire.page = lambda page: replace(page, batches=(), has_more=False)
    world.backend.add(Fault(call="retrieve", error=Transient("502", status=502), number=2))
    world.clock.advance(61)
    world.tick()
    assert [b["reason"] for b in world.batches()] == [None, "502", "502"]


@pytest.mark.fault(21)
def test_an_unknown_status_is_an_incident_at_once_and_a_problem_after_two_days(
    world: World,
) -> None:
    world.wire.edit = lambda b: edited(b, status="pondering")
    world.write(items(1))
    world.submit()
    world.clock.advance(100)
    assert world.tick().problems == ()
    assert world.incidents() == ["unknown_status"]
    world.clock.advance(49 * 3_600)
    result = world.tick()
    assert "'pondering'" in str(result.problems[0])
    assert result.next_at is not None
    assert result.next_at - world.clock.now() >= 3_600
    assert world.incidents() == ["unknown_status"]
    world.wire.edit = lambda b: b
    world.run()
    assert world.tally() == {"succeeded": 1}


# -- creating -----------------------------------------------------------------------------------------------------------------


def test_a_listing_without_a_date_before_the_fence_delays_the_new_create_and_loses_nothing(
    new_world: NewWorld,
) -> None:
    world = new_world()
    world.wire.delays = (None,)

    def dateless(page: BatchPage) -> BatchPage:
        (batch,) = world.batches()
        return page if batch["fenced_at"] else replace(page, server_time=None)

    world.wire.page = dateless
    world.write(items(2))
    world.submit()
    begin = world.clock.now()
    world.run()
    assert world.tally() == {"succeeded": 2}
    assert world.clock.now() - begin < DAY_S


def test_an_answer_that_names_another_batch_of_ours_is_a_doubt(new_world: NewWorld) -> None:
    world = new_world(limits=Limits(request_count=2))
    create, first = world.wire.create, []

    def same_id(**call: Any) -> RemoteBatch:
        made = create(**call)
        first.append(made)
        return edited(made, id=first[0].id, input_file_id=None)

    world.wire.create = same_id  # type: ignore[method-assign]
    world.write(items(4))
    world.submit()
    world.run()
    assert world.tally() == {"succeeded": 4}
    assert set(world.executions().values()) == {1}
    assert "doubt" in [event for event, _ in world.events]


def test_refused_creates_are_no_duplicates_where_listings_show_no_input_files(
    new_world: NewWorld,
) -> None:
    world = new_world()
    refused: list[str] = []

    def edit(batch: RemoteBatch) -> RemoteBatch:
        if not refused:
            refused.append(batch.id)
            world.service.cancel_batch(batch.id)
        if batch.id not in refused:
            return batch
        error = {"code": "invalid_request", "message": "Cannot find file file-1, or no access"}
        return edited(batch, status="failed", errors={"data": [error]})

    world.wire.edit = edit
    world.wire.page = lambda page: replace(
        page, batches=tuple(replace(b, input_file_id=None) for b in page.batches)
    )
    world.wire.delays = (0, None)
    world.write(items(2))
    world.submit()
    world.run()
    assert world.tally() == {"succeeded": 2}
    assert world.incidents() == []


def test_a_refusal_that_speaks_of_a_profile_is_not_about_the_file(new_world: NewWorld) -> None:
    refusal = Refused("your billing profile does not exist here", status=400, code="no_profile")
    world = new_world(faults=[Fault(call="create", error=refusal, number=None)])
    world.write(items(2))
    world.submit()
    world.run()
    assert set(world.failures().values()) == {"rejected"}
    assert world.backend.calls.count("create") == 2, "once more with a new upload, as any refusal"


# -- a full queue -------------------------------------------------------------------------------------------------------------


def test_a_full_queue_of_tokens_costs_a_few_uploads_a_batch_and_no_copies(
    new_world: NewWorld,
) -> None:
    world = new_world(limits=Limits(request_count=10), options=Options(queue_tokens=900, line_s=60))
    world.write([{"id": f"i{n}", "text": "x" * 100} for n in range(120)], dedupe=False)
    world.submit()
    world.run()
    assert world.tally() == {"succeeded": 120}
    assert len(world.batches()) == 12, "each kept its request file"
    assert world.rows("select * from holds") == []
    # All at once in the beginning, then each a few times while the one before it runs; never all for each one that had room.
    assert world.backend.calls.count("upload") <= 12 * 5


def test_a_batch_that_is_too_large_for_an_empty_queue_leaves_no_copies_behind(
    new_world: NewWorld,
) -> None:
    world = new_world(limits=Limits(request_count=64), options=Options(queue_tokens=400))
    world.write([{"id": f"i{n}", "text": "x" * 100} for n in range(128)], dedupe=False)
    world.submit()
    world.run()
    assert world.tally() == {"succeeded": 128}
    assert {row["attempts"] for row in world.rows("select attempts from results")} == {1}
    sizes = [b["request_count"] for b in world.batches() if b["name"] == "collected"]
    assert len(world.rows("select id from request_files where state = 2")) == 2 + len(sizes)
    assert world.rows("select id from request_files where state = 3")


def test_a_new_submission_starts_with_batches_of_full_size_again(new_world: NewWorld) -> None:
    world = new_world(limits=Limits(request_count=4))
    too_large = Refused("too large", status=413)
    world.backend.add(Fault(call="create", error=too_large))
    world.write(items(4))
    world.submit()
    world.run()
    assert [b["request_count"] for b in world.batches()] == [4, 2, 2]
    world.write([{"id": f"n{n}", "text": f"new {n}"} for n in range(4)], missing="keep")
    world.submit(allow_missing=True)
    world.run()
    assert [b["request_count"] for b in world.batches()] == [4, 2, 2, 4]
