"""What our own pass executes goes in slices: lines outlast them, and wishes are taken up between them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from livekit import TWIN, LiveWorld
from runnerkit import items

from batchrun.backends.base import Backend
from batchrun.backends.embedded import EmbeddedBackend
from batchrun.errors import HomeLocked
from batchrun.ledger.lock import pass_lock
from batchrun.model import JsonObject
from batchrun.service.responders.base import Reply
from batchrun.service.responders.scripted import ScriptedResponder
from batchrun.testing_backend import FaultyBackend

LINE_S = 2


class Counted(ScriptedResponder):
    """Takes two seconds for each line, and calls something when it is asked for the third."""

    then: Callable[[], object]
    asked: int

    def respond(self, url: str, body: JsonObject, *, custom_id: str | None) -> Reply:
        self.asked += 1
        if self.asked == 3:
            self.then()
        self._clock.sleep_until(self._clock.now() + LINE_S)
        return super().respond(url, body, custom_id=custom_id)


@pytest.fixture
def world(tmp_path: Path) -> LiveWorld:
    world = LiveWorld(tmp_path)
    world.write(items(40))
    world.home.create()
    return world


def asked_until(world: LiveWorld, then: Callable[[], object]) -> Counted:
    """What answers in the world's twin."""
    responder = Counted([], clock=world.clock, seen=world.folder / "seen")
    responder.then, responder.asked = then, 0
    world.near = EmbeddedBackend(world.home.path / "slow", lambda: responder, world.clock)
    return responder


@pytest.mark.parametrize("wish", ["cancel", "hold"])
def test_a_wish_is_taken_up_within_the_pass_that_executes(world: LiveWorld, wish: str) -> None:
    responder = asked_until(world, lambda: getattr(world.api(), wish)("reviews"))
    world.lent["backend"] = TWIN
    api = replace(world.api(), open_backend=lambda _profile: world.near)
    api.submit([world.job_file])
    began = world.clock.now()
    api.tick()
    assert responder.asked < 10
    assert world.clock.now() - began < 20
    (status,) = api.status()
    answered = status.counts["succeeded"]
    left = {"cancelled": 40 - responder.asked} if wish == "cancel" else {"in_flight": 40}
    assert {name: n for name, n in status.counts.items() if n and name != "succeeded"} == left
    assert answered == (responder.asked if wish == "cancel" else 0)
    world.near.close()


def test_what_is_under_way_is_recorded_before_another_process_is_waited_for(
    world: LiveWorld,
) -> None:
    """Else its answers would be lost, and paid for, if the wait for the home were killed."""
    events: list[str] = []
    api = replace(world.api(), lock_wait_s=0.0)
    kept: dict[str, Backend] = {TWIN: world.near}
    world.near.service.close = lambda: events.append("recorded")  # type: ignore[method-assign]
    with pass_lock(world.home, wait_s=0), pytest.raises(HomeLocked):
        api._next_pass(replace(api._runner(), kept=kept))
    assert (events, kept) == (["recorded"], {})


def test_a_backend_that_a_pass_had_nothing_to_do_for_is_not_kept(world: LiveWorld) -> None:
    """What is under way with it would not be recorded before the last pass."""
    api = world.api()
    idle = asked_until(world, lambda: None)
    world.near.service.work(0)
    kept: dict[str, Backend] = {TWIN: world.near}
    api.submit(())
    api._next_pass(replace(api._runner(), kept=kept))
    assert (kept, idle.asked) == ({}, 0)


def test_the_last_slice_of_a_pass_leaves_nothing_under_way(world: LiveWorld) -> None:
    asked_until(world, lambda: None)
    world.lent["backend"] = TWIN
    went_on: list[bool] = []

    class Noting(FaultyBackend):
        def work(
            self, seconds: float, *, resting: frozenset[str] = frozenset(), goes_on: bool = False
        ) -> int | None:
            went_on.append(goes_on)
            return super().work(seconds, resting=resting, goes_on=goes_on)

    api = replace(world.api(), open_backend=lambda _profile: Noting(world.near, []))
    api.submit([world.job_file])
    api.tick(work_s=15)
    assert went_on == [True, True, False]
