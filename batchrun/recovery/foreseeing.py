"""`recover --dry-run`: what the listings of the services say, and what would be done about it. Changes nothing and downloads nothing."""

from collections.abc import Callable, Mapping

from batchrun.backends.base import Backend, RemoteBatch
from batchrun.ledger.connection import Ledger
from batchrun.ledger.states import FINAL_BATCH_STATES
from batchrun.model import JOB_KEY, LEDGER_KEY, TOKEN_KEY
from batchrun.recovery.found import FoundBatch, Recovered
from batchrun.recovery.scope import (
    chosen_ledgers,
    destiny,
    whole_listing,
)


def foresee(
    ledger: Ledger | None,
    jobs: Mapping[str, set[str]],
    open_backend: Callable[[str], Backend],
    asked: tuple[str, ...],
) -> Recovered:
    """`jobs`: names by profile; `ledger`: None where there is none yet; `asked`: ledgers that the user named.

    Whether the items of a batch are still asked shows only when its requests are read. Raises BackendError, UsageError.
    """
    found: list[FoundBatch] = []
    ledgers: set[str] = set()
    for profile in sorted(jobs):
        backend = open_backend(profile)
        try:
            listing = whole_listing(backend, profile)
        finally:
            backend.close()
        ours = chosen_ledgers(ledger, listing.batches, jobs=jobs[profile], asked=asked)
        ledgers |= ours
        found += [
            _foreseen(ledger, remote, profile, jobs[profile], ours)
            for remote in sorted(listing.batches, key=lambda r: (r.created_at, r.id))
        ]
    return Recovered(is_dry_run=True, batches=tuple(found), ledgers=tuple(sorted(ledgers)))


def _foreseen(
    ledger: Ledger | None,
    remote: RemoteBatch,
    profile: str,
    jobs: set[str],
    ours: frozenset[str],
) -> FoundBatch:
    row = None
    if ledger is not None:
        row = ledger.row(
            "select id, state from batch_rows where remote_id = ? or token = ?",
            (remote.id, remote.metadata.get(TOKEN_KEY)),
        )
    job, ledger_id = remote.metadata.get(JOB_KEY), remote.metadata.get(LEDGER_KEY)
    became = destiny(
        remote,
        is_ours=row is not None or ledger_id in ours,
        is_settled=row is not None and row["state"] in FINAL_BATCH_STATES,
        has_job=row is not None or job in jobs,
    )
    return FoundBatch.of(remote, profile, became, batch=None if row is None else row["id"])
