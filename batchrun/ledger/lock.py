"""One pass at a time per home, and one migration: flocks on files of the home, freed by the kernel when their holder dies, however it dies."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from batchrun.errors import HomeLocked, LedgerError
from batchrun.ledger.home import Home


@contextlib.contextmanager
def pass_lock(home: Home, *, wait_s: float) -> Iterator[None]:
    """Hold the home's lock. Raises HomeLocked after `wait_s` seconds (0: at once); LedgerError where locks do not work."""
    with _locked(
        home.lock,
        wait_s,
        f"{home.path}: another batchrun is at work in this home (waited {wait_s:.0f} s). "
        "It goes on by itself; try again later, or wait longer with --lock-wait.",
    ):
        yield


@contextlib.contextmanager
def schema_lock(home: Home, *, wait_s: float) -> Iterator[None]:
    """Held while the ledger's tables are made or migrated: by commands that wait for no pass, too. Raises as `pass_lock` does."""
    with _locked(
        home.schema_lock,
        wait_s,
        f"{home.path}: another batchrun is migrating this ledger (waited {wait_s:.0f} s). Try again later.",
    ):
        yield


@contextlib.contextmanager
def _locked(path: Path, wait_s: float, busy: str) -> Iterator[None]:
    from filelock import FileLock, Timeout

    # A hard lock or none: a soft one would survive its holder's death and lock the home for ever.
    lock = FileLock(str(path), mode=0o600, fallback_to_soft=False)
    try:
        lock.acquire(timeout=wait_s)
    except Timeout as exc:
        raise HomeLocked(busy) from exc
    except (OSError, NotImplementedError) as exc:
        raise LedgerError(
            f"{path}: cannot be locked: {exc}. Put the home on a local disk that supports flock (--home)."
        ) from exc
    try:
        yield
    finally:
        lock.release()
