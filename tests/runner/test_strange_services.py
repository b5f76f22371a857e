"""Services that say odd things: late file ids, ends that are taken back, listings that do not work, one batch that spoils the rest."""

from typing import Any

from runnerkit import DAY_S, NewWorld, World, items

from batchrun.backends.base import RemoteBatch
from batchrun.backends.reading import read_batch
from batchrun.service.options import Options


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
    world.run()
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
