"""Nothing that comes from outside makes a terminal do anything, whichever command prints it."""

import sqlite3
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from clikit import FAST_PROFILE, KEY, Called, Desk

from batchrun.cli.main import COMMANDS
from batchrun.clock import SystemClock
from batchrun.service.responders.script import Rule
from batchrun.service.responders.scripted import ScriptedResponder
from batchrun.service.running import running
from batchrun.service.service import BatchService

ESC = "\x1b]0;owned\x07\x1b[2J\u202e\x9b31m\u2066"
SHY = "\u202eq\u2066"  # what an id may hold
RULES = (
    Rule(prompt="answer", reply=f"red{ESC}\rgone"),
    Rule(prompt="fail", status=400, code=f"bad{ESC}", message=f"no{ESC}\nbatchrun: all is well"),
)


@pytest.fixture
def hostile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Desk]:
    """A desk whose folder, job file, model, ids, answers, refusals, batch ids and reasons are all written by somebody else."""
    folder = tmp_path / f"desk{ESC}"
    folder.mkdir()
    monkeypatch.chdir(folder)
    desk = Desk(folder=folder, capture=capsys)
    clock = SystemClock()
    service = BatchService(tmp_path / "service", ScriptedResponder(RULES, clock=clock), clock)
    with running(service, api_key=KEY) as base_url:
        monkeypatch.setenv("OPENAI_BASE_URL", base_url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        (folder / "batchrun.toml").write_text(FAST_PROFILE)
        job = {"job": "faq", "model": f"m{ESC}", "prompt": "{{ text }}", "max_output_tokens": 100}
        items = [{"id": f"{SHY}{n}", "text": text} for n, text in enumerate(("answer", "fail"))]
        desk.write(f"faq{ESC}.jsonl", job, *items)
        assert desk.call("run", f"faq{ESC}.jsonl").code == 3
        with sqlite3.connect(folder / ".batchrun" / "batchrun.db") as ledger:
            ledger.execute("update batch_rows set remote_id = ?", (f"batch_{ESC}",))
            ledger.execute("update batch_rows set remote_status = ?, reason = ?", (ESC, ESC))
        ledger.close()
        yield desk
    service.close()


WORDS = {
    "check": ("check", f"faq{ESC}.jsonl"),
    "check of a bad file": ("check", "bad.jsonl"),
    "check of no file": ("check", f"none{ESC}.jsonl"),
    "run": ("run", "-v", "-v", f"faq{ESC}.jsonl"),
    "try": ("try", "-v", f"faq{ESC}.jsonl"),
    "estimate": ("estimate", f"faq{ESC}.jsonl"),
    "estimate --compare": ("estimate", f"faq{ESC}.jsonl", "--compare", f"m{ESC},gpt-5-mini"),
    "submit": ("submit", f"faq{ESC}.jsonl"),
    "submit --dry-run": ("submit", "--dry-run", f"faq{ESC}.jsonl"),
    "tick": ("tick", "-v", "-v"),
    "wait": ("wait",),
    "status": ("status",),
    "status --check": ("status", "--check"),
    "results as files": ("results", "faq", "--format", "files"),
    "failures": ("failures",),
    "explain an answer": ("explain", "faq", f"{SHY}0"),
    "explain a failure": ("explain", "faq", f"{SHY}1"),
    "explain nothing": ("explain", "faq", f"{ESC}3"),
    "spend": ("spend", "--by", "model"),
    "spend by job": ("spend", "--by", "job", "--since", "2020-01-01"),
    "spend to nowhere": ("spend", "--html", f"none{ESC}/x"),
    "support": ("support", "faq", "--to", "-"),
    "support for nothing": ("support", f"faq{ESC}", "--to", f"x{ESC}"),
    "retry": ("retry", "faq", f"{SHY}1"),
    "retry nothing": ("retry", "faq", f"x{ESC}"),
    "hold": ("hold", "faq"),
    "hold nothing": ("hold", f"faq{ESC}"),
    "resume": ("resume", "faq"),
    "resume nothing": ("resume", f"faq{ESC}"),
    "cancel": ("cancel", "faq"),
    "cancel nothing": ("cancel", f"faq{ESC}"),
    "prune": ("prune",),
    "forget": ("forget", "faq", f"{SHY}0", "--yes"),
    "forget nothing": ("forget", "faq", ESC, "--yes"),
    "resolve": ("resolve", "1", "--not-created"),
    "adopt what is here": ("adopt", f"batch_{ESC}", "--job", "other"),
    "adopt nothing": ("adopt", f"none{ESC}", "--job", "other"),
    "adopt as nothing": ("adopt", "none", "--job", ESC, "--input", f"none{ESC}"),
    "recover": ("recover", f"faq{ESC}.jsonl", "--no-wait"),
    "verify": ("verify",),
    "doctor": ("doctor",),
    "new": ("new", f"gone{ESC}.csv"),
    "webhook": ("webhook", "--secret-env", f"X{ESC}"),
    "serve": ("serve", "--script", f"gone{ESC}.json"),
    "schema": ("schema",),
    "no such command": (f"ru{ESC}",),
    "no such option": ("status", f"--{ESC}"),
}


def assert_tame(called: Called) -> None:
    """No control character but the newline, and nothing that turns the direction of text."""
    for text in (called.out, called.err):
        found = {c for c in text if unicodedata.category(c) in {"Cc", "Cf", "Zl", "Zp"}} - {"\n"}
        assert not found, text


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
@pytest.mark.fault(54)
def test_no_command_sends_a_terminal_what_others_wrote(
    hostile: Desk, words: tuple[str, ...]
) -> None:
    hostile.write("bad.jsonl", {"job": f"x{ESC}", ESC: ESC, "model": ESC}, {"id": ESC}, ESC)
    assert_tame(hostile.call(*words))


def test_every_command_was_tried() -> None:
    assert {words[0] for words in WORDS.values()} >= COMMANDS.keys()


@pytest.mark.parametrize("words", [("status",), ("failures",), ("tick",), ("doctor",)])
def test_json_has_the_text_as_it_is_and_control_characters_as_json_spells_them(
    hostile: Desk, words: tuple[str, ...]
) -> None:
    called = hostile.call(*words, "--json")
    assert not {c for c in called.out if c < " "} - {"\n"}
    if words == ("status",):
        assert called.json["jobs"][0]["batches"] == []
        assert called.json["jobs"][0]["job_file"].endswith(f"faq{ESC}.jsonl")


def test_what_goes_wrong_inside_is_shown_with_v_and_obeyed_by_nobody(
    hostile: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A traceback quotes messages and paths."""
    from batchrun.cli import status

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError(ESC)

    monkeypatch.setattr(status, "_show", broken)
    called = hostile.call("status", "-v")
    assert called.code == 1
    assert_tame(called)
