"""`hold` and `resume` at the command line: what they say, and who else says it."""

import pytest
from clikit import Desk

from batchrun.service.service import BatchService


def held(desk: Desk, *words: str) -> str:
    """A job that was queued after a hold of the whole home, or before one of its own."""
    path = desk.job("faq")
    if words:
        desk.call("submit", path)  # in flight
    desk.call("submit", desk.job("other"))
    called = desk.call("hold", *words)
    assert called.code == 0
    return called.out


def test_hold_says_since_when_and_how_to_go_on(desk: Desk, service: BatchService) -> None:
    said = held(desk, "faq")
    assert said.startswith("faq@openai: held since 20")
    assert said.endswith("0 items wait, 2 in batches. Go on with: batchrun resume faq@openai\n")


def test_a_held_home_is_told_by_one_tick_and_by_no_other(desk: Desk, service: BatchService) -> None:
    held(desk)
    told = desk.call("tick")
    assert told.code == 4
    assert told.err.startswith("batchrun: the home is held since 20")
    assert told.err.endswith("nothing more of it is sent. Go on with: batchrun resume\n")
    again = desk.call("tick")
    assert (again.code, again.err) == (0, "")


def test_a_hold_that_was_told_is_not_told_of_the_job_that_starts_over(
    desk: Desk, service: BatchService
) -> None:
    path = desk.job("faq")
    desk.call("submit", path)
    desk.call("hold", "faq")
    assert "held since" in desk.call("tick").err
    assert desk.call("submit", "--fresh", "--yes", path).code == 0
    assert "held since" in desk.call("status", "faq").out
    assert "held since" not in desk.call("tick").err


def test_a_hold_behind_which_nothing_waits_is_not_told(desk: Desk, service: BatchService) -> None:
    desk.call("run", desk.job("faq"))
    desk.call("hold", "faq")
    called = desk.call("tick")
    assert (called.code, called.err) == (0, "")


@pytest.mark.parametrize("words", [("wait",), ("run", "faq.jsonl"), ("status", "faq")])
def test_a_held_job_is_not_finished(
    desk: Desk, service: BatchService, words: tuple[str, ...]
) -> None:
    desk.call("run", desk.job("other"))
    desk.call("hold")
    desk.call("submit", desk.job("faq"))
    called = desk.call(*words)
    assert called.code == 4
    assert "held" in called.out + called.err


def test_submit_says_how_a_held_job_goes_on(desk: Desk, service: BatchService) -> None:
    desk.call("run", desk.job("other"))
    desk.call("hold")
    assert "Go on with: batchrun resume\n" in desk.call("submit", desk.job("faq")).err


def test_status_shows_a_held_job(desk: Desk, service: BatchService) -> None:
    held(desk, "faq")
    called = desk.call("status", "faq")
    assert " held\n" in called.out
    assert "nothing more is sent" in called.out
    (job,) = desk.call("status", "faq", "--json").json["jobs"]
    assert job["held_since"].startswith("20")


def test_resume_says_what_it_was_and_what_stays_as_it_is(desk: Desk, service: BatchService) -> None:
    held(desk, "faq")
    desk.call("hold")
    called = desk.call("resume")
    assert "goes on; it was held since 20" in called.out
    assert "faq@openai is held. Go on with: batchrun resume faq@openai" in called.err
    assert "nothing to do" in desk.call("resume").out
    assert "goes on" in desk.call("resume", "faq").out
    assert desk.call("wait").code == 0


def test_json_of_both(desk: Desk, service: BatchService) -> None:
    desk.call("submit", desk.job("faq"))
    since = desk.call("hold", "faq", "--json").json
    assert (since["job"], since["home"]) == ("faq@openai", str(desk.folder / ".batchrun"))
    resumed = desk.call("resume", "faq", "--json").json
    assert resumed == {
        "home": since["home"],
        "job": "faq@openai",
        "was_held_since": since["held_since"],
        "was_paused": None,
        "held_since": None,
        "overruns": 0,
    }


def test_a_job_that_there_is_not_cannot_be_held(desk: Desk, service: BatchService) -> None:
    desk.call("submit", desk.job("faq"))
    called = desk.call("hold", "nobody")
    assert called.code == 2
    assert "There are: faq@openai" in called.err
