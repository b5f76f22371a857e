"""A ledger that is gone, of a job some of whose items were answered live: what the home's own services have is brought back too."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from runnerkit import items

from batchrun.api import Batchrun
from batchrun.config import load_config
from batchrun.ledger.home import Home
from batchrun.model import JsonObject
from batchrun.recovery.recovering import RecoverOptions
from batchrun.service.responders.base import Reply
from batchrun.service.responders.scripted import ScriptedResponder
from batchrun.service.running import running
from batchrun.service.service import BatchService
from batchrun.testing import ManualClock

KEY = "sk-canary-0123456789abcdef"


class Distant(ManualClock):
    """While we sleep, the service at the far end works."""

    service: BatchService | None = None

    def sleep_until(self, at: int) -> None:
        super().sleep_until(at)
        if self.service is not None:
            self.service.work(1e6)


class Counting(ScriptedResponder):
    """Counts all that it is asked, in batches and live."""

    asked = 0

    def respond(self, url: str, body: JsonObject, *, custom_id: str | None) -> Reply:
        self.asked += 1
        return super().respond(url, body, custom_id=custom_id)


@pytest.fixture
def clock() -> Distant:
    return Distant()


@pytest.fixture
def responder(clock: Distant) -> Counting:
    return Counting(clock=clock)


@pytest.fixture
def api(tmp_path: Path, clock: Distant, responder: Counting) -> Iterator[Batchrun]:
    service = BatchService(tmp_path / "far", responder, clock)
    clock.service = service
    with running(service, api_key=KEY, works=False) as base_url:
        home = Home(tmp_path / ".batchrun")
        config = load_config(None, None, {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": base_url})
        yield Batchrun(home=home, config=config, clock=clock)
    clock.service = None
    service.close()


def test_what_was_answered_live_is_not_asked_again(
    tmp_path: Path, api: Batchrun, responder: Counting
) -> None:
    job = tmp_path / "faq.jsonl"
    canary = {"items": 2, "live": True}
    line = {"job": "faq", "model": "m", "prompt": "{{ text }}", "canary": canary}
    job.write_text("".join(json.dumps(row) + "\n" for row in (line, *items(5))))
    api.submit([job])
    _, is_done = api.wait()
    assert is_done
    assert responder.asked == 5
    results = (api.home.outputs / "faq" / "results.jsonl").read_bytes()

    for name in ("batchrun.db", "batchrun.db-wal", "batchrun.db-shm"):
        (api.home.path / name).unlink(missing_ok=True)
    shutil.rmtree(api.home.outputs)
    foreseen = api.recover([job], RecoverOptions(is_dry_run=True))
    assert {batch.profile for batch in foreseen.batches} == {"openai", "openai:live"}
    recovered = api.recover([job], RecoverOptions())
    assert [(batch.profile, str(batch.became)) for batch in recovered.batches] == [
        ("openai", "collected"),
        ("openai:live", "collected"),
    ]
    assert recovered.held == ()
    api.submit([job])
    _, is_done = api.wait()
    assert is_done
    assert responder.asked == 5
    assert (api.home.outputs / "faq" / "results.jsonl").read_bytes() == results
