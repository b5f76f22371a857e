"""A canary at the command line: what is said before it goes, while it is out, and when it failed."""

import pytest
from clikit import Desk

from batchrun.ledger.connection import open_ledger
from batchrun.ledger.home import Home
from batchrun.service.service import BatchService

CANARY = {"items": 2, "max_failed": 0.5}
BAD = ("refuse me", "refuse me too", "three", "four", "five")


def failed(desk: Desk) -> str:
    path = desk.job("faq", *BAD, canary=CANARY)
    called = desk.call("run", path)
    assert called.code == 8
    assert (
        "faq (openai): 3 of 5 items open; canary: 2 of 2 items failed (2 bad_request;" in called.err
    )
    assert "Go on with: batchrun resume faq@openai" in called.err
    return path


def test_check_and_dry_run_say_what_would_go_first(desk: Desk, service: BatchService) -> None:
    path = desk.job("faq", *BAD, canary=CANARY)
    assert desk.call("check", path).out == "faq (openai): ok, 5 items; 2 go first, as a canary\n"
    assert "5 new, 2 go first, as a canary" in desk.call("submit", "--dry-run", path).out
    (job,) = desk.call("check", "--json", path).json["jobs"]
    assert job["items"]["canary"] == 2


def test_a_canary_that_passes_needs_nobody(desk: Desk, service: BatchService) -> None:
    assert desk.call("run", desk.job("faq", *"abcdef", canary=CANARY)).code == 0
    assert len(desk.outputs()) == 6


def test_status_says_that_the_rest_waits(desk: Desk, service: BatchService) -> None:
    desk.call("submit", desk.job("faq", *"abcdef", canary=CANARY))
    shown = desk.call("status", "faq")
    assert shown.code == 4
    assert "waits: canary: 2 items go first, 2 of them open; the rest waits" in shown.out


@pytest.mark.parametrize("words", [("status", "faq"), ("wait",), ("submit", "faq.jsonl")])
def test_a_canary_that_failed_is_told_with_code_8(
    desk: Desk, service: BatchService, words: tuple[str, ...]
) -> None:
    failed(desk)
    called = desk.call(*words)
    assert called.code == 8
    assert "canary: 2 of 2 items failed" in called.out + called.err


def test_tick_tells_once_that_a_canary_failed(desk: Desk, service: BatchService) -> None:
    desk.call("submit", desk.job("faq", *BAD, canary=CANARY))
    for _ in range(1_000):
        desk.clock.advance(60)
        called = desk.call("tick")
        if called.code:
            break
    assert called.code == 8
    assert called.err.startswith("batchrun: job faq@openai is paused: canary: 2 of 2 items failed")
    assert desk.call("tick").code == 0


def test_a_failure_that_another_command_found_is_told_by_tick(
    desk: Desk, service: BatchService
) -> None:
    desk.call("submit", desk.job("faq", *BAD, canary=CANARY))
    for _ in range(1_000):
        desk.clock.advance(60)
        desk.call("submit", desk.job("other"))  # its pass serves all jobs
        if desk.call("status", "faq").code == 8:
            break
    assert desk.call("tick").code == 8
    assert desk.call("tick").code == 0


def test_a_pause_that_another_command_found_is_told_once_by_tick(
    desk: Desk, service: BatchService
) -> None:
    """Whatever it is for; and once more when the job was let go and is paused anew."""
    desk.call("submit", desk.job("faq"))
    home = Home(desk.folder / ".batchrun")

    def pause() -> None:
        with open_ledger(home) as ledger, ledger.transaction():
            ledger.execute("update jobs set paused = 'five releases in a row.'")

    pause()
    told = desk.call("tick")
    assert told.code == 6
    assert told.err == (
        "batchrun: job faq@openai is paused: five releases in a row. Go on with: batchrun resume faq@openai\n"
    )
    assert desk.call("tick").code == 0
    desk.call("resume", "faq")
    pause()
    document = desk.call("tick", "--json")
    assert document.code == 6
    assert [job["paused"] for job in document.json["jobs"]] == ["five releases in a row."]
    assert desk.call("tick", "--json").json["jobs"] == []


@pytest.mark.parametrize(
    ("words", "is_said"),
    [
        (("wait",), True),
        (("submit", "faq.jsonl"), True),
        (("submit", "faq.jsonl", "--json"), False),
        (("submit", "faq.jsonl", "--dry-run"), False),
    ],
)
def test_only_who_says_that_a_job_is_paused_has_told_it(
    desk: Desk, service: BatchService, words: tuple[str, ...], is_said: bool
) -> None:
    desk.call("submit", desk.job("faq"))
    with open_ledger(Home(desk.folder / ".batchrun")) as ledger, ledger.transaction():
        ledger.execute("update jobs set paused = 'no credit'")
        # As the pass of each command would find it once more.
        ledger.execute(
            "create trigger again after update of paused on jobs when new.paused is null "
            "begin update jobs set paused = 'no credit' where id = new.id; end"
        )
    assert ("is paused: no credit" in desk.call(*words).err or words == ("wait",)) is is_said
    assert desk.call("tick").code == (0 if is_said else 6)


def test_what_run_told_of_a_canary_is_not_told_by_tick_until_it_fails_again(
    desk: Desk, service: BatchService
) -> None:
    failed(desk)
    assert desk.call("tick").code == 0
    desk.call("retry", "faq")
    for _ in range(1_000):
        desk.clock.advance(60)
        if (called := desk.call("tick")).code:
            break
    assert called.code == 8


def test_the_canary_of_a_corrected_file_that_fails_again_is_told_by_tick(
    desk: Desk, service: BatchService
) -> None:
    failed(desk)
    desk.call("submit", desk.job("faq", *BAD, canary=CANARY, prompt="Again: {{ text }}"))
    for _ in range(1_000):
        desk.clock.advance(60)
        if (called := desk.call("tick")).code:
            break
    assert called.code == 8


def test_a_job_that_ended_while_it_was_paused_needs_nobody(
    desk: Desk, service: BatchService
) -> None:
    desk.call("run", desk.job("faq"))
    with open_ledger(Home(desk.folder / ".batchrun")) as ledger, ledger.transaction():
        ledger.execute("update jobs set paused = 'no credit', pause_told_at = null")
    called = desk.call("tick")
    assert (called.code, called.err) == (0, "")


def test_resume_says_what_failed_and_sends_the_rest(desk: Desk, service: BatchService) -> None:
    failed(desk)
    called = desk.call("resume", "faq")
    assert called.code == 0
    assert called.out.startswith("faq@openai: goes on; it was paused: canary: 2 of 2 items failed")
    assert desk.call("wait").code == 3


def test_a_corrected_file_goes_the_whole_way(desk: Desk, service: BatchService) -> None:
    failed(desk)
    assert desk.call("run", desk.job("faq", "one", "two", *BAD[2:], canary=CANARY)).code == 0


@pytest.mark.parametrize(
    "canary", [{"items": 0}, {"max_failed": 2}, {"item": 50}, {"max_truncated": True}, 50]
)
def test_what_is_no_canary_is_refused(desk: Desk, canary: object) -> None:
    called = desk.call("check", desk.job("faq", canary=canary))
    assert called.code == 5
    assert "'canary' must be an object such as" in called.err
