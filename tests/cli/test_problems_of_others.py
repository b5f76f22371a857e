"""A profile that cannot be reached is a problem of its own jobs; who asked about others is told and no more."""

import os

import pytest
from clikit import FAST_PROFILE, KEY, Called, Desk

from batchrun.service.service import BatchService

PROFILE = '[profile.other]\nbase_url = "{}"\napi_key_env = "OTHER_KEY"\n'


@pytest.fixture
def stuck(desk: Desk, service: BatchService, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A home in which job `stuck` cannot go on: the key of its profile is gone."""
    profile = PROFILE.format(os.environ["OPENAI_BASE_URL"])
    (desk.folder / "batchrun.toml").write_text(FAST_PROFILE + profile)
    monkeypatch.setenv("OTHER_KEY", KEY)
    desk.call("submit", desk.job("stuck", backend="other"))
    monkeypatch.delenv("OTHER_KEY")
    desk.clock.advance(3_600)
    return desk


def named_once(called: Called) -> bool:
    return called.err.count("profile 'other'") == 1


@pytest.mark.parametrize("words", [("run", "faq.jsonl"), ("wait", "faq")])
def test_a_job_that_is_done_is_no_error_because_another_one_cannot_be_sent(
    stuck: Desk, words: tuple[str, ...]
) -> None:
    stuck.job("faq")
    if words[0] == "wait":
        stuck.call("submit", "faq.jsonl")
    called = stuck.call(*words)
    assert called.code == 0, called.err
    assert "all 2 items succeeded" in called.out
    assert named_once(called), called.err
    machine = stuck.call(*words, "--json")
    assert (machine.code, machine.json["problems"]) == (0, [])
    (warning,) = machine.errors
    assert warning["type"] == "warning"
    assert warning["message"].startswith("profile 'other': ")


@pytest.mark.parametrize("words", [("tick",), ("wait",), ("wait", "stuck")])
def test_who_asks_about_it_or_about_all_is_told_of_which_profile_it_is(
    stuck: Desk, words: tuple[str, ...]
) -> None:
    called = stuck.call(*words)
    assert called.code == 6
    assert named_once(called), called.err
