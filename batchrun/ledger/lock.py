"""One pass at a time per home: a flock on `<home>/lock`, freed by the kernel when its holder dies, however it dies."""

import contextlib
from collections.abc import Iterator

from batchrun.errors import HomeLocked, LedgerError
from batchrun.ledger.home import Home


@contextlib.contextmanager
def pass_lock(home: Home, *, wait_s: float) -> Iterator[None]:
    """Hold the home's lock. Raises HomeLocked after `wait_s` seconds (0: at once); LedgerError where locks do not work."""
    from filelock import FileLock, Timeout

    # A hard lock or none: a soft one would survive its holder's death and lock the home for ever.
    lock = FileLock(str(home.lock), mode=0o600, fallback_to_soft=False)
    try:
        lock.acquire(timeout=wait_s)
    except Timeout as exc:
        raise HomeLocked(
            f"{home.path}: another batchrun is at work in this home (waited {wait_s:.0f} s). "
            "It goes on by itself; try again later, or wait longer with --lock-wait."
        ) from exc
    except (OSError, NotImplementedError) as exc:
        raise LedgerError(
            f"{home.lock}: cannot be locked: {exc}. Put the home on a local disk that supports flock (--home)."
        ) from exc
    try:
        yield
    finally:
        lock.release()
