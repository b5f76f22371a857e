"""How batches end: whatever the service leaves behind is collected once, placed by custom_id, and the rest is decided by policy."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from runnerkit import NewWorld, World, items

from batchrun.backends.base import RemoteBatch
from batchrun.backends.reading import read_batch
from batchrun.errors import NotFound, Transient
from batchrun.service.options import Options
from batchrun.service.responders.script import Rule
from batchrun.testing_backend import Fault


def ran(world: World, count: int = 3, **changes: Any) -> World:
    world.write(items(count), **changes)
    world.submit()
    world.run()
    return world


@pytest.mark.fault(23)
def test_an_expired_batch_keeps_its_answers_and_the_rest_goes_again_for_free(
    new_world: NewWorld,
) -> None:
    world = new_world(options=Options(line_s=40_000))
    ran(world)
    assert world.tally() == {"succeeded": 3}
    assert {row["attempts"] for row in world.rows("select attempts from results")} == {1}
    assert set(world.executions().values()) == {1}
    assert world.batches()[0]["remote_status"] == "expired"


@pytest.mark.fault(23)
def test_a_batch_cancelled_by_someone_else_keeps_its_answers_and_the_rest_goes_again(
    new_world: NewWorld,
) -> None:
    world = new_world(options=Options(line_s=100))
    world.write(items(3))
    world.submit()
    world.serve()
    world.clock.advance(150)
    world.serve()
    (remote,) = world.remotes()
    world.service.cancel_batch(remote["id"])
    world.run()
    assert world.tally() == {"succeeded": 3}
    assert set(world.executions().values()) == {1}


def shown(world: World, **changes: Any) -> Callable[[RemoteBatch], RemoteBatch]:

    def edit(batch: RemoteBatch) -> RemoteBatch:
        return read_batch({**batch.raw, **changes}) if batch.status == "completed" else batch

    return edit


@pytest.mark.parametrize("nothing", [None, ""])
@pytest.mark.fault(22)
def test_a_completed_batch_that_shows_no_files_is_given_time_and_then_lost(
    world: World, nothing: str | None
) -> None:
    world.wire.edit = shown(world, output_file_id=nothing, error_file_id=nothing)
    ran(world)
    assert set(world.failures().values()) == {"lost_result"}
    (batch,) = world.batches()
    assert batch["collected_at"] - batch["ended_at"] >= 600


def test_file_ids_that_are_shown_late_are_used(world: World) -> None:
    world.write(items(3))
    world.submit()
    world.wire.edit = shown(world, output_file_id=None)
    world.run_until(lambda: world.batches()[0]["name"] == "ended")
    world.clock.advance(100)
    world.wire.edit = lambda batch: batch
    world.run()
    assert world.tally() == {"succeeded": 3}


@pytest.mark.fault(22)
def test_everything_failed_means_no_output_file(new_world: NewWorld) -> None:
    ran(world := new_world(script=[Rule(status=400)]))
    assert world.tally() == {"failed": 3}


@pytest.mark.parametrize("kind", ["output_file_id", "error_file_id"])
@pytest.mark.fault(22)
def test_an_empty_id_of_one_file_does_no_harm(new_world: NewWorld, kind: str) -> None:
    world = new_world(script=[Rule(prompt="text 1", status=400)])
    other = {"output_file_id": "error_file_id", "error_file_id": "output_file_id"}[kind]
    world.wire.edit = shown(world, **{kind: ""})
    ran(world)
    assert sum(world.tally().values()) == 3
    expected = {"failed": 3} if kind == "output_file_id" else {"succeeded": 2, "failed": 1}
    assert world.tally() == expected
    assert other


@pytest.mark.fault(3)
def test_result_files_that_are_gone_are_lost_after_some_minutes_and_never_asked_again_unasked(
    new_world: NewWorld,
) -> None:
    gone = Fault(call="download", error=NotFound("gone", status=404), number=None)
    world = ran(new_world(faults=[gone]))
    assert set(world.failures().values()) == {"lost_result"}
    assert len(world.remotes()) == 1


def test_a_result_file_that_is_late_is_collected(new_world: NewWorld) -> None:
    late = [Fault(call="download", error=NotFound("wait", status=404), number=n) for n in (1, 2)]
    world = ran(new_world(faults=late))
    assert world.tally() == {"succeeded": 3}


@pytest.mark.parametrize("call", ["download", "retrieve"])
def test_a_call_that_fails_is_made_again_later(new_world: NewWorld, call: str) -> None:
    faults = [Fault(call=call, error=Transient("502", status=502), number=n) for n in (1, 2, 3)]
    world = ran(new_world(faults=faults))
    assert world.tally() == {"succeeded": 3}
    assert set(world.executions().values()) == {1}


def test_a_result_file_that_is_in_the_spool_is_not_downloaded_again(new_world: NewWorld) -> None:
    cut = Fault(call="download", error=Transient("cut off"), number=2)
    world = new_world(script=[Rule(prompt="text 1", status=400)], faults=[cut])
    world.write(items(3))
    world.submit()
    world.run()
    assert world.tally() == {"succeeded": 2, "failed": 1}
    # The output file, the error file in vain, and the error file.
    assert world.backend.calls.count("download") == 3


@pytest.mark.fault(3)
def test_a_batch_that_the_service_forgot_is_lost_not_asked_again(new_world: NewWorld) -> None:
    gone = Fault(call="retrieve", error=NotFound("no such batch", status=404), number=None)
    world = new_world(faults=[gone])
    world.wire.page = lambda page: replace(page, batches=(), has_more=False)
    ran(world)
    assert set(world.failures().values()) == {"lost_result"}
    assert len(world.remotes()) == 1


@pytest.mark.fault(3)
def test_a_young_batch_may_be_invisible(new_world: NewWorld) -> None:
    gone = [Fault(call="retrieve", error=NotFound("?", status=404), number=n) for n in range(1, 6)]
    world = ran(new_world(faults=gone, options=Options(validating_s=2_000)))
    assert world.tally() == {"succeeded": 3}


def test_one_404_after_an_outage_does_not_make_a_batch_lost(new_world: NewWorld) -> None:
    out = [
        Fault(call="retrieve", error=Transient("503", status=503), number=n) for n in range(1, 9)
    ]
    miss = Fault(call="retrieve", error=NotFound("?", status=404), number=9)
    world = ran(new_world(faults=[*out, miss]))
    assert world.tally() == {"succeeded": 3}


@pytest.mark.fault(21)
def test_an_unknown_status_is_waited_for(world: World) -> None:
    world.write(items(3))
    world.submit()
    real = world.wire.edit
    world.wire.edit = lambda b: replace(b, status="pondering", raw={**b.raw, "status": "pondering"})
    for _ in range(5):
        world.clock.advance(700)
        world.tick()
    assert world.batches()[0]["name"] == "created"
    world.wire.edit = real
    world.run()
    assert world.tally() == {"succeeded": 3}
