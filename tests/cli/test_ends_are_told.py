"""The end of a job is told to somebody, whichever command found it; and to nobody twice by `tick`."""

import pytest
from clikit import Desk

from batchrun.service.service import BatchService

FAILED = ("one", "refuse me")


def found_by_a_submit(desk: Desk, path: str) -> None:
    """A second `submit` of the same file collects what the first one sent; its pass finds the end, and it speaks of what it queued only."""
    for _ in range(1_000):
        desk.clock.advance(60)
        called = desk.call("submit", path)
        assert called.code == 0
        assert "finished" not in called.out
        (job,) = desk.call("status", "--json").json["jobs"]
        if not job["open"]:
            return
    raise AssertionError("the batch never ended")


def test_an_end_that_a_submit_found_is_told_by_the_next_tick_and_by_no_other(
    desk: Desk, service: BatchService
) -> None:
    path = desk.job("faq", *FAILED)
    desk.call("submit", path)
    found_by_a_submit(desk, path)
    called = desk.call("tick")
    assert called.code == 3
    assert called.out.startswith("faq (openai): finished, 1 of 2 items succeeded, 1 failed.")
    again = desk.call("tick")
    assert (again.code, again.out, again.err) == (0, "", "")


def test_a_submit_in_which_nothing_is_new_is_no_new_end(desk: Desk, service: BatchService) -> None:
    path = desk.job("faq", *FAILED)
    desk.call("submit", path)
    found_by_a_submit(desk, path)
    assert desk.call("tick").code == 3
    desk.call("submit", path)
    called = desk.call("tick")
    assert (called.code, called.out) == (0, "")


@pytest.mark.parametrize("words", [("wait",), ("wait", "faq"), ("run", "faq.jsonl")])
def test_what_wait_and_run_told_is_not_told_by_tick_again(
    desk: Desk, service: BatchService, words: tuple[str, ...]
) -> None:
    desk.call("submit", desk.job("faq", *FAILED))
    assert desk.call(*words).code == 3
    assert desk.call("tick").out == ""


def test_the_end_of_a_job_that_wait_was_not_asked_for_is_told_by_tick(
    desk: Desk, service: BatchService
) -> None:
    desk.call("submit", desk.job("faq", *FAILED), desk.job("other", "one"))
    for _ in range(1_000):
        assert "faq" not in desk.call("wait", "other").out
        desk.clock.advance(60)
        if not any(job["open"] for job in desk.call("status", "--json").json["jobs"]):
            break
    called = desk.call("tick", "--json")
    assert called.code == 3
    assert [job["job"] for job in called.json["jobs"]] == ["faq"]
    assert desk.call("tick", "--json").json["jobs"] == []


def test_items_that_are_asked_again_end_anew(desk: Desk, service: BatchService) -> None:
    desk.call("run", desk.job("faq", *FAILED))
    desk.call("retry", "faq")
    for _ in range(1_000):
        desk.clock.advance(60)
        called = desk.call("tick")
        if called.out:
            break
    assert called.code == 3
