"""Amounts of money: integers of picodollars (a millionth of a millionth of a dollar), so that a million prices add up to the last digit.

A dollar a million tokens is a million picodollars a token. Whatever does not come out even is rounded up: a user is never told too little.
"""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Final

DOLLAR: Final = 10**12
LIMIT_DOLLARS: Final = 4_000_000  # of one limit, or of what is kept for one batch: SQLite's integers end at 9.2 million
LARGEST: Final = LIMIT_DOLLARS * DOLLAR
_DIGITS_SHOWN: Final = 3  # of amounts below a dollar
_PLACES_LEAST: Final = 2


def picodollars_a_token(dollars_a_million: Decimal) -> int:
    """A rate as price lists give it, dollars a million tokens, as picodollars a token."""
    return int((dollars_a_million * 10**6).to_integral_value(ROUND_CEILING))


def picodollars(dollars: Decimal) -> int:
    """An amount in dollars as an integer."""
    return int((dollars * DOLLAR).to_integral_value(ROUND_CEILING))


def dollars(amount: int, *, is_down: bool = False) -> str:
    """`$1,234.57`, `$0.0075`: cents from a dollar on, three digits that count below; rounded up, so nothing but 0 is shown as `$0.00`.

    `is_down`: rounded down, as what is left of a limit.
    """
    whole = Decimal(amount) / DOLLAR
    places = _PLACES_LEAST
    if 0 < amount < DOLLAR:
        places = max(places, _DIGITS_SHOWN - 1 - whole.adjusted())
    shown = whole.quantize(Decimal(1).scaleb(-places), ROUND_FLOOR if is_down else ROUND_CEILING)
    text = f"{shown:,f}"
    head, _, digits = text.partition(".")
    return f"${head}.{digits[:_PLACES_LEAST]}{digits[_PLACES_LEAST:].rstrip('0')}"
