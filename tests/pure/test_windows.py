"""Completion windows: what is one, which a server takes, and how long uploads for one must live."""

import pytest

from batchrun.windows import DAY_S, is_window_rule, takes, upload_life_s, window_s


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        *((rule, True) for rule in ("24h", "7d", "1h", "24h..7d", "24h..24h", "24h..336h")),
        *((rule, False) for rule in ("", "24", "0h", "h", "1.5d", "24 h", "7d..24h", "24h..", "..7d", "24h...7d")),
    ],
)  # fmt: skip
def test_a_rule_is_a_window_or_two_with_dots_between(text: str, is_one: bool) -> None:
    assert is_window_rule(text) is is_one


@pytest.mark.parametrize(
    ("rules", "window", "is_taken"),
    [
        ((), "400d", True),
        (("24h",), "24h", True),
        (("24h",), "1d", False),  # the server compares texts
        (("24h", "48h"), "48h", True),
        (("24h..7d",), "3d", True),
        (("24h..7d",), "168h", True),
        (("24h..7d",), "23h", False),
        (("24h..7d",), "8d", False),
    ],
)
def test_a_window_is_taken_as_it_is_written_or_between_two(
    rules: tuple[str, ...], window: str, is_taken: bool
) -> None:
    assert takes(rules, window) is is_taken


def test_an_upload_outlives_its_window_and_no_service_refuses_its_life() -> None:
    assert [upload_life_s(window) // DAY_S for window in ("1h", "24h", "7d", "14d", "90d")] == [
        *(14, 14, 16, 23, 30)
    ]
    assert (window_s("36h"), window_s("2d"), window_s("soon")) == (36 * 3_600, 2 * DAY_S, DAY_S)
