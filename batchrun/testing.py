"""Clocks that tests move: nothing in batchrun sleeps or reads the time but through a `Clock`, so a night runs in milliseconds.

`python -m batchrun.testing CLOCKFILE ARGUMENTS…` is the batchrun command on a clock that reads and advances a file: for tests of whole
processes. The product itself has no such switch.
"""

import os
import sys
import threading
from pathlib import Path

START = 1_790_000_000  # 2026-09-21T14:13:20Z; an arbitrary moment, the same in every test


class ManualClock:
    """A clock that only moves when it is told to; sleeping moves it. Safe to share between threads."""

    def __init__(self, start: int = START) -> None:
        self._now = start
        self._lock = threading.Lock()

    def now(self) -> int:
        """Unix seconds, UTC."""
        with self._lock:
            return self._now

    def sleep_until(self, at: int) -> None:
        """Be there at once; never moves backwards."""
        with self._lock:
            self._now = max(self._now, at)

    def advance(self, seconds: int) -> None:
        """Move on; a negative number is a clock that was set back."""
        with self._lock:
            self._now += seconds


class FileClock:
    """A clock whose time is the number in a file: shared by processes, and outlives them.

    Two processes that sleep at the same time both end at the later of their times at the earliest; a test that needs more order than
    that runs them one after the other. A missing file is made, at `start`.
    """

    def __init__(self, path: Path, start: int = START) -> None:
        self._path = path
        if not path.exists():
            self._write(start)

    def now(self) -> int:
        """Unix seconds, UTC."""
        return int(self._path.read_text("ascii"))

    def sleep_until(self, at: int) -> None:
        """Be there at once; never moves backwards."""
        if at > self.now():
            self._write(at)

    def advance(self, seconds: int) -> None:
        """Move on; a negative number is a clock that was set back."""
        self._write(self.now() + seconds)

    def _write(self, at: int) -> None:
        # Renamed into place, so that no reader ever sees half a number; the name is this writer's own.
        part = self._path.with_name(f"{self._path.name}.{os.getpid()}-{threading.get_ident()}")
        part.write_text(str(at), "ascii")
        part.replace(self._path)


def main() -> int:
    """The command line on the clock of a file."""
    from batchrun.cli.main import run

    return run(sys.argv[2:], clock=FileClock(Path(sys.argv[1])))


if __name__ == "__main__":
    sys.exit(main())
