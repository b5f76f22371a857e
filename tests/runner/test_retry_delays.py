"""When a failed item goes again: later on a distant service, at once where the service runs in our own pass, whatever its profile is called."""

import json
from pathlib import Path

import pytest
from runnerkit import NewWorld, items

from batchrun.api import Batchrun
from batchrun.backends.base import Traits
from batchrun.backends.embedded import EmbeddedBackend
from batchrun.config import load_config
from batchrun.ledger.home import Home
from batchrun.service.responders.script import Rule
from batchrun.service.responders.scripted import ScriptedResponder
from batchrun.testing import ManualClock

FAILS_ONCE = Rule(times=1, status=500, message="out of order")


def test_a_distant_service_is_given_time(new_world: NewWorld) -> None:
    world = new_world(script=[FAILS_ONCE])
    world.write(items(1))
    world.submit()
    world.run()
    first, second = world.rows("select * from batch_rows order by id")
    assert second["planned_at"] - first["collected_at"] >= Traits().retry_delays_s[0]


@pytest.mark.parametrize("profile", ["local", "mine"])
def test_a_service_in_our_own_process_is_asked_again_at_once(tmp_path: Path, profile: str) -> None:
    (tmp_path / "batchrun.toml").write_text('[profile.mine]\nbackend = "local"\n')
    home, clock = Home(tmp_path / ".batchrun"), ManualClock()
    job = tmp_path / "job.jsonl"
    line = {"job": "a", "model": "m", "prompt": "{{ x }}", "backend": profile}
    job.write_text(json.dumps(line) + '\n{"id": "1", "x": "y"}\n')
    responder = ScriptedResponder([FAILS_ONCE], clock=clock)
    batchrun = Batchrun(
        home=home,
        config=load_config(tmp_path, home.path, {}),
        clock=clock,
        open_backend=lambda _: EmbeddedBackend(home.path / "service", lambda: responder, clock),
    )
    batchrun.submit([job])
    began = clock.now()
    _, is_done = batchrun.wait()
    assert is_done
    assert clock.now() == began
    assert batchrun.status()[0].counts["succeeded"] == 1
