"""Spool files of another life of the home: moved aside, never deleted, and never taken for this ledger's own.

After an older ledger was put back, the spool beside it may hold files under numbers that this ledger has yet to give out. A batch that took
such a number would be settled from the answers of another one. So whoever holds the lock moves these files away before a number is given.

Every writer commits the row of a number before a file gets its name: a file above the highest number is never one of this life, however
its writer died.
"""

import logging
import stat
from pathlib import Path
from typing import Final

from batchrun.ledger.connection import Ledger
from batchrun.ledger.home import Home
from batchrun.ledger.spool import disk_error, fsync_folder

log = logging.getLogger(__name__)

_ASIDE: Final = "spool-of-lost-ledger-{}"


def set_unrecorded_aside(ledger: Ledger) -> None:
    """Move spool files whose numbers this ledger never gave out to a folder of their own, durably.

    Only under the home's lock, before anything is swept: a dead submission that is swept gives its numbers back. May be killed anywhere and
    called again. Reads the names in the spool and nothing of the files. Raises LedgerError.
    """
    home = ledger.home
    highest = {
        home.requests: "select max(id) from request_files",
        home.results: "select max(id) from batch_rows",
        home.fields: "select max(id) from submissions",
    }
    try:
        unknown = [
            path
            for folder, query in highest.items()
            for path in _numbered_above(int(ledger.value(query) or 0), folder)
        ]
        # A planted link, pipe or second name of somebody's file has no bytes to keep: only the name goes.
        planted = {path for path in unknown if _is_planted(path)}
        for path in planted:
            path.unlink()
        if kept := [path for path in unknown if path not in planted]:
            _move(home, kept)
    except OSError as exc:
        raise disk_error(Path(exc.filename or home.path), exc) from exc


def set_aside(home: Home) -> list[Path]:
    """The folders of files that were set aside."""
    return sorted(home.path.glob(_ASIDE.format("*")))


def free_name(home: Home) -> Path:
    """A folder that is not there yet, for a spool or files of one."""
    number = 1
    while (path := home.path / _ASIDE.format(number)).exists():
        number += 1
    return path


def _numbered_above(highest: int, folder: Path) -> list[Path]:
    """The files `<number>.jsonl` and `<number>-….jsonl` of a spool folder with a number that is higher."""
    return [
        path
        for path in folder.glob("*.jsonl")
        if (number := path.stem.partition("-")[0]).isdecimal() and int(number) > highest
    ]


def _is_planted(path: Path) -> bool:
    """Whether batchrun never wrote it: its own files are private ones, and a copy of one has no second name."""
    found = path.lstat()
    is_private = not found.st_mode & 0o077
    return not stat.S_ISREG(found.st_mode) or (found.st_nlink > 1 and not is_private)


def _move(home: Home, paths: list[Path]) -> None:
    aside = free_name(home)
    aside.mkdir(mode=0o700)
    folders = {path.parent for path in paths}
    for folder in folders:
        (aside / folder.name).mkdir(mode=0o700)
    for path in paths:
        path.rename(aside / path.parent.name / path.name)
    # New names first: a file that power loss leaves under both is moved again, one that it leaves under none is lost.
    for folder in (*(aside / folder.name for folder in folders), aside, home.path, *folders):
        fsync_folder(folder)
    log.warning(
        "%d spool files that this ledger knows nothing of, as after an older ledger was put back, were moved to %s",
        len(paths),
        aside,
    )
