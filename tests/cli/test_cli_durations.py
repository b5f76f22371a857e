"""Durations as they are typed, ages as they are shown."""

import click
import pytest

from batchrun.cli.options import Duration
from batchrun.cli.standing import age


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("15m", 900),
        ("1.5h", 5400),
        ("2d", 172_800),
        ("0", 0),
        (" 1h ", 3600),
    ],
)
def test_a_duration_is_a_number_and_a_unit(text: str, seconds: float) -> None:
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize(
    "text", ["", "h", "-5", "1w", "1h30m", "soon", "1e3", "\N{SUPERSCRIPT TWO}"]
)
def test_anything_else_is_refused_with_examples(text: str) -> None:
    with pytest.raises(click.BadParameter, match="Write 90s, 15m, 1h or 2d"):
        Duration().convert(text, None, None)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0 s"),
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3_599, "59 min"),
        (3_600, "1 h 0 min"),
        (86_399, "23 h 59 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_an_age_has_at_most_two_units(seconds: int, text: str) -> None:
    assert age(seconds) == text
