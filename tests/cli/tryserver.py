"""A server that single requests go to, for those who try jobs at the command line."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from clikit import FAST_PROFILE, KEY, Desk

from batchrun.clock import SystemClock
from batchrun.model import JsonObject
from batchrun.service.bodies import Finish
from batchrun.service.responders.base import Reply
from batchrun.service.responders.script import Rule
from batchrun.service.responders.scripted import ScriptedResponder
from batchrun.service.running import running
from batchrun.service.service import BatchService

RULES = (
    Rule(prompt="refuse me", status=400, code="invalid_value", message="no such thing"),
    Rule(prompt="too long", finish=Finish.LENGTH, reply="cut off he"),
    Rule(prompt="crowd", times=1, status=429, code="rate_limit_exceeded"),
    Rule(prompt="busy", status=500, message="ill"),
    Rule(prompt="escape", reply="\x1b[31mred\x1b[0m\nand more"),
    Rule(prompt="twice", turn=1, reply="no label"),
    Rule(prompt="twice", turn=2, reply='{"label":"good"}'),
)


class Recording(ScriptedResponder):
    """Remembers what single requests asked; lines of batches have a custom_id."""

    asked: list[str]

    def respond(self, url: str, body: JsonObject, *, custom_id: str | None) -> Reply:
        if custom_id is None:
            self.asked.append(body["input"] if isinstance(body["input"], str) else "conversation")
        return super().respond(url, body, custom_id=custom_id)


@pytest.fixture
def server(
    tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[BatchService, list[str]]]:
    """A service on loopback, and the prompts of all single requests; the home's own folder for temporary files is empty."""
    clock = SystemClock()
    responder = Recording(RULES, clock=clock)
    responder.asked = []
    opened = BatchService(tmp_path / "service", responder, clock)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    try:
        with running(opened, api_key=KEY) as base_url:
            monkeypatch.setenv("OPENAI_BASE_URL", base_url)
            monkeypatch.setenv("OPENAI_API_KEY", KEY)
            (desk.folder / "batchrun.toml").write_text(FAST_PROFILE)
            yield opened, responder.asked
    finally:
        opened.close()
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.fixture
def asked(server: tuple[BatchService, list[str]]) -> list[str]:
    return server[1]
