"""Whatever instant a pass dies at while a job leaves its batches for live answers: nothing is asked in both, and nothing is left behind."""

from pathlib import Path
from typing import Final

import pytest
from crashkit import count_points, in_child
from hypothesis import settings
from livekit import TWIN, LiveWorld
from runnerkit import items

from batchrun.service.options import Options

HOUR_S = 3_600
EFFECTS: Final = frozenset(
    f"after {step}" for step in ("cancel", "upload", "create", "work", "rename")
)


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


def telling(points: list[str]) -> list[int]:
    """Of the points of a pass, numbered from 1, one for each state that a kill can leave between two steps: the step done and not recorded,
    and all recorded that is before the next one. What only reads leaves nothing.
    """
    steps = [n for n, name in enumerate(points, start=1) if name in EFFECTS]
    ends = [*(n - 1 for n in steps), len(points)]
    return sorted({*steps, *(last_commit(points[:end]) for end in ends)})


def last_commit(points: list[str]) -> int:
    return max(n for n, name in enumerate(points, start=1) if name == "after commit")


# The first pass takes the batches back, the second collects them and has the rest answered.
@pytest.mark.parametrize(("tick", "least"), [(0, 5), (1, 12)])
@pytest.mark.fault(37)
def test_a_pass_may_die_at_its_points_while_a_job_goes_live(
    tmp_path: Path, tick: int, least: int
) -> None:
    def begun(name: str) -> LiveWorld:
        world = near_its_deadline(tmp_path / name)
        for _ in range(tick):
            world.tick()
            assert next_step(world)
        return world

    points = count_points(whole := begun("whole"), whole.tick)
    whole.close()
    is_long = settings.get_current_profile_name() == "thorough"
    kills = range(1, len(points) + 1) if is_long else telling(points)
    assert len(kills) >= least
    for kill in kills:
        world = begun(str(kill))
        assert not in_child(world, world.tick, kill)
        while next_step(world):
            world.tick()
        assert set(world.executions().values()) == {1}
        assert world.tally() == {"succeeded": 4}
        assert set(world.profiles()) == {"openai", TWIN}
        assert world.output("results.jsonl").count(b"\n") == 4
        world.close()  # which checks the invariants
