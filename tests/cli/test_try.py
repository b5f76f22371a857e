"""`batchrun try`: a few items answered at once over a socket, beside the job or in it, and nothing else done."""

import json
import os
import shlex
import signal
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from clikit import Desk

from batchrun.api import Batchrun
from batchrun.cli.invocation import Invocation
from batchrun.cli.signals import Stopped, stoppable
from batchrun.cli.trying import Screen
from batchrun.config import load_config
from batchrun.ledger.home import Home
from batchrun.planning.policy import FOREVER
from batchrun.service.responders.base import Unanswered
from batchrun.service.service import BatchService
from batchrun.trying import TriedItem, TryOptions


def rows(desk: Desk, sql: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(desk.folder / ".batchrun" / "batchrun.db") as ledger:
        return ledger.execute(sql).fetchall()


def test_the_first_items_are_answered_and_nothing_of_it_stays(
    desk: Desk, server: tuple[BatchService, list[str]]
) -> None:
    called = desk.call("try", desk.job("faq", *"abcdefgh"))
    assert called.code == 0
    assert called.out == "q1\nQ: a\n\nq2\nQ: b\n\nq3\nQ: c\n\n"
    assert "faq (openai): 3 items, asked live as openai:live; nothing is kept" in called.err
    assert called.err.count("model gpt-5-mini, finish stop, 1 token in, 1 out") == 3
    assert "all 8 items would take 1 batch with 1.1 kB of requests" in called.err
    assert "about 8 input and 8 output tokens" in called.err
    service, asked = server
    assert sorted(asked) == ["Q: a", "Q: b", "Q: c"]
    assert dict(service.charges()) == {}
    assert {path.name for path in desk.folder.iterdir()} == {"batchrun.toml", "faq.jsonl"}


def test_at_a_terminal_answers_come_as_they_are_written_and_cannot_command_it(
    desk: Desk, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    called = desk.call("try", desk.job("faq", "escape", "two words"), "-v")
    assert called.out == "q1\n\\x1b[31mred\\x1b[0m\nand more\n\nq2\nQ: two words\n\n"
    assert '  request: {"method": "POST", "url": "/v1/responses", "body": {' in called.err
    assert "batchrun.running" not in called.err  # the log of -v stands in nobody's answer
    assert len(asked) == 2


def test_items_are_named_or_drawn(desk: Desk, asked: list[str]) -> None:
    file = desk.job("faq", *"abcdefgh")
    assert desk.call("try", file, "--ids", "q7,q2").out == "q2\nQ: b\n\nq7\nQ: g\n\n"
    drawn = desk.call("try", file, "-n", "2", "--sample", "5")
    assert drawn.out.count("Q: ") == 2
    assert desk.call("try", file, "-n", "2", "--sample", "5").out == drawn.out
    anew = desk.call("try", file, "-n", "2", "--sample")
    seed = anew.err.split()[1]
    assert desk.call("try", file, "-n", "2", "--sample", seed).out == anew.out
    asked.clear()
    unknown = desk.call("try", file, "--ids", "q2,q77")
    assert unknown.code == 2
    assert "no item 'q77'. Its items have ids like 'q1', 'q2', 'q3'." in unknown.err
    assert desk.call("try", file, "--ids", "q2", "--sample").code == 2
    assert asked == []


def test_an_item_without_an_id_is_named_by_its_line(desk: Desk, asked: list[str]) -> None:
    desk.write("data.jsonl", *({"text": text} for text in "abc"))
    file = desk.write(
        "faq.jsonl", {"job": "faq", "model": "m", "prompt": "Q: {{ text }}", "items": "data.jsonl"}
    )
    called = desk.call("try", file, "--ids", "data.jsonl:2")
    assert (called.code, called.out) == (0, "data.jsonl:2\nQ: b\n\n")
    assert asked == ["Q: b"]


@pytest.mark.usefixtures("asked")
def test_what_fails_is_judged_as_in_a_run(desk: Desk) -> None:
    file = desk.job("faq", "refuse me", "too long", "fine")
    tried = desk.call("try", file, "--json")
    assert tried.code == 3
    (job,) = tried.json["jobs"]
    desk.call("run", file)
    failures = {
        group["examples"][0]: group for group in desk.call("failures", "--json").json["failures"]
    }
    for item in job["tried"][:2]:
        group = failures[item["id"]]
        assert (item["cause"], item["fix"]) == (group["cause"], group["fix"])
        assert item["command"] is None
    assert [item["state"] for item in job["tried"]] == ["failed", "failed", "succeeded"]
    assert job["live"] == "openai:live"
    assert job["whole"]["items"] == 3
    assert tried.json["home"] is None
    shown = desk.call("try", file)
    assert f"  failed: {job['tried'][1]['cause']}: " in shown.err
    assert failures["q2"]["fix"] in shown.err
    causes = [item["cause"] for item in job["tried"]]
    assert shown.out == f"q1\n[failed: {causes[0]}]\n\nq2\n[failed: {causes[1]}]\n\nq3\nQ: fine\n\n"


@pytest.mark.usefixtures("asked")
def test_a_server_that_is_ill_is_not_waited_for(desk: Desk) -> None:
    called = desk.call("try", desk.job("faq", "busy"))
    assert called.code == 3
    assert "failed for now: server_error: HTTP 500" in called.err


def test_a_server_that_wants_a_pause_gets_it(desk: Desk, asked: list[str]) -> None:
    called = desk.call("try", desk.job("faq", "a crowd"))
    assert (called.code, called.out) == (0, "q1\nQ: a crowd\n\n")
    assert asked == ["Q: a crowd"] * 2


def test_guesses_claim_no_more_than_they_know(desk: Desk, asked: list[str]) -> None:
    called = desk.call("try", desk.job("faq", *(["word " * 40] * 200)), "-n", "1", "--keep")
    assert "about 10,000 input and 10,000 output tokens, if" in called.err
    assert "The others: batchrun run " in called.err
    assert len(asked) == 1


@pytest.mark.usefixtures("asked")
def test_the_others_are_asked_of_the_same_service_into_the_same_home(desk: Desk) -> None:
    (desk.folder / "tools.py").write_text('def f(a: str) -> str:\n    """Do it."""\n    return a\n')
    file = desk.job("faq", *"abcd")
    words = ("--backend", "direct", "--tools", "tools.py", "--home", "else where")
    kept = desk.call("try", file, "--keep", *words)
    (line,) = [line for line in kept.err.splitlines() if line.startswith("The others: ")]
    program, *rest = shlex.split(line.removeprefix("The others: "))
    assert program == "batchrun"
    path, home = rest[1], rest[-1]
    assert (Path(path).name, Path(home).resolve()) == (file, desk.folder / "else where")
    assert rest == ["run", path, *words[:-1], home]
    assert desk.call(*rest).code == 0
    plain = desk.call("try", file, "--keep")
    assert f"The others: batchrun run {path}\n" in plain.err


def test_repairs_are_made_at_once(desk: Desk, asked: list[str]) -> None:
    file = desk.job("faq", "twice", labels=["good", "bad"], repair={"attempts": 2})
    called = desk.call("try", file)
    assert (called.code, called.out) == (0, "q1\ngood\n\n")
    assert "2 requests" in called.err
    assert len(asked) == 2
    told = desk.call("try", file, "--backend", "direct", "--json").json["jobs"][0]
    (item,), whole = told["tried"], told["whole"]
    # Of one item, all is known: the sum is what it took, conversation and all.
    assert len(item["attempts"]) == 2
    for name in ("input_tokens", "output_tokens"):
        assert whole[name] == sum(attempt["usage"][name] for attempt in item["attempts"])


def test_errors_of_the_file_come_before_anything_is_asked_those_of_later_data_after(
    desk: Desk, asked: list[str]
) -> None:
    broken = desk.write("broken.jsonl", {"job": "x", "model": "m", "promt": "{{ text }}"})
    assert desk.call("try", broken).code == 5
    assert asked == []
    file = desk.job("faq", *"abcd")
    with (desk.folder / file).open("a") as opened:
        opened.write('{"id": "q1", "text": "again"}\n')
    called = desk.call("try", file)
    assert called.code == 5
    assert "duplicate id 'q1'" in called.err
    assert called.out.count("Q: ") == 3
    assert "would take" not in called.err


def test_one_job_of_a_file(desk: Desk, asked: list[str]) -> None:
    lines = [
        line
        for name in ("one", "two")
        for line in (
            {"job": name, "model": "m", "prompt": name + " {{ text }}"},
            {"id": "a", "text": "x"},
        )
    ]
    file = desk.write("jobs.jsonl", *lines)
    assert desk.call("try", file).code == 0
    assert asked == ["one x", "two x"]
    assert desk.call("try", file, "--job", "two").out == "a\ntwo x\n\n"
    unknown = desk.call("try", file, "--job", "six")
    assert unknown.code == 2
    assert "has no job 'six'. It has 'one', 'two'." in unknown.err


def test_a_wrong_key_or_none_is_told(
    desk: Desk, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = desk.job()
    monkeypatch.setenv("OPENAI_API_KEY", "another")
    called = desk.call("try", file)
    assert called.code == 6
    assert called.out == "q1\n[not asked]\n\nq2\n[not asked]\n\n"
    assert called.err.count("  not asked\n") == 2
    assert called.err.count("invalid_api_key") == 1
    assert [
        item["is_asked"] for item in desk.call("try", file, "--json").json["jobs"][0]["tried"]
    ] == [False, False]
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    down = desk.call("try", file)
    assert (down.code, down.out) == (6, called.out)
    assert down.err.count("cannot be reached") == 1
    monkeypatch.delenv("OPENAI_API_KEY")
    assert desk.call("try", file).code == 6
    assert asked == []


def test_kept_answers_are_the_jobs_and_a_run_asks_the_rest(
    desk: Desk, server: tuple[BatchService, list[str]]
) -> None:
    service, asked = server
    file = desk.job("faq", *"abcde")
    kept = desk.call("try", file, "-n", "2", "--keep")
    assert kept.code == 0
    assert f"home: {desk.folder / '.batchrun'}" in kept.err
    again = desk.call("try", file, "--keep", "--ids", "q2,q4")
    assert again.out == "q2\nQ: b\n\nq4\nQ: d\n\n"
    assert again.err.count("answered before; not asked again") == 1
    assert sorted(asked) == ["Q: a", "Q: b", "Q: d"]
    assert desk.call("tick").out == ""  # its end was seen
    assert desk.call("run", file).code == 0
    assert len(asked) == 3
    assert [custom_id.split("-")[0] for custom_id in dict(service.charges())] == ["4", "5"]
    assert [line["output"] for line in desk.outputs()] == [f"Q: {text}" for text in "abcde"]
    assert rows(desk, "select profile, request_count from batch_rows") == [
        ("openai:live", 2),
        ("openai:live", 1),
        ("openai", 2),
    ]
    assert desk.call("verify").code == 0


def test_what_waits_or_is_under_way_is_left_alone(
    desk: Desk, server: tuple[BatchService, list[str]]
) -> None:
    service, asked = server
    file = desk.job("faq", *"abcd")
    other = desk.job("other", "x")
    opened = Batchrun(
        home=Home(desk.folder / ".batchrun"),
        config=load_config(desk.folder / file, None, os.environ),
        clock=desk.clock,
    )
    opened.submit([desk.folder / file, desk.folder / other], send=False)
    assert desk.call("try", file, "--keep", "--ids", "q2").code == 0
    assert asked == ["Q: b"]
    assert rows(desk, "select profile, request_count from batch_rows") == [("openai:live", 1)]
    assert [state for (state,) in rows(desk, "select state from items order by item")] == [
        "pending",
        "succeeded",
        "pending",
        "pending",
        "pending",
    ]
    opened.tick()
    called = desk.call("try", file, "--keep", "--ids", "q1,q2")
    assert called.code == 4
    assert "in flight in an earlier batch; not asked here" in called.err
    assert "What is in flight: batchrun wait faq@openai\n" in called.err
    assert asked == ["Q: b"]
    assert desk.call("run", file, other).code == 0
    assert sorted(dict(service.charges()).values()) == [1, 1, 1, 1]


def test_a_held_job_is_not_asked_and_a_changed_one_is_guarded(desk: Desk, asked: list[str]) -> None:
    file = desk.job("faq", *"abc")
    assert desk.call("try", file, "--keep").code == 0
    changed = desk.job("faq", *"abc", prompt="Why: {{ text }}", max_new=2)
    assert desk.call("try", changed).code == 0  # only what becomes part of the job is guarded
    asked.clear()
    guarded = desk.call("try", changed, "--keep")
    assert guarded.code == 8
    assert asked == []
    desk.call("hold")
    held = desk.call("try", desk.job("faq", *"abcd"), "--keep", "--ids", "q4")
    assert held.code == 8
    assert "What was new is queued, and is sent after `batchrun resume`." in held.err
    assert asked == []
    desk.call("resume")
    desk.call("hold", "faq")
    alone = desk.call("try", desk.job("faq", *"abcd"), "--keep", "--ids", "q4")
    assert "is sent after `batchrun resume faq@openai`." in alone.err
    desk.call("resume", "faq")
    with sqlite3.connect(desk.folder / ".batchrun" / "batchrun.db") as ledger:
        ledger.execute(
            "insert into holds values ('openai', '', ?, 0, 'run batchrun recover')", (FOREVER,)
        )
    recovering = desk.call("try", desk.job("faq", *"abcd"), "--keep", "--ids", "q4")
    assert recovering.code == 8
    assert "run batchrun recover" in recovering.err
    assert asked == []


def test_what_others_ask_live_is_not_executed_along(desk: Desk, asked: list[str]) -> None:
    canary = {"items": 1, "live": True, "max_failed": 0.5}
    other = desk.job("other", *"xyz", canary=canary)
    assert desk.call("submit", other).code == 0
    assert rows(desk, "select profile, request_count from batch_rows") == [("openai:live", 1)]
    assert desk.call("try", desk.job("faq", "a"), "--keep").code == 0
    assert asked == ["Q: a"]
    assert desk.call("run", other).code == 0
    assert asked == ["Q: a", "Q: x"]


def test_a_canary_and_a_trial_of_the_same_job_go_along_with_each_other(
    desk: Desk, server: tuple[BatchService, list[str]]
) -> None:
    service, asked = server
    file = desk.job("faq", *"abcdefgh", canary={"items": 3, "max_failed": 0.5})
    opened = Batchrun(
        home=Home(desk.folder / ".batchrun"),
        config=load_config(desk.folder / file, None, os.environ),
        clock=desk.clock,
    )
    opened.submit([desk.folder / file], send=False)
    assert desk.call("try", file, "--keep", "--ids", "q1,q8").code == 0
    assert sorted(asked) == ["Q: a", "Q: h"]
    assert desk.call("verify").code == 0
    assert desk.call("run", file).code == 0
    assert sorted(dict(service.charges()).values()) == [1] * 6
    assert desk.call("verify").code == 0


class Watching:
    """A watcher that remembers, and is interrupted where it should be."""

    def __init__(self, *, interrupted_by: str = "") -> None:
        self.items: list[TriedItem] = []
        self._interrupted_by = interrupted_by

    def begin(self, *_: object) -> None:
        """Nothing to note."""

    def ask(self, *_: object) -> None:
        """Nothing to note."""

    def show(self, item: TriedItem) -> None:
        self.items.append(item)
        if item.life.id == self._interrupted_by:
            raise KeyboardInterrupt


def test_an_answer_that_is_stopped_half_way_is_none_and_ctrl_c_leaves_nothing(
    desk: Desk, asked: list[str]
) -> None:
    def stop_second(custom_id: str, _text: str) -> None:
        if custom_id.startswith("2-"):
            raise Unanswered("stopped")

    file = desk.folder / desk.job("faq", *"abc")
    opened = Batchrun(
        home=Home(desk.folder / ".batchrun"),
        config=load_config(file, None, os.environ),
        clock=desk.clock,
        on_delta=stop_second,
    )
    watcher = Watching(interrupted_by="q2")
    options = TryOptions(is_one_by_one=True)
    with pytest.raises(KeyboardInterrupt):
        opened.try_out(file, options, watcher)
    first, second = watcher.items
    assert first.is_answered
    assert second.life.cause == "uncertain"
    assert second.life.output is None
    assert len(asked) == 2
    assert not opened.home.path.exists()


def test_after_ctrl_c_an_answer_goes_on_no_more(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(Invocation(), is_watched=True, is_kept=False)

    def interrupted() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            with pytest.raises(Unanswered):
                screen.delta("1-1-a", "half")
            raise

    screen.delta("1-1-a", "one ")
    with pytest.raises(Stopped), stoppable():
        interrupted()
    screen.delta("1-1-a", "two")
    assert capsys.readouterr().out == "one \ntwo"


def test_after_ctrl_c_the_line_to_go_on_with_waits_for_what_is_in_flight(
    desk: Desk, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    delta = Screen.delta

    def interrupted(screen: Screen, custom_id: str, text: str) -> None:
        monkeypatch.setattr(Screen, "delta", delta)
        signal.raise_signal(signal.SIGINT)
        delta(screen, custom_id, text)

    monkeypatch.setattr(Screen, "delta", interrupted)
    file = desk.job("faq", *"abc")
    called = desk.call("try", file, "--keep", "--home", "apart")
    assert called.code == 130
    (line,) = called.err.splitlines()[-1:]
    assert line.startswith(
        "batchrun: interrupted; nothing is lost. Go on with: batchrun wait faq@openai --home "
    )
    words = shlex.split(line.partition("Go on with: batchrun ")[2])
    assert desk.call(*words).code == 3
    assert asked.count("Q: a") == 1


def test_functions_run_as_they_do_in_a_run(desk: Desk, asked: list[str]) -> None:
    (desk.folder / "tools.py").write_text(
        'def weather(city: str) -> str:\n    """Tell it."""\n    return "rain in " + city\n'
    )
    file = desk.job("faq", "one", rounds=2, body={"tool_choice": "required"})
    called = desk.call("try", file, "--tools", "tools.py", "--json")
    (item,) = called.json["jobs"][0]["tried"]
    assert item["calls"][0]["name"] == "weather"
    assert item["calls"][0]["output"].startswith("rain in ")
    assert len(asked) >= 2
    assert json.dumps(item)


@pytest.mark.parametrize("keep", [(), ("--keep",)], ids=["thrown away", "kept"])
def test_items_that_ask_the_same_are_tried_as_they_would_be_asked(
    desk: Desk, asked: list[str], keep: tuple[str, ...]
) -> None:
    called = desk.call("try", desk.job("faq", "a", "a", "a", "b"), *keep)
    assert called.code == 0
    assert called.out == "q1\nQ: a\n\nq2\nQ: a\n\nq3\nQ: a\n\n"
    if keep:
        assert rows(desk, "select count(*) from items where state = 'succeeded'") == [(3,)]
        assert desk.call("verify").code == 0
