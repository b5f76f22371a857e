"""A ledger to recover into, where the old one is gone.

A ledger that was begun anew must never be seen without the hold that keeps it from sending, or the next `submit` would ask (and pay for)
everything again. So it is made beside its place, hold and all, and moved there by one rename. The spool of the lost ledger is set aside
first: its numbers mean nothing to the new one, and its bytes are the only copy of answers that the service no longer has.
"""

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from batchrun.ledger.aside import free_name, set_unrecorded_aside
from batchrun.ledger.connection import Ledger, mint_identity, open_ledger
from batchrun.ledger.home import Home
from batchrun.ledger.spool import disk_error, fsync_folder

_BESIDE: Final = "recovering"


def has_ledger(home: Home) -> bool:
    """Whether there is a ledger; one of no bytes is none."""
    return home.database.exists() and home.database.stat().st_size > 0


def open_for_recovery(home: Home, hold: Callable[[Ledger], None]) -> Ledger:
    """The home's ledger, begun anew where there is none; `hold` writes into a new one before anybody can open it.

    Only under the home's lock. May be killed anywhere and called again. Raises LedgerError.
    """
    try:
        if not has_ledger(home):
            _begin_anew(home, hold)
        home.create()
        ledger = open_ledger(home)
        set_unrecorded_aside(ledger)
    except OSError as exc:
        raise disk_error(Path(exc.filename or home.path), exc) from exc
    return ledger


def _begin_anew(home: Home, hold: Callable[[Ledger], None]) -> None:
    beside = Home(home.path / _BESIDE)
    shutil.rmtree(beside.path, ignore_errors=True)  # of one who died here
    with open_ledger(beside, create=True) as made:
        with made.transaction():
            mint_identity(Ledger(made.connection, home))
            hold(made)
        made.connection.execute("pragma wal_checkpoint(truncate)")
    _set_spool_aside(home)
    beside.database.rename(home.database)
    fsync_folder(home.path)
    shutil.rmtree(beside.path, ignore_errors=True)


def _set_spool_aside(home: Home) -> None:
    """What belongs to the lost ledger, also what SQLite kept beside it: a new database must not meet that."""
    spool = home.requests.parent
    sides = [home.database.with_name(home.database.name + end) for end in ("-wal", "-shm")]
    has_files = any(path.is_file() for path in spool.rglob("*"))
    if not has_files and not any(side.exists() for side in sides):
        return
    aside = free_name(home)
    if has_files:
        spool.rename(aside)
    else:
        aside.mkdir(mode=0o700)
    for side in sides:
        with contextlib.suppress(FileNotFoundError):
            side.rename(aside / side.name)
    fsync_folder(home.path)
