"""What the commands that only look print: status, results, failures, explain, documents for machines, the log."""

import json
import logging
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from clikit import Desk

from batchrun.service.service import BatchService

MIXED = ("one", "two", "refuse me", "too long")


def test_status_is_a_table_with_the_batches_in_flight(desk: Desk, service: BatchService) -> None:
    desk.call("submit", desk.job())
    called = desk.call("status")
    header, row, batch = called.out.splitlines()
    columns = ["JOB", "BACKEND", "ITEMS", "DONE", "FAILED", "CANCELLED", "OPEN", "STATE"]
    assert header.split() == columns
    assert row.split() == ["faq", "openai", "2", "0", "0", "0", "2", "1", "batch", "in", "flight"]
    assert batch.strip().startswith("batch_")
    assert "next look 2026-" in batch
    assert (called.code, desk.call("status", "faq").code) == (0, 4)
    desk.call("wait")
    assert desk.call("status", "faq@openai").code == 0


def test_status_of_a_home_without_jobs_says_so(desk: Desk) -> None:
    desk.call("run", desk.job())  # no key: the home is there, the job is not
    called = desk.call("status")
    assert (called.code, called.out) == (0, f"no jobs yet in {desk.folder}/.batchrun\n")


def test_status_check_fails_when_nothing_ticks(desk: Desk, service: BatchService) -> None:
    desk.call("submit", desk.job())
    assert desk.call("status", "--check").out.startswith("ok: ")
    desk.clock.advance(3_700)
    late = desk.call("status", "--check")
    assert late.code == 4
    assert "still runs `batchrun tick`" in late.err
    assert desk.call("status", "--check", "--max-age", "2h").code == 0
    assert desk.call("status", "--check", "--json").json["overdue"] is True
    desk.call("wait")
    desk.clock.advance(100_000)
    assert desk.call("status", "--check").code == 0  # nothing to do is no reason to worry


def test_status_watches_until_nothing_is_open(desk: Desk, service: BatchService) -> None:
    path = desk.job()
    desk.call("run", path)
    assert desk.call("status", "--watch").out.count("done") == 1


def test_results_stream_at_any_time(desk: Desk, service: BatchService) -> None:
    desk.call("submit", desk.job())
    early = desk.call("results", "faq")
    assert [json.loads(line)["output"] for line in early.out.splitlines()] == [None, None]
    refused = desk.call("results", "faq", "--complete")
    assert (refused.code, refused.out) == (4, "")
    assert "2 open items" in refused.err
    desk.call("wait")
    whole = desk.call("results", "faq", "--complete")
    assert whole.out.encode() == (desk.folder / "outputs/faq/results.jsonl").read_bytes()
    table = desk.call("results", "faq", "--format", "csv").out
    assert table.splitlines()[0].startswith("id,")


def test_results_as_files_are_written_now(desk: Desk, service: BatchService) -> None:
    desk.call("submit", desk.job(output={"files": "{{ id }}.md"}))
    called = desk.call("results", "faq", "--format", "files")
    assert called.out == f"{desk.folder}/outputs/faq\n"
    assert json.loads((desk.folder / "outputs/faq/manifest.json").read_text())["complete"] is False
    desk.call("wait")
    document = desk.call("results", "faq", "--format", "files", "--json").json
    assert document["complete"] is True
    assert (desk.folder / "outputs/faq/files/q1.md").read_text().strip() == "Q: one"


def test_failures_have_their_fix_and_command(desk: Desk, service: BatchService) -> None:
    desk.call("run", desk.job("faq", *MIXED))
    called = desk.call("failures")
    assert called.code == 0
    assert "faq (openai): 1 x length: the answer was cut at max_output_tokens" in called.out
    assert f"  command: batchrun submit {desk.folder}/faq.jsonl --new-only" in called.out
    groups = desk.call("failures", "--json", "faq").json["failures"]
    assert {(group["cause"], group["count"]) for group in groups} == {
        ("bad_request", 1),
        ("length", 1),
    }


def test_commands_to_paste_name_the_home_where_they_would_not_find_it(
    desk: Desk, service: BatchService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.call("run", desk.job("faq", *MIXED))
    monkeypatch.chdir(tmp_path)
    home = str(desk.folder / ".batchrun")
    assert f"--home {home}" in desk.call("failures", "--home", home).out
    monkeypatch.setenv("BATCHRUN_HOME", home)
    assert "--home" not in desk.call("failures").out


def test_no_failures_are_no_news(desk: Desk, service: BatchService) -> None:
    desk.call("run", desk.job())
    assert desk.call("failures").out == "no failed items\n"


def test_explain_tells_the_life_of_an_item(desk: Desk, service: BatchService) -> None:
    desk.call("run", desk.job("faq", *MIXED))
    called = desk.call("explain", "faq", "q3")
    assert called.out.startswith("item q3 of faq (openai): failed\n")
    for word in ("request: ", "attempt 1: failed", "custom_id 3-1-", "raw: {", "created"):
        assert word in called.out
    found = desk.call("explain", "--json", "faq", "q1").json
    assert (found["id"], found["state"], found["output"]) == ("q1", "succeeded", "Q: one")
    unknown = desk.call("explain", "faq", "q9")
    assert unknown.code == 2
    assert "Its items have ids like 'q1', 'q2', 'q3'" in unknown.err


def test_explain_shows_the_beginning_of_what_is_long(desk: Desk, service: BatchService) -> None:
    desk.call("run", desk.job("faq", "long " * 1_200))
    out = desk.call("explain", "faq", "q1").out
    assert max(map(len, out.splitlines())) < 4_200
    assert "characters; --json shows all of them)" in out
    found = desk.call("explain", "--json", "faq", "q1").json
    assert len(found["output"]) > 5_000


@pytest.mark.fault(54)
def test_foreign_text_cannot_move_the_cursor(desk: Desk, service: BatchService) -> None:
    assert desk.call("run", desk.job("faq", "escape", "hostile refusal")).code == 3
    for words in (("failures",), ("explain", "faq", "q1"), ("explain", "faq", "q2"), ("status",)):
        called = desk.call(*words)
        assert called.code == 0
        assert "\x1b" not in called.out + called.err
    assert "\\x1b[2Jgone" in desk.call("failures").out


def test_the_schema_takes_job_lines(desk: Desk) -> None:
    schema: Any = json.loads(desk.call("schema").out)
    check = jsonschema_rs.validator_for(schema)
    assert check.is_valid({"job": "faq", "model": "m", "prompt": "{{ text }}"})
    assert not check.is_valid({"job": "faq", "promt": "x"})


def test_json_documents_of_the_whole_way(desk: Desk, service: BatchService) -> None:
    path = desk.job("faq", *MIXED)
    submitted = desk.call("submit", "--json", path).json
    assert submitted["home"] == str(desk.folder / ".batchrun")
    assert submitted["jobs"][0]["items"]["new"] == 4
    assert submitted["next_at"].endswith("Z")
    waited = desk.call("wait", "--json")
    assert waited.code == 3
    assert waited.json["jobs"][0]["counts"]["failed"] == 2
    assert waited.json["next_at"] is None or waited.json["problems"] == []
    assert desk.call("run", "--json", path).json["jobs"][0]["open"] is False
    assert desk.call("tick", "--json").json["jobs"] == []


def test_v_logs_each_transition_and_no_key(desk: Desk, service: BatchService) -> None:
    called = desk.call("run", "-v", desk.job())
    assert "creating -> created" in called.err
    assert "sk-rehearsal" not in called.err
    assert logging.getLogger("batchrun").handlers == []


@pytest.mark.fault(55)
def test_v_twice_logs_no_key_either(desk: Desk, service: BatchService) -> None:
    called = desk.call("run", "-vv", desk.job())
    assert called.code == 0
    assert "sk-rehearsal" not in called.err


def test_retry_takes_the_items_of_one_cause(desk: Desk, service: BatchService) -> None:
    desk.call("run", desk.job("faq", *MIXED))
    assert (
        "no failed items of cause 'timeout'" in desk.call("retry", "faq", "--cause", "timeout").out
    )
    assert desk.call("retry", "faq", "q3", "--cause", "length").code == 2
    assert desk.call("retry", "faq", "--cause", "length", "--json").json["queued"] == 1
    called = desk.call("failures", "faq", "--json").json["failures"]
    assert [group["cause"] for group in called] == ["bad_request"]
