"""Functions on the command line: the sample from end to end, and calls that wait until somebody names a file."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from clikit import FAST_PROFILE, KEY, ROOT, Desk

from batchrun.clock import SystemClock
from batchrun.service.responders.script import read_rules
from batchrun.service.responders.scripted import ScriptedResponder
from batchrun.service.running import running
from batchrun.service.service import BatchService

SAMPLE = ROOT / "samples" / "orders.py"
JOB = ROOT / "jobs" / "orders.jsonl"


@pytest.fixture
def shop(tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A desk with the sample job, and at its far end what `serve --script samples/orders-script.json` plays."""
    clock = SystemClock()
    rules = read_rules(ROOT / "samples" / "orders-script.json")
    opened = BatchService(tmp_path / "service", ScriptedResponder(rules, clock=clock), clock)
    with running(opened, api_key=KEY) as base_url:
        monkeypatch.setenv("OPENAI_BASE_URL", base_url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        (desk.folder / "batchrun.toml").write_text(FAST_PROFILE)
        desk.write("orders.jsonl", JOB.read_bytes().rstrip())
        yield desk
    opened.close()


def test_the_sample_runs_from_end_to_end(shop: Desk) -> None:
    assert shop.call("check", "orders.jsonl", "--tools", str(SAMPLE)).code == 0
    called = shop.call("run", "orders.jsonl", "--tools", str(SAMPLE))
    assert called.code == 0, called
    answers = {line["id"]: (line["attempts"], line["output"]) for line in shop.outputs("orders")}
    assert {item: attempts for item, (attempts, _) in answers.items()} == {
        "m1": 2,
        "m2": 2,
        "m3": 1,
    }
    assert "19 October" in answers["m2"][1]
    report = (shop.folder / "outputs" / "orders" / "report.md").read_text("utf-8")
    assert "tools: 3 calls, 1 error." in report
    assert "error: LookupError: there is no order A-9999" in report
    told = shop.call("explain", "orders", "m2").out
    assert ': return_until({"order":"A-1002"}) -> "2026-10-19"' in told
    assert json.loads(shop.call("status", "--json").out)["jobs"][0]["open_calls"] == 0


def test_calls_wait_visibly_for_a_file_and_the_waiting_ends(shop: Desk) -> None:
    refused = shop.call("submit", "orders.jsonl")
    assert refused.code == 5
    assert "orders.jsonl:1: 'rounds' offers functions" in refused.err
    assert shop.call("submit", "orders.jsonl", "--tools", str(SAMPLE)).code == 0
    waited = shop.call("wait")
    assert waited.code == 4
    words = "3 calls wait for tools: batchrun tick --tools FILE"
    assert words in waited.err
    assert "Go on with: batchrun wait orders@openai --tools FILE" in waited.err
    shown = shop.call("status").out
    assert f"waits: {words}" in shown
    assert "waiting for tools" in shown
    told = {one["name"]: one for one in shop.call("doctor", "--json").json["checks"]}
    assert "3 calls of functions wait" in told["calls"]["what"]
    assert told["calls"]["fix"].startswith("batchrun tick --tools FILE")
    assert (silent := shop.call("tick")).code == 0
    assert silent.out + silent.err == ""
    assert shop.call("tick", "--tools", "nowhere.py").code == 2
    hasty = shop.call("tick", "--tools", str(SAMPLE), "--tool-timeout", "0")
    assert (hasty.code, shop.call("status", "--json").json["jobs"][0]["open_calls"]) == (2, 3)
    assert "--tool-timeout: 0 s are too short" in hasty.err
    assert shop.call("wait", "--tools", str(SAMPLE)).code == 0


def test_a_job_that_was_submitted_goes_on_without_tools_until_its_calls_wait(shop: Desk) -> None:
    first = shop.call("submit", "orders.jsonl", "--tools", str(SAMPLE))
    assert first.code == 0
    assert f"Go on with: batchrun wait --tools {SAMPLE}" in first.err
    again = shop.call("submit", "orders.jsonl")
    assert again.code == 0
    assert "3 unchanged" in again.out
    ran = shop.call("run", "orders.jsonl")
    assert ran.code == 4
    assert "3 calls wait for tools: batchrun tick --tools FILE" in ran.err
    assert shop.call("run", "orders.jsonl", "--tools", str(SAMPLE)).code == 0
    assert shop.call("run", "orders.jsonl").code == 0
    fresh = shop.call("run", "orders.jsonl", "--fresh", "--yes")
    assert (fresh.code, "no file of functions was named" in fresh.err) == (5, True)


def test_a_tick_says_once_that_calls_wait(shop: Desk) -> None:
    assert shop.call("submit", "orders.jsonl", "--tools", str(SAMPLE)).code == 0
    told = []
    for _ in range(20):
        called = shop.call("tick")
        told.append((called.code, called.err))
        if called.code == 4:
            break
        shop.clock.advance(60)
    assert told[-1][0] == 4, told
    assert "job orders@openai 3 calls wait for tools" in told[-1][1]
    assert (again := shop.call("tick")).code == 0
    assert again.err == ""


def test_a_tick_with_the_functions_of_no_job_says_so(shop: Desk) -> None:
    assert shop.call("submit", "orders.jsonl", "--tools", str(SAMPLE)).code == 0
    assert shop.call("wait").code == 4
    shop.write(
        "other.py", "def other(x: str) -> str:", '    """Not what was offered."""', "    return x"
    )
    called = shop.call("tick", "--tools", "other.py")
    assert called.code == 4
    assert "no job was submitted with the functions of other.py" in called.err
