"""The only source of time: unix seconds UTC from here, and sleeping through here.

Everything else takes `now: int` or a `Clock`; a test reads the sources and fails on `time` or `datetime.now` elsewhere.
"""

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Protocol

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)")
_UNITS_S: Final = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}


class Clock(Protocol):
    """What the runner needs of time; `batchrun.testing.ManualClock` is the other implementation."""

    def now(self) -> int:
        """Unix seconds, UTC."""
        ...

    def sleep_until(self, at: int) -> None:
        """Return when `now() >= at`; at once if that has passed."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> int:
        """Unix seconds, UTC."""
        return int(time.time())

    def sleep_until(self, at: int) -> None:
        """Sleep in slices of at most a minute, so that a clock that is set forward shortens the wait."""
        while (left := at - time.time()) > 0:
            time.sleep(min(left, 60.0))


def ticks_of(clock: Clock) -> Callable[[], float]:
    """Seconds with fractions that never go back, since some moment; those of a clock that is not the machine's are its own."""
    return time.monotonic if isinstance(clock, SystemClock) else clock.now


def rfc3339(at: int) -> str:
    """`1790000000` -> `2026-09-21T14:13:20Z`."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def duration_s(text: str) -> float | None:
    """`90`, `90s`, `15m`, `1h`, `2d` -> seconds; None for anything else."""
    found = _DURATION.fullmatch(text.strip())
    return None if found is None else float(found[1]) * _UNITS_S[found[2]]
