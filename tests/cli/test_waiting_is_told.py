"""Items that wait for their next attempt are seen: how many, why, until when."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from clikit import FAST_PROFILE, KEY, Desk

from batchrun.clock import SystemClock, rfc3339
from batchrun.service.responders.script import Rule
from batchrun.service.responders.scripted import ScriptedResponder
from batchrun.service.running import running
from batchrun.service.service import BatchService

ITEMS = ("busy one", "busy two", "broken", "good")


@pytest.fixture
def busy(tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Iterator[BatchService]:
    """A service that refuses each item of ITEMS but the last once, in ways that pass."""
    clock = SystemClock()
    rules = (
        Rule(prompt="busy", status=429, code="rate_limit_exceeded", message="later", times=1),
        Rule(prompt="broken", status=500, code="server_error", message="oops", times=1),
    )
    opened = BatchService(tmp_path / "service", ScriptedResponder(rules, clock=clock), clock)
    try:
        with running(opened, api_key=KEY) as base_url:
            monkeypatch.setenv("OPENAI_BASE_URL", base_url)
            monkeypatch.setenv("OPENAI_API_KEY", KEY)
            (desk.folder / "batchrun.toml").write_text(FAST_PROFILE)
            yield opened
    finally:
        opened.close()


def test_status_says_how_many_wait_for_a_retry_why_and_until_when(
    desk: Desk, busy: BatchService
) -> None:
    desk.call("submit", desk.job("faq", *ITEMS))
    for _ in range(1_000):
        desk.clock.advance(1)
        desk.call("tick")
        (job,) = desk.call("status", "--json").json["jobs"]
        if job["counts"]["pending"] == 3:
            break
    assert [reason.split(" (")[0] for reason in job["waiting"]] == [
        "2 items go again: rate_limited",
        "1 item goes again: server_error",
    ]
    assert job["next_at"] is not None
    assert job["next_at"] > rfc3339(desk.clock.now())
    assert job["next_at"] in "".join(job["waiting"])
    shown = desk.call("status").out
    assert "waiting for a retry" in shown
    assert f"  waits: {job['waiting'][0]}" in shown
    (line,) = desk.call("wait", "--for", "0").err.splitlines()
    assert "2 items go again: rate_limited" in line
    assert f"next look {job['next_at']}" in line


@pytest.mark.parametrize("words", [("wait",), ("run", "faq.jsonl")])
def test_who_waits_without_a_terminal_is_told_once_of_each_retry(
    desk: Desk, busy: BatchService, words: tuple[str, ...]
) -> None:
    path = desk.job("faq", *ITEMS)
    desk.call("submit", path)
    called = desk.call(*words)
    assert called.code == 0
    told = [line for line in called.err.splitlines() if "goes again" in line or "go again" in line]
    assert len(told) == 2
    assert told[0].startswith("batchrun: faq (openai): 2 items go again: rate_limited")
    assert desk.call("status", "--json").json["jobs"][0]["waiting"] == []
