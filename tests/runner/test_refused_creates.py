"""Uploads and creates that the service refuses: certain, so without any doubt, and each comes to an end."""

from typing import Any

import pytest
from runnerkit import PROFILE, NewWorld, World, items

from batchrun.backends.base import Traits
from batchrun.errors import AuthError, BackendError, NotFound, Refused, Transient
from batchrun.testing_backend import Fault


def sent(world: World, count: int = 3) -> World:
    world.write(items(count))
    world.submit()
    return world


def assert_answered_once(world: World, count: int = 3) -> None:
    assert world.tally() == {"succeeded": count}
    assert set(world.executions().values()) == {1}


@pytest.mark.parametrize(
    ("error", "waits"),
    [
        (Transient("connection refused"), 10),
        (Transient("too many", status=429), 10),
        (Transient("too many", status=429, retry_after_s=120.0), 121),
        (Transient("too many", status=429, retry_after_s=90_000.0), 3_600),
        (AuthError("who are you", status=401), 10),
        (AuthError("not you", status=403), 10),
        (Refused("pay first", status=400, code="billing_hard_limit_reached"), 3_600),
        (Transient("quota", status=429, code="insufficient_quota"), 3_600),
    ],
    ids=lambda v: f"{v.status}-{v.code}-{v.retry_after_s}" if isinstance(v, BackendError) else "",
)
@pytest.mark.fault(1, 2, 7, 9)
def test_a_refusal_for_now_is_tried_again_later_without_any_doubt(
    new_world: NewWorld, error: BackendError, waits: int
) -> None:
    world = sent(new_world(faults=[Fault(call="create", error=error)]))
    (batch,) = world.batches()
    assert batch["name"] == "uploaded"
    result = world.tick()
    assert result.next_at is not None
    assert result.next_at - world.clock.now() == pytest.approx(waits, abs=1)
    world.run()
    assert_answered_once(world)
    assert world.batches()[0]["uploads"] == 1


@pytest.mark.parametrize("status", [400, 422])
def test_a_refusal_for_good_ends_after_one_new_upload(new_world: NewWorld, status: int) -> None:
    error = Refused("no such model", status=status)
    world = sent(new_world(faults=[Fault(call="create", error=error, number=None)]))
    world.run()
    assert world.tally() == {"failed": 3}
    assert set(world.failures().values()) == {"rejected"}
    assert world.backend.calls.count("create") == 2
    assert world.backend.calls.count("upload") == 2


@pytest.mark.fault(3)
def test_a_new_file_may_be_invisible_for_a_moment(new_world: NewWorld) -> None:
    error = NotFound("No such file", status=404)
    world = sent(new_world(faults=[Fault(call="create", error=error)]))
    world.run()
    assert_answered_once(world)
    assert world.batches()[0]["uploads"] == 1


def test_a_file_that_stays_invisible_is_uploaded_again(new_world: NewWorld) -> None:
    error = NotFound("No such file", status=404)
    faults = [Fault(call="create", error=error, number=n) for n in range(1, 7)]
    world = sent(new_world(faults=faults))
    world.run()
    assert_answered_once(world)
    assert 1 < world.batches()[0]["uploads"] <= 4


@pytest.mark.parametrize(
    "error", [Refused("no", status=400), Transient("429", status=429), AuthError("no", status=401)]
)
def test_where_refusals_are_not_final_they_are_doubts(
    new_world: NewWorld, error: BackendError
) -> None:
    fault = Fault(call="create", error=error, when="after")
    world = sent(new_world(faults=[fault], traits=Traits(refusals_final=False)))
    assert world.batches()[0]["name"] == "creating"
    world.run()
    assert_answered_once(world)


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_upload_that_failed_is_made_again(new_world: NewWorld, when: Any) -> None:
    fault = Fault(call="upload", error=Transient("reset"), when=when)
    world = sent(new_world(faults=[fault]))
    world.run()
    assert_answered_once(world)


def test_an_upload_that_is_refused_for_good_fails_its_items(new_world: NewWorld) -> None:
    fault = Fault(call="upload", error=Refused("not jsonl", status=400), number=None)
    world = sent(new_world(faults=[fault]))
    world.run()
    assert world.tally() == {"failed": 3}


def test_the_metadata_of_a_batch_names_token_ledger_and_job(world: World) -> None:
    world.write(items(1), metadata={"team": "a"})
    world.submit()
    (remote,) = world.remotes()
    (row,) = world.batches()
    assert remote["metadata"]["batchrun"] == row["token"]
    assert remote["metadata"]["batchrun_job"] == "reviews"
    assert remote["metadata"]["team"] == "a"
    assert row["profile"] == PROFILE
