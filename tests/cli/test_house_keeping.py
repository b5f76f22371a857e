"""`prune` and `forget` on the command line: what they say, what they ask, how they end."""

import pytest
from clikit import KEY, Desk

from batchrun.cli import forget
from batchrun.service.service import BatchService


@pytest.fixture
def done(desk: Desk, service: BatchService) -> Desk:
    """A desk with a job that is done."""
    assert desk.call("run", desk.job("faq", "one", "two")).code == 0
    return desk


def test_prune_says_what_each_job_freed(done: Desk) -> None:
    would = done.call("prune", "--dry-run")
    assert would.code == 0
    assert would.out.startswith("faq (openai): ")
    assert would.out.endswith(" bytes in 2 files would be freed\n")
    assert done.call("prune", "faq").out == would.out.replace("would be freed", "freed")
    assert done.call("prune").out == "faq (openai): 0 bytes in 0 files freed\n"


def test_prune_says_why_a_job_freed_nothing(done: Desk) -> None:
    done.call("submit", done.job("late", "x"))
    called = done.call("prune", "late")
    assert (called.code, called.out) == (0, "")
    assert called.err == "late (openai): nothing, since its outputs are not written yet\n"


def test_prune_in_json(done: Desk) -> None:
    (job,) = done.call("prune", "--older-than", "30d", "--json").json["jobs"]
    assert job == {"job": "faq", "profile": "openai", "files": 0, "bytes": 0, "kept": None}


def test_after_a_prune_retry_and_explain_say_what_is_gone(done: Desk) -> None:
    done.call("prune")
    told = done.call("explain", "faq", "q1")
    assert "request: pruned from the spool" in told.out
    assert "raw: pruned from the spool" in told.out
    assert '  output: "' in told.out
    named = done.call("retry", "faq", "q1", "--redo")
    assert named.code == 2
    assert "its request was pruned" in named.err
    every = done.call("retry", "faq", "--redo", "--yes")
    assert every.code == 0
    assert "2 items cannot be asked again as they were" in every.err
    assert every.out == "no items that can be asked again in faq: nothing to do\n"
    assert done.call("retry", "faq", "--redo", "--yes", "--json").json["pruned"] == 2
    assert done.call("verify").code == 0


def test_forgetting_needs_a_yes_where_nobody_can_be_asked(done: Desk) -> None:
    called = done.call("forget", "faq", "q1")
    assert called.code == 2
    assert "cannot be undone. Nothing was forgotten" in called.err
    assert len(done.outputs()) == 2


def test_what_there_is_not_is_told_before_a_yes_is_asked_for(done: Desk) -> None:
    called = done.call("forget", "faq", "nobody")
    assert called.code == 2
    assert "job faq@openai has no item 'nobody'" in called.err
    assert "--yes" not in called.err
    assert "--yes" not in done.call("forget", "nothing").err


def test_forgetting_asks_with_what_it_would_forget(
    done: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def says_no(question: str) -> bool:
        asked.append(question)
        return False

    monkeypatch.setattr(forget, "can_ask", lambda: True)
    monkeypatch.setattr(forget, "ask", says_no)
    called = done.call("forget", "faq")
    assert called.code == 8
    assert asked == ["Forget all of faq (openai), 2 items for good?"]
    assert len(done.outputs()) == 2


def test_a_dry_run_needs_no_yes(done: Desk) -> None:
    called = done.call("forget", "faq", "q1", "--dry-run")
    assert called.code == 0
    assert called.out == (
        "1 item of faq (openai): would be forgotten\n2 files at the service would be deleted\n"
    )
    assert len(done.outputs()) == 2


def test_an_item_is_forgotten_and_the_outputs_are_without_it(done: Desk) -> None:
    called = done.call("forget", "faq", "q1", "--yes")
    assert called.code == 0
    assert called.out == "1 item of faq (openai): forgotten\n2 files at the service deleted\n"
    assert [line["id"] for line in done.outputs()] == ["q2"]
    assert done.call("verify").code == 0
    assert done.call("explain", "faq", "q1").code == 2


def test_a_whole_job_is_forgotten_with_its_folder(done: Desk) -> None:
    called = done.call("forget", "faq", "--yes", "--json")
    assert called.json["whole"] is True
    assert (called.json["items"], called.json["remote_deleted"]) == (2, 2)
    assert not (done.folder / "outputs" / "faq").exists()
    assert done.call("status", "faq").code == 2
    assert done.call("verify").code == 0


def test_without_a_key_it_ends_with_6_and_a_later_one_goes_on(
    done: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    called = done.call("forget", "faq", "--yes")
    assert called.code == 6
    assert called.out == "all of faq (openai), 2 items: forgotten\n"
    assert "2 files at the service not deleted yet. Go on with: batchrun forget" in called.err
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    called = done.call("forget")
    assert called.code == 0
    assert called.out == "nothing is left to forget\n2 files at the service deleted\n"


def test_items_in_flight_end_with_4_and_the_command_that_cancels(done: Desk) -> None:
    done.call("submit", done.job("late", "x"))
    called = done.call("forget", "late", "--yes")
    assert called.code == 4
    assert "batchrun cancel late@openai" in called.err


def test_names_and_an_age_together_are_refused(done: Desk) -> None:
    called = done.call("forget", "faq", "q1", "--older-than", "30d", "--yes")
    assert called.code == 2
    assert len(done.outputs()) == 2
    assert done.call("forget", "faq", "--older-than", "30d", "--yes").out.startswith("0 items of")
