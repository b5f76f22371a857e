"""Clocks that tests move: nothing in batchrun sleeps or reads the time but through a `Clock`, so a night runs in milliseconds.

`python -m batchrun.testing CLOCKFILE ARGUMENTS…` is the batchrun command on a clock that reads and advances a file: for tests of whole
processes. The product itself has no such switch.
"""

import contextlib
import fcntl
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

START = 1_790_000_000  # 2026-09-21T14:13:20Z; an arbitrary moment, the same in every test
_DIGITS = 12  # of the number in the file of a FileClock


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
    """A clock whose time is the number in a file: shared by processes, and outlives them. A missing file is made, at `start`.

    Whoever sleeps moves it for all. Every move is made under a lock on the file, so that of two who sleep at the same time both wake at
    the later of their times, and nobody ever sees the clock go back (but by `advance`).
    """

    def __init__(self, path: Path, start: int = START) -> None:
        self._path = path
        with self._locked(fcntl.LOCK_EX) as descriptor:
            if not os.fstat(descriptor).st_size:
                _put(descriptor, start)

    def now(self) -> int:
        """Unix seconds, UTC."""
        with self._locked(fcntl.LOCK_SH) as descriptor:
            return _got(descriptor)

    def sleep_until(self, at: int) -> None:
        """Be there at once; never moves backwards."""
        with self._locked(fcntl.LOCK_EX) as descriptor:
            _put(descriptor, max(_got(descriptor), at))

    def advance(self, seconds: int) -> None:
        """Move on; a negative number is a clock that was set back."""
        with self._locked(fcntl.LOCK_EX) as descriptor:
            _put(descriptor, _got(descriptor) + seconds)

    @contextlib.contextmanager
    def _locked(self, kind: int) -> Iterator[int]:
        """The open file; a process that is killed lets go of the lock."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, kind)
            yield descriptor
        finally:
            os.close(descriptor)


def _got(descriptor: int) -> int:
    return int(os.pread(descriptor, _DIGITS, 0))


def _put(descriptor: int, at: int) -> None:
    # One write of a fixed width: a process that is killed here leaves the old time or the new one.
    os.pwrite(descriptor, b"%0*d" % (_DIGITS, at), 0)


def main() -> int:
    """The command line on the clock of a file."""
    from batchrun.cli.main import run

    return run(sys.argv[2:], clock=FileClock(Path(sys.argv[1])))


if __name__ == "__main__":
    sys.exit(main())
