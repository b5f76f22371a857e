"""Killed at any point of a job with equal requests: each is asked once, every item is answered, and nothing is paid twice."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from crashkit import HASTY, check_world, count_points, live, outcome
from runnerkit import DAY_S, World

from batchrun.service.responders.script import Rule

TEXTS = ("a", "b", "a", "c", "b", "a", "b", "d")
SCRIPT = [
    Rule(prompt="Review: a", times=1, status=500),  # asked again
    Rule(prompt="Review: b", times=1, status=400),  # fails for good: the next is asked
]


def begun(folder: Path) -> World:
    """A world with eight items that ask four things."""
    world = World(folder, script=list(SCRIPT), traits=HASTY)
    world.write([{"id": f"i{n}", "text": text} for n, text in enumerate(TEXTS)])
    return world


@cache
def undisturbed() -> tuple[tuple[bytes, bytes], dict[int, int], list[int]]:
    """Outputs and executions of a run in which nothing dies, and how many points its processes pass."""
    with TemporaryDirectory() as folder:
        world = begun(Path(folder))
        points = [len(count_points(world, world.submit))]
        while (next_at := world.tick_moment()) is not None:
            world.serve()
            world.clock.sleep_until(next_at)
            points.append(len(count_points(world, world.tick)))
        found = outcome(world), world.executions(), points
        world.close()
    assert found[1] == {1: 2, 2: 1, 4: 1, 5: 1, 8: 1}
    return found


@pytest.mark.parametrize("process", range(4))
@pytest.mark.fault(37)
def test_whatever_it_dies_at_equal_requests_are_asked_once_and_answered_everywhere(
    tmp_path: Path, process: int
) -> None:
    expected, executions, points = undisturbed()
    for kill in range(1, points[process] + 1, 9):
        (tmp_path / str(kill)).mkdir()
        world = begun(tmp_path / str(kill))
        live(world, [*[None] * process, kill, kill + 1])
        world.clock.advance(2 * DAY_S)
        world.serve()
        world.run()
        check_world(world, expected, executions)
        world.close()
