"""Money is integers, and what is shown is never less than it is."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.money.amounts import DOLLAR, dollars, picodollars, picodollars_a_token


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (0, "$0.00"),
        (1, "$0.000000000001"),
        (7_500_000_000, "$0.0075"),
        (15_350_000, "$0.0000154"),
        (DOLLAR // 8, "$0.125"),
        (DOLLAR - 1, "$1.00"),
        (DOLLAR, "$1.00"),
        (10 * DOLLAR + 1, "$10.01"),
        (1_234_567_890_000_000, "$1,234.57"),
    ],
)
def test_dollars_have_the_digits_that_count(amount: int, shown: str) -> None:
    assert dollars(amount) == shown


@given(st.integers(0, 10**18))
def test_what_is_shown_is_never_less_and_hardly_more(amount: int) -> None:
    shown = picodollars(Decimal(dollars(amount).replace("$", "").replace(",", "")))

    assert amount <= shown <= amount + max(amount // 100, 0 if amount < DOLLAR else DOLLAR // 100)


def test_a_rate_is_exact_and_what_is_finer_is_rounded_up() -> None:
    assert picodollars_a_token(Decimal("2.50")) == 2_500_000
    assert picodollars_a_token(Decimal("0.0125")) == 12_500
    assert picodollars_a_token(Decimal("0.0000001")) == 1
