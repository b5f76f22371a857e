"""`batchrun serve --faults` in a process of its own, killed in the middle of its night: it goes on with the script, and the job ends well."""

import json
import os
import socket
import subprocess
import sys
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from nightkit import KEY, PROFILE
from runnerkit import items

from batchrun.api import Batchrun
from batchrun.config import load_config
from batchrun.ledger.home import Home
from batchrun.testing import FileClock

pytestmark = pytest.mark.usefixtures("real_sleep")

ROOT: Final = Path(__file__).parents[2]
SCRIPT: Final = """
seed = 1

[[fault]]
at = "POST /batches"
what = "drop"
calls = [1, 3]

[[fault]]
at = "POST /batches"
what = "late"
seconds = 450
calls = 2

[[fault]]
at = "any call"
what = "status"
status = 503
every = 4

[[fault]]
at = "GET /batches"
what = "lag"
seconds = 200
"""


@dataclass
class Server:
    """`batchrun serve` on the clock of a file, on the same port after every kill."""

    folder: Path
    clock: Path
    port: int = 0
    process: subprocess.Popen[str] | None = field(default=None)

    def __post_init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.start()

    def start(self) -> None:
        words = ["serve", "--port", str(self.port), "--data", "data"]
        words += ["--script", "rules.json", "--faults", "night.toml"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "batchrun.testing", str(self.clock), *words],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "BATCHRUN_SERVE_KEY": KEY},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.base_url = self.process.stdout.readline().strip()
        assert self.base_url.startswith("http://127.0.0.1:"), "the server did not start"

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.communicate(timeout=30)

    def truth(self) -> Any:
        asked = urllib.request.Request(
            self.base_url.removesuffix("/v1") + "/truth",
            headers={"Authorization": f"Bearer {KEY}"},
        )
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return json.load(answer)


class DeadlyClock(FileClock):
    """Kills the server whenever we sleep for the n-th time, for some n."""

    server: Server
    kills: tuple[int, ...] = ()
    sleeps: int = 0

    def sleep_until(self, at: int) -> None:
        self.sleeps += 1
        if self.sleeps in self.kills:
            self.server.kill()
            self.server.start()
        super().sleep_until(at)


def test_a_killed_server_goes_on_with_its_night(tmp_path: Path) -> None:
    (tmp_path / "night.toml").write_text(SCRIPT)
    (tmp_path / "rules.json").write_text('{"rules": []}')
    (tmp_path / "batchrun.toml").write_text(PROFILE)
    job = {"job": "night", "model": "gpt-5-mini", "prompt": "{{ text }}"}
    path = tmp_path / "night.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in (job, *items(6))))
    clock = DeadlyClock(tmp_path / "clock")
    clock.kills = (2, 5)
    clock.server = server = Server(tmp_path, tmp_path / "clock")
    try:
        home = Home(tmp_path / ".batchrun")
        environ = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": server.base_url}
        config = load_config(tmp_path, home.path, environ)
        api = Batchrun(home=home, config=config, clock=clock)
        api.submit([path])
        is_done = False
        for _ in range(20):
            _, is_done = api.wait()
            if is_done:
                break
            clock.advance(3_600)
        truth = server.truth()
    finally:
        server.kill()
    assert is_done
    assert clock.sleeps > max(clock.kills), "both kills happened"
    (status,) = api.status()
    assert status.counts["succeeded"] == 6
    executions = Counter(custom_id.partition("-")[0] for custom_id in truth["charges"])
    assert set(executions.values()) | set(truth["charges"].values()) == {1}
    drops, late, errors, _ = (entry["fired"] for entry in truth["faults"])
    assert (drops, late) == (2, 1), "counted over all three processes"
    assert errors > 2
