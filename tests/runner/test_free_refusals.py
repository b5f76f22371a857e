"""What refused batches cost their items: nothing, however many there are."""

import pytest
from runnerkit import NewWorld, World, items

from batchrun.backends.base import RemoteBatch
from batchrun.backends.reading import read_batch
from batchrun.model import Limits
from batchrun.service.options import Options
from batchrun.service.responders.script import Rule

PER_BATCH = 20


def test_items_refused_by_a_full_queue_keep_their_attempts(new_world: NewWorld) -> None:
    last = PER_BATCH * 12 - 1
    world = new_world(
        limits=Limits(request_count=PER_BATCH),
        options=Options(queue_tokens=44 * PER_BATCH, line_s=60),
        script=[Rule(prompt=f"item {last} ", times=1, status=500)],
    )
    world.write([{"id": f"i{n}", "text": f"item {n} " + "x" * 90} for n in range(last + 1)])
    world.submit()
    world.run()
    assert world.tally() == {"succeeded": last + 1}


def expiring(world: World, times: int) -> None:
    """The service's window ends `times` times before anything ran."""
    ids: list[str] = []

    def edit(batch: RemoteBatch) -> RemoteBatch:
        if batch.id not in ids:
            ids.append(batch.id)
        if ids.index(batch.id) >= times:
            return batch
        nothing = {"total": batch.total_count, "completed": 0, "failed": 0}
        files = {"output_file_id": None, "error_file_id": None, "request_counts": nothing}
        return read_batch({**batch.raw, "status": "expired", "usage": None, **files})

    world.wire.edit = edit


@pytest.mark.parametrize(("times", "state"), [(8, "succeeded"), (9, "failed")])
def test_an_item_whose_window_ends_nine_times_is_given_up(
    world: World, times: int, state: str
) -> None:
    world.write(items(1))
    expiring(world, times)
    world.submit()
    for _ in range(3):
        world.run()
        world.submit()  # a job is paused after five batches without an answer
    assert world.states() == {"i0": state}


def test_an_item_that_was_given_up_has_all_its_runs_when_it_is_asked_again(world: World) -> None:
    world.write(items(1))
    expiring(world, 12)
    world.submit()
    for _ in range(3):
        world.run()
        world.submit()
    assert world.states() == {"i0": "failed"}
    world.api().retry("reviews")
    for _ in range(3):
        world.run()
        world.submit()
    assert world.states() == {"i0": "succeeded"}
