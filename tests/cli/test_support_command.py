"""`batchrun support`: all that a service's support asks for, and nothing that is the user's own."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clikit import FAST_PROFILE, ROOT, Desk

from batchrun.clock import SystemClock
from batchrun.service.responders.script import Rule
from batchrun.service.responders.scripted import ScriptedResponder
from batchrun.service.running import running
from batchrun.service.service import BatchService

KEY = "sk-canary-7f3Zq0WbX9LmT2w4yz"
PROMPT, ANSWER, META, PERSON = "lavender-prompt", "saffron-answer", "indigo-metadata", "Ann"
OWN = (PROMPT, ANSWER, META, "lavender", "saffron", "indigo", KEY, KEY[3:], KEY[-8:], "crimson-id")
RULES = (
    Rule(
        prompt="refuse",
        status=400,
        code="invalid_value",
        message=f"Invalid value: '{PERSON}'. You sent {PROMPT.upper()} with {KEY} and user {META}; "
        "supported values are: 'low' and 'high'.",
    ),
    Rule(prompt="", reply=ANSWER),
)


@pytest.fixture
def asked(tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A desk with a job that ended: two answers, and a refusal that repeats what it was sent."""
    clock = SystemClock()
    opened = BatchService(tmp_path / "service", ScriptedResponder(RULES, clock=clock), clock)
    with running(opened, api_key=KEY) as base_url:
        monkeypatch.setenv("OPENAI_BASE_URL", base_url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("OPENAI_PROJECT_ID", "proj_shop")
        (desk.folder / "batchrun.toml").write_text(FAST_PROFILE)
        job = {
            "job": "faq",
            "model": "gpt-5-mini",
            "max_output_tokens": 2_000,
            "prompt": f"{PROMPT}: {{{{ text }}}} of {{{{ who }}}}",
            "metadata": {"mine": META},
            "body": {"metadata": {"user": META}},
        }
        texts = ("one", "two", "refuse")
        items = [{"id": f"crimson-id-{text}", "text": text, "who": PERSON} for text in texts]
        assert desk.call("run", desk.write("faq.jsonl", job, *items)).code == 3
        yield desk
    opened.close()


def document(desk: Desk) -> Any:
    return desk.call("support", "faq", "--json").json


def test_it_has_every_id_that_the_service_gave(asked: Desk) -> None:
    found = document(asked)
    (batch,) = found["batches"]
    (group,) = found["errors"]
    (refused,) = group["examples"]
    assert batch["id"].startswith("batch_")
    files = [batch[f"{kind}_file_id"] for kind in ("input", "output", "error")]
    assert all(file.startswith("file-") for file in files)
    assert len(set(files)) == 3
    assert (batch["status"], batch["requests"]) == ("completed", 3)
    assert batch["request_counts"] == {"total": 3, "completed": 2, "failed": 1}
    assert batch["times"]["created_at"] <= batch["times"]["completed_at"]
    assert (group["cause"], group["count"], refused["http_status"]) == ("bad_request", 1, 400)
    assert refused["batch_id"] == batch["id"]
    assert refused["request_id"].startswith("req_")
    assert refused["line_id"].startswith("batch_req_")
    assert refused["custom_id"].startswith("3-1-")
    assert found["counts"]["failed"] == 1
    assert found["tokens"]["output_tokens"] > 0


def test_it_says_what_a_batch_took_and_cost(asked: Desk) -> None:
    found = document(asked)
    (batch,) = found["batches"]
    took = batch["usage"]
    assert took == found["tokens"]
    assert batch["service_usage"]["input_tokens"] == took["input_tokens"]
    cost = 125_000 * took["input_tokens"] + 1_000_000 * took["output_tokens"]
    assert batch["cost"]["picodollars"] == cost
    assert batch["cost"]["prices"].startswith("genai-prices ")
    own = '[price."gpt-5-mini".batch]\ninput = 1\noutput = 2\n'
    (asked.folder / "batchrun.toml").write_text(f"{FAST_PROFILE}{own}")
    assert document(asked)["batches"][0]["cost"]["prices"] == "batchrun.toml"


def test_nothing_of_the_users_is_in_it_and_of_the_key_its_end(asked: Desk) -> None:
    printed = asked.call("support", "faq", "--json").out
    assert asked.call("support", "faq").out == (
        "Wrote support-faq.md. Read it before you send it.\n"
    )
    written = (asked.folder / "support-faq.md").read_text("utf-8")
    for text in (printed, written):
        assert [word for word in OWN if word.lower() in text.lower()] == []
        assert PERSON not in text
        assert KEY[-4:] in text
        assert "proj_shop" in text


def test_what_the_service_said_stays_but_for_what_it_repeats(asked: Desk) -> None:
    (group,) = document(asked)["errors"]
    (refused,) = group["examples"]
    assert refused["code"] == "invalid_value"
    assert refused["message"] == (
        "Invalid value: '[…]'. You sent […] with *** and user […]; supported values are: 'low' and 'high'."
    )


def test_the_end_of_another_key_is_not_told(asked: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-rotated-0123456789-0123456789")
    (account,) = document(asked)["accounts"]
    assert account["key_ends_with"] is None
    monkeypatch.delenv("OPENAI_API_KEY")
    assert document(asked)["accounts"] == [account]


def test_words_that_can_no_longer_be_held_against_their_request_are_withheld(asked: Desk) -> None:
    for path in (asked.folder / ".batchrun" / "spool" / "requests").iterdir():
        path.unlink()
    (group,) = document(asked)["errors"]
    (refused,) = group["examples"]
    assert (refused["message"], refused["withheld"]) == (None, True)
    assert refused["request_id"].startswith("req_")


def test_a_batch_that_failed_as_a_whole_says_what_the_service_says_of_it(asked: Desk) -> None:
    said = f"This line is not valid: 'Ann', '{PROMPT}: one of Ann', {KEY}"
    error = {"code": "invalid_request", "line": 1, "param": "body.input", "message": said}
    with sqlite3.connect(asked.folder / ".batchrun" / "batchrun.db") as ledger:
        (text,) = ledger.execute("select remote from batch_rows").fetchone()
        remote = {**json.loads(text), "errors": {"data": [error]}, "in_progress_at": 10**14}
        ledger.execute("update batch_rows set remote = ?", (json.dumps(remote),))
    ledger.close()
    (batch,) = document(asked)["batches"]
    assert batch["times"]["in_progress_at"] is None
    assert batch["errors"] == [
        {
            "code": "invalid_request",
            "line": 1,
            "param": "body.input",
            "withheld": False,
            "message": "This line is not valid: '[…]', '[…]', ***",
        }
    ]
    printed = asked.call("support", "faq", "--to", "-").out
    assert "| error | line 1: invalid_request (body.input) This line" in printed


def test_its_page_has_every_key(asked: Desk) -> None:
    page = (ROOT / "docs" / "support.md").read_text("utf-8")
    counted = {
        "counts",
        "request_counts",
        "usage",
        "service_usage",
        "times",
        "seen_here",
    }  # as the service says

    def keys(value: Any) -> set[str]:
        if isinstance(value, list):
            return set().union(*map(keys, value))
        inner = value.items() if isinstance(value, dict) else ()
        return {
            key for name, one in inner for key in {name, *(() if name in counted else keys(one))}
        }

    assert [key for key in keys(document(asked)) if f"`{key}`" not in page] == []


def test_a_file_that_is_there_is_replaced_only_when_told_to(asked: Desk) -> None:
    assert asked.call("support", "faq", "--to", "mine.md").code == 0
    again = asked.call("support", "faq", "--to", "mine.md")
    assert (again.code, "--yes" in again.err) == (2, True)
    assert asked.call("support", "faq", "--to", "mine.md", "--yes").code == 0
    assert asked.call("support", "faq", "--to", "no/such/folder.md").code == 2
    assert asked.call("support", "faq", "--to", "-", "--json").code == 2
    assert asked.call("support", "none").code == 2


def test_what_was_asked_line_by_line_says_so(desk: Desk, service: BatchService) -> None:
    assert desk.call("run", desk.job("faq", "one", "refuse me"), "--backend", "direct").code == 3
    found = desk.call("support", "faq", "--json").json
    (account,), (batch,), (group,) = found["accounts"], found["batches"], found["errors"]
    assert (account["asked"], account["base_url"][:16]) == ("live", "http://127.0.0.1")
    assert batch["cost"]["picodollars"] > 0
    assert group["examples"][0]["request_id"]
    assert group["examples"][0]["message"] == "no such thing"


def test_a_job_of_which_nothing_was_sent_has_little_to_tell(
    desk: Desk, service: BatchService
) -> None:
    desk.call("submit", desk.job("other"))
    desk.call("hold")
    desk.call("submit", desk.job())
    found = document(desk)
    assert (found["accounts"], found["batches"], found["errors"]) == ([], [], [])
    assert "| items | 2 items, 2 pending |" in desk.call("support", "faq", "--to", "-").out


def test_what_others_sent_is_named_as_they_named_it(asked: Desk) -> None:
    """As of adopted batches: the custom_id is what the service knows it by."""
    with sqlite3.connect(asked.folder / ".batchrun" / "batchrun.db") as ledger:
        ledger.execute("insert into asked_as select batch, item, 'their own' from result_rows")
    ledger.close()
    (group,) = document(asked)["errors"]
    (refused,) = group["examples"]
    assert (refused["custom_id"], refused["message"], refused["withheld"]) == (
        "their own",
        None,
        True,
    )
