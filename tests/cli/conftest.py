"""A user's folder, and a Batch service to talk to."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from clikit import FAST_PROFILE, KEY, Desk, desk, no_process_is_left
from tryserver import asked, server

from batchrun.clock import SystemClock
from batchrun.service.responders.script import Rule
from batchrun.service.responders.scripted import ScriptedResponder
from batchrun.service.running import running
from batchrun.service.service import BatchService

__all__ = ["asked", "desk", "no_process_is_left", "server", "service"]

# What this service does, told by the prompt.
RULES = (
    Rule(prompt="refuse me", status=400, code="invalid_value", message="no such thing"),
    Rule(prompt="too long", finish="length", reply="cut off he"),  # type: ignore[arg-type]  # as in a script
    Rule(prompt="hostile", status=400, code="invalid_value", message="\x1b[2Jgone"),
    Rule(prompt="escape", reply="\x1b[31mred\x1b[0m"),
)


@pytest.fixture
def service(tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Iterator[BatchService]:
    """A Batch service on loopback, in this process; the environment points to it, with its key."""
    clock = SystemClock()
    opened = BatchService(tmp_path / "service", ScriptedResponder(RULES, clock=clock), clock)
    try:
        with running(opened, api_key=KEY) as base_url:
            monkeypatch.setenv("OPENAI_BASE_URL", base_url)
            monkeypatch.setenv("OPENAI_API_KEY", KEY)
            (desk.folder / "batchrun.toml").write_text(FAST_PROFILE)
            yield opened
    finally:
        opened.close()
