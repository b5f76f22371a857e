"""Equal requests, as the command line tells of them: what is asked once, what earlier jobs have answered, and what that saves."""

import pytest
from clikit import Desk

from batchrun.service.service import BatchService


def test_estimate_asks_equal_requests_once_and_says_what_that_saves(desk: Desk) -> None:
    alone = desk.call("estimate", "--json", desk.job("faq", "one", "two")).json["jobs"][0]
    path = desk.job("faq", "one", "two", "two", "two")

    (job,) = desk.call("estimate", "--json", path).json["jobs"]
    assert job["items"]["shared"] == 2
    assert (job["requests"], job["costs"]) == (alone["requests"], alone["costs"])
    assert job["shared"]["requests"] == 2
    saved = job["shared"]["costs"]["batch"]["expected"]["picodollars"]
    assert saved == alone["costs"]["batch"]["expected"]["picodollars"]
    assert job["reused"] is None
    text = desk.call("estimate", path).out
    assert "  saved   2 equal requests are asked once: saves $0." in text

    (every,) = desk.call("estimate", "--json", "--no-dedupe", path).json["jobs"]
    assert (every["requests"], every["shared"]) == (4, None)


def test_a_submit_and_a_check_say_how_many_are_asked_once(
    desk: Desk, service: BatchService
) -> None:
    path = desk.job("faq", "one", "two", "two")
    assert "3 items; 1 asks what another asks, and is not asked" in desk.call("check", path).out
    assert "3 items: 3 new, 1 not asked, since others ask the same" in desk.call("submit", path).out
    assert desk.call("wait").code == 0
    assert [line["status"] for line in desk.outputs()] == ["succeeded"] * 3
    explained = desk.call("explain", "faq", "q3").out
    assert "answered with the answer of q2, which asked the same" in explained
    assert "attempt 1: shared" in explained


def test_a_job_may_take_the_answers_of_earlier_ones(desk: Desk, service: BatchService) -> None:
    assert desk.call("run", desk.job("old", "one", "two")).code == 0
    path = desk.job("new", "two", "three", "one", cache=True)

    (job,) = desk.call("estimate", "--json", path).json["jobs"]
    assert (job["requests"], job["reused"]["requests"]) == (1, 2)
    assert "2 requests were answered by earlier jobs: saves $0." in desk.call("estimate", path).out
    called = desk.call("run", path)
    old, new = desk.outputs("old"), desk.outputs("new")
    saved = sum(line["usage"]["input_tokens"] + line["usage"]["output_tokens"] for line in old)
    assert f"3 new, 2 answered by earlier jobs, {saved:,} tokens saved" in called.err
    report = (desk.folder / "outputs" / "new" / "report.md").read_text("utf-8")
    assert "answer to an equal request: 2, 2 of them to one of an earlier job; saved " in report
    assert [line["output"] for line in new[::2]] == [line["output"] for line in old[::-1]]
    assert [line["attempts"] for line in new] == [0, 1, 0]
    assert "answered with the answer of q2 of old" in desk.call("explain", "new", "q1").out
    assert len(service.list_batches(limit=10)["data"]) == 2


def test_other_jobs_are_asked_anew_unless_they_say_otherwise(
    desk: Desk, service: BatchService
) -> None:
    assert desk.call("run", desk.job("old", "one")).code == 0
    assert desk.call("run", desk.job("new", "one")).code == 0
    assert desk.outputs("new")[0]["attempts"] == 1


def test_answers_of_another_server_will_not_do(
    desk: Desk, service: BatchService, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert desk.call("run", desk.job("old", "one")).code == 0
    path = desk.job("new", "one", cache=True)
    assert desk.call("submit", "--dry-run", "--json", path).json["jobs"][0]["items"]["reused"] == 1
    monkeypatch.setenv("OPENAI_BASE_URL", "https://elsewhere.example/v1")
    assert desk.call("submit", "--dry-run", "--json", path).json["jobs"][0]["items"]["reused"] == 0
