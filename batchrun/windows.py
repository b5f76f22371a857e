"""Completion windows: how they are written, how long they are, and which of them a server takes.

Windows are free strings to the API. OpenAI takes "24h" only; others take "48h", "7d", or anything between two of them.
"""

import re
from collections.abc import Sequence
from typing import Final

DEFAULT_WINDOW: Final = "24h"
DAY_S: Final = 86_400
_WINDOW: Final = re.compile(r"([1-9][0-9]{0,3})([hd])")
_RANGE: Final = ".."
# An upload has to outlive a week in which its batch may wait to be sent, the window, and a day or two of doubt.
_LIFE_BESIDE_S: Final = 9 * DAY_S
_LIFE_LEAST_S: Final = 14 * DAY_S  # the least that Azure takes
_LIFE_MOST_S: Final = 30 * DAY_S  # the most that OpenAI takes


def is_window(text: str) -> bool:
    """Whether this is a window, such as "24h" or "7d"."""
    return _WINDOW.fullmatch(text) is not None


def is_window_rule(text: str) -> bool:
    """Whether this is a window, or two with ".." between them, the shorter one first."""
    first, dots, last = text.partition(_RANGE)
    if not dots:
        return is_window(text)
    return is_window(first) and is_window(last) and window_s(first) <= window_s(last)


def window_s(window: str) -> int:
    """Its seconds; those of a day for what is no window (a server may show anything)."""
    found = _WINDOW.fullmatch(window)
    if found is None:
        return DAY_S
    return int(found[1]) * (DAY_S if found[2] == "d" else 3_600)


def takes(rules: Sequence[str], window: str) -> bool:
    """Whether a window is one of those that `rules` name, as it is written there, or lies between two of them. No rules: all are."""
    for rule in rules:
        first, dots, last = rule.partition(_RANGE)
        if dots and window_s(first) <= window_s(window) <= window_s(last):
            return True
    return not rules or window in rules


def upload_life_s(window: str) -> int:
    """After how many seconds an upload for a batch of this window may expire by itself: two weeks, and more for longer windows."""
    return min(max(_LIFE_LEAST_S, window_s(window) + _LIFE_BESIDE_S), _LIFE_MOST_S)
