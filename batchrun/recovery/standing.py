"""Where jobs stand once nothing more of them can turn up at the service: what has no answer waits for a person."""

from collections.abc import Container

from batchrun.ledger.connection import Ledger
from batchrun.ledger.items import counts
from batchrun.ledger.jobs import find_jobs
from batchrun.ledger.states import BatchState, ItemState
from batchrun.recovery.found import RecoveredJob


def pause_unsent(ledger: Ledger, profile: str) -> None:
    """Nothing that is still to be sent goes out before somebody submits it: perhaps its answers are only out of reach. Inside the caller's transaction.

    That the service shows nothing of an item is no proof that it was never asked: files expire, and a key may be of another project.
    """
    planned = (BatchState.PLANNED, BatchState.UPLOADED)
    for row in list(ledger.rows("select id from jobs where profile = ?", (profile,))):
        unsent = counts(ledger, row["id"])[ItemState.PENDING] + int(
            ledger.value(
                "select coalesce(sum(request_count), 0) from batch_rows where job = ? and state in (?, ?)",
                (row["id"], *planned),
            )
        )
        if unsent:
            ledger.execute(
                "update jobs set paused = ? where id = ?",
                (
                    f"{unsent:,} items have no answer that `recover` could find. Submit the job file again to ask them",
                    row["id"],
                ),
            )


def standing(ledger: Ledger, profiles: Container[str]) -> tuple[RecoveredJob, ...]:
    """The jobs of these profiles, as they are now."""
    return tuple(
        RecoveredJob(
            name=job.name,
            profile=job.profile,
            counts={state.name.lower(): n for state, n in counts(ledger, job.id).items()},
            is_paused=job.paused is not None,
        )
        for job in find_jobs(ledger)
        if job.profile in profiles
    )
