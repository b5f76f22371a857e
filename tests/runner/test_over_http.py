"""The whole way through the openai backend, over a real socket, to the service's HTTP front."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from runnerkit import FAR_S, items

from batchrun.api import Batchrun
from batchrun.backends.openai import OpenAIBackend
from batchrun.config import load_config
from batchrun.errors import Ambiguous, AuthError
from batchrun.ledger.home import Home
from batchrun.service.responders.script import Rule
from batchrun.service.responders.scripted import ScriptedResponder
from batchrun.service.running import running
from batchrun.service.service import BatchService
from batchrun.takingitems import SubmitOptions
from batchrun.testing import ManualClock
from batchrun.testing_backend import Fault, FaultyBackend

KEY = "sk-canary-0123456789abcdef"


class Distant(ManualClock):
    """While we sleep, the service at the far end works."""

    service: BatchService | None = None

    def sleep_until(self, at: int) -> None:
        super().sleep_until(at)
        if self.service is not None:
            self.service.work(FAR_S)


@pytest.fixture
def clock() -> Distant:
    return Distant()


@pytest.fixture
def service(tmp_path: Path, clock: Distant) -> Iterator[BatchService]:
    script = [Rule(prompt="text 1", times=1, status=503), Rule(prompt="text 2", status=400)]
    opened = BatchService(tmp_path / "far", ScriptedResponder(script, clock=clock), clock)
    clock.service = opened
    yield opened
    clock.service = None
    opened.close()


def program(tmp_path: Path, clock: Distant, base_url: str, faults: list[Fault]) -> Batchrun:
    home = Home(tmp_path / ".batchrun")
    environ = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": base_url}
    config = load_config(tmp_path, home.path, environ)
    profile = config.profiles["openai"]
    profile = replace(profile, traits=replace(profile.traits, settle_s=120, second_settle_s=480))
    backend = FaultyBackend(OpenAIBackend(profile, clock=clock), faults)
    return Batchrun(home=home, config=config, clock=clock, open_backend=lambda _: backend)


def write(tmp_path: Path) -> Path:
    import json

    line = {"job": "reviews", "model": "gpt-4.1-mini", "prompt": "{{ text }}"}
    path = tmp_path / "reviews.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in (line, *items(4))))
    return path


@pytest.mark.parametrize(
    "faults",
    [
        [],
        [Fault(call="create", error=Ambiguous("reset"), when="after")],
        [Fault(call="create", error=Ambiguous("reset"))],
    ],
    ids=["nothing wrong", "answer lost", "never arrived"],
)
def test_a_job_goes_the_whole_way(
    tmp_path: Path, clock: Distant, service: BatchService, faults: list[Fault]
) -> None:
    with running(service, api_key=KEY, works=False) as base_url:
        api = program(tmp_path, clock, base_url, faults)
        prepared, _ = api.submit([write(tmp_path)], SubmitOptions())
        assert prepared[0].error is None
        _, is_done = api.wait()
        (status,) = api.status()
    assert is_done
    assert status.counts["succeeded"] == 3
    assert status.counts["failed"] == 1
    charges = dict(service.charges())
    assert len(charges) == 5
    assert set(charges.values()) == {1}
    for path in (tmp_path / ".batchrun").rglob("*"):
        assert path.is_dir() or KEY.encode() not in path.read_bytes()


@pytest.mark.fault(1)
def test_a_wrong_key_stops_and_says_so(
    tmp_path: Path, clock: Distant, service: BatchService
) -> None:
    with running(service, api_key="another", works=False) as base_url:
        api = program(tmp_path, clock, base_url, [])
        _, result = api.submit([write(tmp_path)])
        assert result is not None
        assert [type(problem) for problem in result.problems] == [AuthError]
        last, is_done = api.wait()
    assert not is_done
    assert isinstance(last.problems[0], AuthError)
    assert KEY not in str(last.problems[0])
