"""An adoption that dies leaves whole batches or nothing; run again it comes to its end, and nothing is asked twice meanwhile."""

import shutil
from functools import partial
from pathlib import Path

import pytest
from adoptkit import adopt, lines, made_elsewhere, untouched
from crashkit import HASTY, count_points, in_child
from runnerkit import World, check_invariants

from batchrun.service.responders.script import Rule

STRIDE = 17  # every seventeenth point; all of them take half a minute


class Yard:
    """A folder with a service that has three batches of others, which can be had again and again; what failed in the first is asked by the second."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._kept = folder / "world", folder / "kept"
        self.folder.mkdir()
        world = self._open()
        self.first = made_elsewhere(world, lines("a", "b", "c"))
        self.second = made_elsewhere(world, lines("b", "c", "d"))
        self.running = made_elsewhere(world, lines("e", "f"), serve=False)
        self._now = world.clock.now()
        world.embedded.close()
        shutil.copytree(self.folder, self._kept)

    def _open(self) -> World:
        script = [Rule(prompt="about b", status=500, times=1)]
        return World(self.folder, script=list(script), traits=HASTY)

    def fresh(self) -> World:
        shutil.rmtree(self.folder)
        shutil.copytree(self._kept, self.folder)
        world = self._open()
        world.clock.sleep_until(self._now)
        return world

    def adopt(self, world: World) -> None:
        adopt(world, self.running, self.first, self.second)


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    return Yard(tmp_path)


def is_whole(world: World) -> bool:
    """Whether every batch that is here has all that it needs, and nothing of another one is."""
    with world.ledger() as ledger:
        check_invariants(ledger)
    items = world.rows("select count(*) as n from item_rows")[0]["n"]
    batches = [row["request_count"] for row in world.batches()]
    return (items, batches) in [(3, [3]), (4, [3, 2]), (6, [3, 2, 2])]


@pytest.mark.fault(37)
def test_an_adoption_may_die_at_any_commit_call_or_rename(yard: Yard) -> None:
    world = yard.fresh()
    points = count_points(world, partial(yard.adopt, world))
    assert {"before commit", "after commit", "before rename", "after download"} <= set(points)
    for kill in range(1, len(points) + 1, STRIDE):
        world = yard.fresh()
        assert not in_child(world, partial(yard.adopt, world), kill)
        if world.home.database.exists():
            world.tick()  # what cron does meanwhile
            assert untouched(world) or is_whole(world)
            assert "create" not in world.backend.calls
        yard.adopt(world)
        world.run()
        assert world.tally() == {"succeeded": 6}
        assert world.charges() == {"a": 1, "b": 2, "c": 2, "d": 1, "e": 1, "f": 1}
        assert len(world.remotes()) == 3
        world.close()


def test_what_an_adoption_that_died_has_left_open_waits_for_its_end(yard: Yard) -> None:
    """Cron must not buy again what the next batch to be adopted has answered."""
    world = yard.fresh()
    points = count_points(world, partial(yard.adopt, world))
    downloads = [n for n, point in enumerate(points, 1) if point == "before download"]
    kill = downloads[
        4
    ]  # three input files, then the results of the first; here those of the second
    world = yard.fresh()
    assert not in_child(world, partial(yard.adopt, world), kill)
    world.tick()
    (job,) = world.api().status()
    assert "adopt" in (job.paused or "")
    yard.adopt(world)
    assert world.api().status()[0].paused is None
    world.close()
