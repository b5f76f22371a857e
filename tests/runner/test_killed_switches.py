"""Whatever instant a pass dies at while a job leaves its batches for live answers: nothing is asked in both, and nothing is left behind."""

from pathlib import Path

import pytest
from crashkit import in_child
from livekit import TWIN, LiveWorld
from runnerkit import items

from batchrun.service.options import Options

HOUR_S = 3_600


def near_its_deadline(folder: Path) -> LiveWorld:
    """A job with a batch of which two lines are done, and another that was not created yet; its deadline has come near."""
    folder.mkdir()
    world = LiveWorld(folder, options=Options(line_s=2 * HOUR_S))
    rows = items(4)
    rows[3]["model"] = "gpt-4.1"
    world.write(rows, deadline="6h")
    world.submit()
    world.serve()
    world.clock.advance(5 * HOUR_S)
    world.serve()
    world.clock.advance(HOUR_S // 2)
    return world


def next_step(world: LiveWorld) -> bool:
    """Time goes on to what is due next; False where all is final."""
    world.serve()
    moment = world.tick_moment()
    if moment is None:
        return False
    world.clock.sleep_until(moment)
    return True


# The first pass takes the batches back, the second collects them and has the rest answered: (passes before, first point, every how manieth).
@pytest.mark.parametrize(("tick", "first", "step"), [(0, 1, 2), (0, 2, 2), (1, 1, 5), (1, 3, 5)])
@pytest.mark.fault(37)
def test_a_pass_may_die_at_its_points_while_a_job_goes_live(
    tmp_path: Path, tick: int, first: int, step: int
) -> None:
    for kill in range(first, 400, step):
        world = near_its_deadline(tmp_path / str(kill))
        for _ in range(tick):
            world.tick()
            assert next_step(world)
        lived = in_child(world, world.tick, kill)
        while next_step(world):
            world.tick()
        assert set(world.executions().values()) == {1}
        assert world.tally() == {"succeeded": 4}
        assert set(world.profiles()) == {"openai", TWIN}
        assert world.output("results.jsonl").count(b"\n") == 4
        world.close()  # which checks the invariants
        if lived:
            return
    raise AssertionError("a pass with so many points is another one than was meant")
