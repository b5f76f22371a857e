"""The retry policy, case by case."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.ledger.states import ITEM_TRANSITIONS, ItemEvent, ItemState
from batchrun.planning.classify import Outcome
from batchrun.planning.policy import (
    RUNS_PER_ATTEMPT,
    error_delay_s,
    is_suspicious,
    poll_delay_s,
    retry_delay_s,
    settle,
    token_hold_s,
)

O, E = Outcome, ItemEvent  # noqa: E741 - a table reads better with one letter a column


@pytest.mark.parametrize(
    ("outcome", "attempts", "runs", "cancelled", "superseded", "event", "spent"),
    [
        (O.SUCCEEDED, 0, 1, False, False, E.SUCCEEDED, 1),
        (O.SUCCEEDED, 2, 3, True, False, E.SUCCEEDED, 3),
        (O.FAILED, 0, 1, False, False, E.GAVE_UP, 1),
        (O.FAILED, 0, 1, True, False, E.GAVE_UP, 1),
        (O.RETRY, 0, 1, False, False, E.RETRY, 1),
        (O.RETRY, 1, 2, False, False, E.RETRY, 2),
        (O.RETRY, 2, 3, False, False, E.GAVE_UP, 3),
        (O.RETRY, 0, 1, True, False, E.CANCELLED, 1),
        (O.RELEASED, 0, 1, False, False, E.RELEASED, 0),
        (O.RELEASED, 2, 8, False, False, E.RELEASED, 2),
        (O.RELEASED, 0, 9, False, False, E.GAVE_UP, 0),
        (O.RELEASED, 0, 1, True, False, E.CANCELLED, 0),
        (O.SUCCEEDED, 0, 1, False, True, E.SUPERSEDED, 0),
        (O.FAILED, 2, 3, True, True, E.SUPERSEDED, 0),
    ],
)
def test_what_an_outcome_means_for_an_item_of_three_attempts(
    outcome: Outcome,
    attempts: int,
    runs: int,
    cancelled: bool,
    superseded: bool,
    event: ItemEvent,
    spent: int,
) -> None:
    found = settle(
        outcome,
        attempts=attempts,
        attempts_limit=3,
        runs=runs,
        is_cancelled=cancelled,
        is_superseded=superseded,
    )
    assert found == (event, spent)


@given(
    st.sampled_from(list(Outcome)),
    st.integers(0, 20),
    st.integers(1, 20),
    st.integers(0, 100),
    st.booleans(),
    st.booleans(),
)
def test_every_outcome_settles_an_item_in_flight_and_nothing_is_asked_for_ever(
    outcome: Outcome,
    attempts: int,
    limit: int,
    runs: int,
    cancelled: bool,
    superseded: bool,
) -> None:
    event, spent = settle(
        outcome,
        attempts=attempts,
        attempts_limit=limit,
        runs=runs,
        is_cancelled=cancelled,
        is_superseded=superseded,
    )
    assert event in ITEM_TRANSITIONS[ItemState.IN_FLIGHT]
    if event == E.RETRY:
        assert attempts < spent < limit
    if event == E.RELEASED:
        assert spent == attempts
        assert runs < RUNS_PER_ATTEMPT * limit


def test_delays() -> None:
    assert [retry_delay_s(n, (60, 600, 3_600)) for n in (1, 2, 3, 9)] == [60, 600, 3_600, 3_600]
    assert [error_delay_s(n, None) for n in (1, 2, 3, 4, 5, 99)] == [10, 30, 60, 300, 900, 900]
    assert [token_hold_s(n) for n in (1, 2, 3, 4, 5, 9)] == [60, 180, 420, 900, 1_800, 3_600]


def test_a_service_is_given_the_time_it_asks_for_up_to_an_hour() -> None:
    assert error_delay_s(1, 0.5) == 10
    assert error_delay_s(1, 45.2) == 46
    assert error_delay_s(5, 45.2) == 900
    assert error_delay_s(1, 1e9) == 3_600


def test_polls_grow_rarer_with_the_age_of_a_batch() -> None:
    assert [poll_delay_s(age, 60) for age in (0, 600, 1_200, 100_000)] == [60, 60, 120, 600]
    assert poll_delay_s(5_000, 0) == 0, "a batch in our own process is looked at each time"


@pytest.mark.parametrize(
    ("unreadable", "lines", "is_so"),
    [
        (0, 0, False),
        (0, 100, False),
        (1, 1, True),
        (1, 2, False),
        (2, 2, True),
        (2, 200, False),
        (2, 199, True),
        (500, 50_000, False),
        (501, 50_000, True),
    ],
)
def test_more_than_one_line_in_a_hundred_makes_a_result_file_suspicious(
    unreadable: int, lines: int, is_so: bool
) -> None:
    assert is_suspicious(unreadable, lines) is is_so
