"""`wait` waits for batches, not for ever for a server that is away; and whole processes can share a clock."""

import subprocess
import sys
from pathlib import Path

import pytest
from runnerkit import NewWorld, items

from batchrun.api import PATIENCE_S, Batchrun
from batchrun.config import load_config
from batchrun.errors import Transient
from batchrun.ledger.home import Home
from batchrun.testing import START, ManualClock
from batchrun.testing_backend import Fault, FaultyBackend


def test_wait_gives_up_on_a_server_that_stays_away_and_the_next_wait_goes_on(
    new_world: NewWorld,
) -> None:
    away = Fault(call="upload", error=Transient("connection refused"), number=None)
    world = new_world(faults=[away])
    world.write(items(2))
    world.submit()
    began = world.clock.now()
    result, is_done = world.api().wait()
    assert not is_done
    assert result.problems
    assert PATIENCE_S <= world.clock.now() - began <= 2 * PATIENCE_S
    assert world.tally() == {"in_flight": 2}
    world.backend = FaultyBackend(world.wire)
    world.run()
    assert world.tally() == {"succeeded": 2}


@pytest.mark.usefixtures("real_sleep")
def test_the_command_line_runs_on_the_clock_of_a_file(tmp_path: Path) -> None:
    clock = tmp_path / "clock"
    job = tmp_path / "job.jsonl"
    job.write_text('{"job": "a", "model": "m", "prompt": "{{ x }}"}\n{"id": "1", "x": "y"}\n')
    done = subprocess.run(
        [sys.executable, "-m", "batchrun.testing", str(clock), "check", str(job)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(clock.read_text()) == START


def test_a_local_model_that_is_not_installed_is_told_before_anything_is_queued(
    tmp_path: Path,
) -> None:
    (tmp_path / "batchrun.toml").write_text('[profile.local]\nmodel_file = "missing.gguf"\n')
    job = tmp_path / "job.jsonl"
    job.write_text('{"job": "a", "model": "m", "prompt": "{{ x }}"}\n{"id": "1", "x": "y"}\n')
    home = Home(tmp_path / ".batchrun")
    batchrun = Batchrun(
        home=home, config=load_config(tmp_path, home.path, {}), clock=ManualClock(), backend="local"
    )
    (prepared,), result = batchrun.submit([job])
    assert prepared.error is not None
    assert prepared.error.exit_code == 6
    assert result is None
    assert batchrun.status() == ()
