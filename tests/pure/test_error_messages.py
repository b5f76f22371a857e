"""Errors are built from facts, and read as: what happened, where, what to do."""

import contextlib
from collections.abc import Iterator

import pytest

from batchrun.errors import (
    BackendError,
    BatchrunError,
    GuardError,
    IllegalTransition,
    JobFileError,
    LedgerError,
    NotFinished,
    Problem,
    Unbounded,
    Unexpected,
    UnknownPrice,
    UsageError,
)
from batchrun.requests import BadItem


@pytest.mark.parametrize("kind", [UsageError, NotFinished, LedgerError, GuardError, BackendError])
def test_an_error_says_its_message_and_nothing_else(kind: type[BatchrunError]) -> None:
    assert str(kind("no job 'faq'. There are: reviews.")) == "no job 'faq'. There are: reviews."


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (
            Problem(path="a.jsonl", line=17, what="duplicate id 'q-9'", fix="Give each its own."),
            "a.jsonl:17: duplicate id 'q-9'. Give each its own.",
        ),
        (Problem(path="a.jsonl", what="is empty"), "a.jsonl: is empty."),
        (Problem(path="a.jsonl", line=1, what="Which one?"), "a.jsonl:1: Which one?"),
    ],
)
def test_a_problem_names_file_line_and_fix(problem: Problem, text: str) -> None:
    assert str(problem) == text


def test_a_job_file_error_shows_every_problem_on_a_line_of_its_own() -> None:
    problems = tuple(Problem(path="a", line=line, what="bad") for line in (1, 2, 3))
    assert str(JobFileError(problems)) == "a:1: bad.\na:2: bad.\na:3: bad."


def test_an_illegal_transition_is_ours_and_asks_for_a_report() -> None:
    message = str(IllegalTransition(state="failed", event="uploaded"))
    assert "'uploaded' in state 'failed'" in message
    assert "bug in batchrun" in message


@pytest.mark.parametrize(
    ("found", "told"), [(KeyError("x"), "KeyError: 'x'"), (RecursionError(), "RecursionError")]
)
def test_a_bug_met_in_one_job_names_it_and_asks_for_a_report(found: Exception, told: str) -> None:
    assert str(Unexpected("faq", found)) == (
        f"a bug in batchrun, in job 'faq': {told}. Please report it."
    )


def test_an_unknown_price_is_that_of_a_model_asked_in_one_way() -> None:
    error = UnknownPrice("no batch price is known", model="m", mode="batch")
    assert (str(error), error.model, error.mode) == ("no batch price is known", "m", "batch")
    assert isinstance(error, GuardError)


def test_what_nothing_bounds_is_a_model_and_a_reason() -> None:
    error = Unbounded("no limit can hold: it is a video", model="m", reason="it is a video")
    assert (str(error), error.model) == ("no limit can hold: it is a video", "m")
    assert error.reason == "it is a video"
    assert isinstance(error, GuardError)


def test_an_error_may_pass_through_a_context_manager() -> None:
    """A frozen one cannot: Python sets its traceback there."""

    @contextlib.contextmanager
    def block() -> Iterator[None]:
        yield

    with pytest.raises(BadItem, match="too long"), block():
        raise BadItem("too_large", "too long")
