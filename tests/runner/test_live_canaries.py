"""A canary that is answered at once, line by line, by the live twin of the job's profile; the rest goes in batches."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from livekit import TWIN, LiveWorld
from runnerkit import PROFILE, items

from batchrun.config import Config
from batchrun.service.responders.script import Rule

CANARY = {"items": 4, "max_failed": 0.25, "live": True}


class TwinWorld(LiveWorld):
    """A world whose profile says which is its live twin."""

    @property
    def config(self) -> Config:
        config = super().config
        profile = replace(config.profiles[PROFILE], live=TWIN)
        return replace(config, profiles={**config.profiles, PROFILE: profile})


@pytest.fixture
def live(tmp_path: Path) -> Iterator[TwinWorld]:
    world = TwinWorld(tmp_path)
    yield world
    world.close()


def begun(world: TwinWorld, **changes: Any) -> None:
    world.write(items(10), **{"canary": CANARY, **changes})
    assert world.submit().error is None


def test_the_canary_is_answered_live_and_the_rest_by_batch(live: TwinWorld) -> None:
    begun(live)
    live.run()
    assert live.profiles() == [TWIN, PROFILE]
    assert [row["request_count"] for row in live.batches()] == [4, 6]
    assert live.tally() == {"succeeded": 10}
    assert set(live.executions().values()) == {1}


def test_what_the_canary_asks_again_is_answered_live_too(live: TwinWorld) -> None:
    live.script = [Rule(prompt=f"text {n}", times=1, status=500) for n in range(2)]
    begun(live)
    live.run()
    assert live.profiles() == [TWIN, TWIN, PROFILE]
    assert live.tally() == {"succeeded": 10}


def test_a_canary_that_failed_live_holds_the_rest_back_from_the_batch(live: TwinWorld) -> None:
    live.script = [Rule(prompt="bad", status=400)]
    begun(live, prompt="bad {{ text }}")
    live.run()
    assert (live.tally(), live.remotes()) == ({"failed": 4, "pending": 6}, [])
    live.api().resume("reviews")
    live.run()
    assert live.profiles() == [TWIN, PROFILE]


def test_a_job_that_is_diverted_stays_so_when_its_canary_has_passed(live: TwinWorld) -> None:
    begun(live, canary={**CANARY, "live": False})
    with live.ledger() as ledger, ledger.transaction():
        ledger.execute("update jobs set sends_to = ?", (TWIN,))
    live.run()
    assert live.profiles() == [PROFILE, TWIN]
    assert live.tally() == {"succeeded": 10}
