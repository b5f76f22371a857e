"""Forgetting what a lost batch carried: it may come back, and must bring back nothing of it, nor lose what others paid for."""

from keepkit import CANARY, holders
from runnerkit import World, items

from batchrun.backends.base import BatchPage
from batchrun.errors import NotFound
from batchrun.testing_backend import Fault

GONE = Fault(call="retrieve", error=NotFound("no such batch", status=404), number=None)


def lose(world: World) -> None:
    """A batch that ran, and that the service no longer shows."""
    world.write([*items(2), {"id": CANARY, "text": CANARY}])
    world.submit()
    world.backend.add(GONE)
    world.wire.page = lambda _: BatchPage(batches=(), has_more=False)
    world.serve()
    world.run_until(lambda: world.batches()[0]["name"] == "lost")


def show(world: World) -> None:
    """The service has it again."""
    world.backend._script.remove(GONE)
    world.wire.page = lambda page: page


def test_the_answers_of_other_items_come_back_and_those_of_forgotten_ones_do_not(
    world: World,
) -> None:
    lose(world)
    world.api().forget("reviews", (CANARY,))
    assert holders(CANARY, world.home.path, world.home.outputs) == []
    show(world)
    world.run()
    assert world.states() == {"i0": "succeeded", "i1": "succeeded"}
    assert set(world.executions().values()) == {1}
    assert holders(CANARY, world.home.outputs) == []
    world.api().prune()
    assert holders(CANARY, world.home.path) == []


def test_nobody_looks_for_a_lost_batch_of_a_forgotten_job(world: World) -> None:
    lose(world)
    world.api().forget("reviews")
    show(world)
    calls = len(world.backend.calls)
    assert world.tick_moment() is None
    assert world.run().next_at is None
    assert len(world.backend.calls) == calls
    assert holders(CANARY, world.home.path, world.home.outputs) == []
