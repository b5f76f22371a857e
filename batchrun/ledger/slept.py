"""A home that nobody ticked for weeks is about to lose what it paid for: services keep results for 30 days."""

from typing import Final

from batchrun.ledger.connection import Ledger
from batchrun.ledger.states import BatchState

SLEPT_S: Final = 20 * 86_400  # ten days are left then
_DAY_S: Final = 86_400


def slept_warning(ledger: Ledger, now: int) -> str | None:
    """What to tell where the last pass ended 20 days ago or more, with batches on the service; else None."""
    last = ledger.meta("last_pass_at")
    if last is None or now - int(last) < SLEPT_S:
        return None
    in_flight = len(jobs_in_flight(ledger))
    if not in_flight:
        return None
    return (
        f"the last pass was {(now - int(last)) // _DAY_S} days ago, and {in_flight} batch{'' if in_flight == 1 else 'es'} "
        "of this home may have ended since. Services keep results for 30 days, then what was paid for is lost. "
        "Run `batchrun tick` now, and let cron or a timer run it."
    )


def jobs_in_flight(ledger: Ledger) -> list[tuple[int, int]]:
    """(batch, job) of every batch that is on the service, or may be, and is not settled."""
    states = (BatchState.CREATING, BatchState.CREATED, BatchState.ENDED)
    rows = ledger.rows(
        "select id, job from batch_rows where state in (?, ?, ?) order by id", states
    )
    return [(row["id"], row["job"]) for row in rows]
