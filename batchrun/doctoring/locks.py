"""Whether a lock keeps another process out, and who holds one."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_TRY: Final = """
import fcntl, os, sys
descriptor = os.open(sys.argv[1], os.O_RDWR)
try:
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    sys.exit(3)
"""
_REFUSED: Final = 3
_PATIENCE_S: Final = 30


def flock_problem(path: Path, *, python: str = sys.executable) -> str | None:
    """Why flock on `path` (a file that is there) does not do what batchrun needs: keep other processes out, until it is released.

    None where it does. `python` runs the other process. Raises OSError where not even this process gets a lock, SubprocessError where the
    other one does not come to its end.
    """
    import fcntl

    with path.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        held = _try(path, python)
    if held != _REFUSED:
        return "a second process got a lock that this one held"
    if _try(path, python) != 0:
        return "a second process did not get a lock that nobody held"
    return None


def _try(path: Path, python: str) -> int:
    done = subprocess.run(  # noqa: S603 - this very interpreter, and a path of ours
        [python, "-I", "-c", _TRY, str(path)],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=_PATIENCE_S,
        check=False,
    )
    if done.returncode not in (0, _REFUSED):
        done.check_returncode()
    return done.returncode


def holders(inode: int, locks: str) -> Iterator[int]:
    """Process numbers that hold a flock on the file with this inode, from the text of /proc/locks."""
    for line in locks.splitlines():
        fields = line.split()
        if len(fields) > 5 and fields[1] == "FLOCK" and fields[5].rpartition(":")[2] == str(inode):
            yield int(fields[4])


def who_holds(path: Path) -> str:
    """`process 4711 (batchrun wait)`, or "another process" where the machine does not say."""
    try:
        numbers = list(holders(path.stat().st_ino, Path("/proc/locks").read_text()))
        words = Path(f"/proc/{numbers[0]}/cmdline").read_bytes().split(b"\0")
    except (OSError, IndexError):
        return "another process"
    command = " ".join(word.decode("utf-8", "replace") for word in words if word)
    return f"process {numbers[0]} ({command[:100]})"
