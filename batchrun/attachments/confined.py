"""Opening a file only where a job may read: in its own folder, and in those that `attach_from` of batchrun.toml names.

The names come from data, and data may come from strangers: whatever is attached leaves this machine. So links are followed first and the
end of the way is judged; then the file is opened step by step from the allowed folder, no step through a link, so that nothing that is
exchanged in between leads elsewhere. Hidden files are never attached: keys, ledgers and histories live there.
"""

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from batchrun.jobfile import Fault

_SHOWN: Final = 100  # characters of a name in a message
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A pipe that nobody writes to must not hold us up: it opens at once, and is then refused.
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Opened(NamedTuple):
    """An open file; the caller closes it. `stamp` tells whether it is one that was read before, unchanged."""

    descriptor: int
    size: int
    stamp: tuple[int, ...]


class Places:
    """The folders that one job may attach from."""

    def __init__(self, folder: Path, others: Sequence[Path] = ()) -> None:
        self._folder = folder
        self._roots = [Path(os.path.realpath(root)) for root in (folder, *others)]

    def open(self, name: str) -> Opened:
        """The regular file of this name, relative to the job's folder. Raises Fault for everything else."""
        told = shown(name)
        if "\x00" in name:
            raise Fault(f"'attach': {told} is no file name")
        target = Path(os.path.realpath(self._folder / name))
        root = next((root for root in self._roots if target.is_relative_to(root)), None)
        if root is None:
            raise Fault(
                f"'attach': {told} leads out of the job's folder",
                "Put the file there, or name its folder in 'attach_from' of batchrun.toml.",
            )
        steps = target.relative_to(root).parts
        if any(step.startswith(".") for step in steps):
            raise Fault(f"'attach': {told} is hidden", "Hidden files are not attached: rename it.")
        try:
            return _checked(_walk(root, steps), told)
        except FileNotFoundError:
            raise Fault(
                f"'attach': {told}: there is no such file",
                "It is relative to the job file; a submit reads the files of all its items, of answered ones too.",
            ) from None
        except OSError as error:
            raise Fault(f"'attach': {told} cannot be read: {error.strerror}") from None


def shown(name: str) -> str:
    """A name as it may stand in a message."""
    return repr(name if len(name) <= _SHOWN else name[:_SHOWN] + "…")


def _walk(root: Path, steps: Sequence[str]) -> int:
    """A descriptor of what the steps lead to."""
    here = os.open(root, _FOLDER)
    for place, step in enumerate(steps):
        is_last = place == len(steps) - 1
        try:
            there = os.open(step, _FILE if is_last else _FOLDER, dir_fd=here)
        finally:
            os.close(here)
        here = there
    return here


def _checked(descriptor: int, told: str) -> Opened:
    found = os.fstat(descriptor)
    what = ""
    if stat.S_ISDIR(found.st_mode):
        what = "is a folder"
    elif not stat.S_ISREG(found.st_mode):
        what = "is no regular file"
    elif not found.st_size:
        what = "is empty"
    if what:
        os.close(descriptor)
        raise Fault(f"'attach': {told} {what}", "Name a file with something in it.")
    stamp = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    return Opened(descriptor, found.st_size, stamp)
