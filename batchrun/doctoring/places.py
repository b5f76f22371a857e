"""The home as a place on a disk: writable, private, locked by nobody, with room, and on a file system that keeps its word."""

import contextlib
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from batchrun.doctoring.diagnosis import Area, Diagnosis, Level
from batchrun.doctoring.locks import flock_problem, who_holds
from batchrun.doctoring.mounts import file_system_of, is_network
from batchrun.errors import HomeLocked, LedgerError
from batchrun.ledger.home import Home
from batchrun.ledger.lock import pass_lock
from batchrun.ledger.spool import TEMP_SUFFIX, fsync_folder

SPACE_LEAST_BYTES: Final = 100_000_000  # less, and a pass may stop half-way
SPACE_SMALL_BYTES: Final = (
    1_000_000_000  # one full batch of 200 MB has requests, answers and outputs
)
_LOCAL_DISK: Final = "Move the home to a local disk: batchrun --home DIR."
_MODES_MOST: Final = 3  # files named


def _home(name: str, level: Level, what: str, fix: str = "") -> Diagnosis:
    return Diagnosis(area=Area.HOME, name=name, level=level, what=what, fix=fix)


def writable(folder: Path, *, fsync: Callable[[int], None] = os.fsync) -> Diagnosis:
    """Whether a file can be made, made durable, and removed: the temporary file is gone again afterwards."""
    try:
        with _trial(folder) as descriptor:
            os.write(descriptor, b"batchrun doctor\n")
            fsync(descriptor)
        fsync_folder(folder)
    except OSError as exc:
        return _home(
            "writable",
            Level.FAIL,
            f"{folder}: a file cannot be written durably: {exc.strerror or exc}",
            f"chmod u+rwx {folder}; look at `df -h {folder}` and the disk's health.",
        )
    return _home("writable", Level.OK, f"{folder}: files are written, and fsync works")


@contextlib.contextmanager
def _trial(folder: Path) -> Iterator[int]:
    """A file of this process in the folder, open to write and gone afterwards; those of doctors that died go first. Raises OSError."""
    for left in folder.glob(_trial_file(folder, "*").name):
        if not _is_of_living(left):
            left.unlink(missing_ok=True)
    temp = _trial_file(folder, os.getpid())
    descriptor = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
        temp.unlink()


def _trial_file(folder: Path, process: int | str) -> Path:
    """It bears the number of its process: no pass sweeps this folder, so the next doctor must see which ones are left over."""
    return folder / f".doctor.{process}{TEMP_SUFFIX}"


def _is_of_living(left: Path) -> bool:
    number = left.name.split(".")[2]
    if not number.isdecimal() or sys.platform == "win32":  # signal 0 is not harmless there
        return True
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return int(number) != os.getpid()


def private(home: Home) -> Diagnosis:
    """Whether anybody else could read what is in the home."""
    open_to_others = []
    for path in (home.path, home.database, home.lock, home.requests, home.results, home.fields):
        try:
            mode = path.stat().st_mode
        except OSError:
            continue  # not made yet
        if mode & 0o077:
            open_to_others.append(f"{path} (mode {stat.S_IMODE(mode):04o})")
    if open_to_others:
        return _home(
            "private",
            Level.WARN,
            f"others may look into {', '.join(open_to_others[:_MODES_MOST])}",
            f"chmod -R go= {home.path}",
        )
    return _home("private", Level.OK, "only this user may look into the home")


def lock(home: Home) -> Diagnosis:
    """Whether the lock of a pass can be had now, and who has it."""
    try:
        with pass_lock(home, wait_s=0):
            return _home("lock", Level.OK, "no other batchrun is at work in this home")
    except HomeLocked:
        return _home(
            "lock",
            Level.WARN,
            f"{who_holds(home.lock)} is at work in this home",
            "Nothing, if that is meant: it goes on by itself, and a tick beside it leaves at once.",
        )
    except LedgerError as exc:
        return _home("lock", Level.FAIL, str(exc), _LOCAL_DISK)


def locks_work(folder: Path, *, python: str = sys.executable) -> Diagnosis:
    """Whether a lock taken here keeps another process out: two runners at once are kept apart by nothing else."""
    if sys.platform == "win32":
        return _home("flock", Level.UNKNOWN, "cannot be tried on this system")
    try:
        with _trial(folder):
            problem = flock_problem(_trial_file(folder, os.getpid()), python=python)
    except subprocess.SubprocessError:
        return _home("flock", Level.UNKNOWN, "cannot be tried: the second process was ended")
    except OSError as exc:
        problem = f"{folder}: {exc.strerror or exc}"
    if problem:
        return _home("flock", Level.FAIL, problem, _LOCAL_DISK)
    return _home("flock", Level.OK, "a lock keeps other processes out")


def file_system(folder: Path, *, mounts: Path = Path("/proc/self/mountinfo")) -> Diagnosis:
    """What kind of file system the home is on."""
    try:
        kind = file_system_of(str(folder.resolve()), mounts.read_text("utf-8", "replace"))
    except OSError:
        kind = None
    if kind is None:
        return _home("file-system", Level.UNKNOWN, "this system does not say what it is")
    if is_network(kind):
        return _home(
            "file-system",
            Level.WARN,
            f"{kind}, which may be on another machine: locks and fsync are what that one makes of them",
            _LOCAL_DISK,
        )
    return _home("file-system", Level.OK, f"{kind}, on this machine")


def space(free_bytes: int, folder: Path) -> Diagnosis:
    """Whether there is room for requests, answers and outputs."""
    what = f"{free_bytes / 1e9:,.1f} GB free in {folder}"
    if free_bytes >= SPACE_SMALL_BYTES:
        return _home("disk-space", Level.OK, what)
    level = Level.WARN if free_bytes >= SPACE_LEAST_BYTES else Level.FAIL
    return _home("disk-space", level, what, "batchrun prune, or free space: `df -h`.")


def free_bytes(folder: Path) -> int:
    """What this user may still write there. Raises OSError."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize
