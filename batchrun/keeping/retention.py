"""What `[retention]` of batchrun.toml asks for, at the end of a tick, at most once a day: `prune` and `forget` by age."""

from typing import Final

from batchrun.clock import Clock
from batchrun.config import Retention
from batchrun.errors import BatchrunError, HomeLocked, LedgerError
from batchrun.keeping.forgetting import begin, choose, finish, has_unfinished
from batchrun.keeping.pruning import prune
from batchrun.ledger.connection import Ledger, open_for_reading, open_ledger
from batchrun.ledger.home import Home
from batchrun.ledger.jobs import find_jobs
from batchrun.ledger.lock import pass_lock
from batchrun.running.context import OpenBackend
from batchrun.running.runner import clear_debris

_EVERY_S: Final = 86_400
_DONE_AT: Final = "kept_house_at"


def keep_house(
    home: Home, retention: Retention, *, clock: Clock, open_backend: OpenBackend
) -> tuple[BatchrunError, ...]:
    """Apply what is set, if that was not done in the last day; the problems that a person must see.

    Where another process is at work in the home the next tick does it.
    """
    now = clock.now()
    with open_for_reading(home) as ledger:
        if not _is_due(ledger, now):
            return ()
    try:
        with pass_lock(home, wait_s=0), open_ledger(home) as ledger:
            clear_debris(ledger, now)
            problems = _apply(ledger, retention, now, open_backend)
            with ledger.transaction():
                ledger.execute("insert or replace into meta values (?, ?)", (_DONE_AT, str(now)))
            return problems
    except HomeLocked:
        return ()
    except LedgerError as exc:
        return (exc,)


def _is_due(ledger: Ledger, now: int) -> bool:
    last = ledger.meta(_DONE_AT)
    return last is None or now - int(last) >= _EVERY_S


def _apply(
    ledger: Ledger, retention: Retention, now: int, open_backend: OpenBackend
) -> tuple[BatchrunError, ...]:
    jobs = find_jobs(ledger)
    if retention.items_s is not None:
        for job in jobs:
            chosen = choose(ledger, job, (), cutoff=now - retention.items_s)
            if chosen.item_count:
                begin(ledger, job, chosen, at=now)
    problems: tuple[BatchrunError, ...] = ()
    if has_unfinished(ledger):
        problems = finish(ledger, open_backend=open_backend, at=now).problems
    if retention.spool_s is not None:
        prune(ledger, find_jobs(ledger), now=now, older_than_s=retention.spool_s)
    return problems
