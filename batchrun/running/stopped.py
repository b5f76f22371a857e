"""What no time ends: holds of a ledger that is older than the service, and of a recovery that has not come to its end; accounts of which a batch
cost more than it could.

Nothing is planned for what waits behind one, so each pass says why instead: who waits for it would wait for nothing.
"""

from batchrun.errors import BackendError, BatchrunError, GuardError
from batchrun.ledger.connection import Ledger
from batchrun.ledger.jobs import SENDS_TO
from batchrun.ledger.shortages import overruns
from batchrun.ledger.states import BatchState, ItemState
from batchrun.planning.policy import FOREVER


def stops(ledger: Ledger) -> tuple[BatchrunError, ...]:
    """Why what waits to be sent is never sent by itself, one error a profile; none where nothing waits behind such a hold.

    That a batch cost too much is said in any case: the books, or the prices, are wrong.
    """
    rows = ledger.rows(
        "select h.reason, h.profile from holds h where h.until >= ?1 and ("
        f"exists (select 1 from jobs j join item_counts c on c.job = j.id where h.profile in (j.profile, {SENDS_TO}) and j.paused is null "
        "and j.submission is not null and c.state = ?2 and c.n > 0) or "
        "exists (select 1 from batch_rows b join jobs j on j.id = b.job where b.profile = h.profile and j.paused is null "
        "and b.state in (?3, ?4))) order by h.profile, h.model",
        (FOREVER, ItemState.PENDING, BatchState.PLANNED, BatchState.UPLOADED),
    )
    holds = tuple(_stop(row["profile"], row["reason"]) for row in rows)
    return (*holds, *(GuardError(overrun.words) for overrun in overruns(ledger)))


def _stop(profile: str, reason: str) -> BackendError:
    error = BackendError(reason)
    error.profile = profile
    return error
