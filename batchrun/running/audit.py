"""What should not be on the service: a second batch of one intent, and batches of this ledger that this ledger does not know."""

from typing import Final

from batchrun.backends.base import Backend, RemoteBatch
from batchrun.errors import BackendError
from batchrun.ledger.batches import add_incident, wordless
from batchrun.ledger.origins import is_missing_here
from batchrun.ledger.states import BatchState
from batchrun.model import TOKEN_KEY
from batchrun.planning.policy import FOREVER
from batchrun.running.context import PassContext
from batchrun.running.finding import cancel_duplicates, is_known_dead
from batchrun.running.listing import Listing
from batchrun.running.refused import readmit
from batchrun.running.refusing import hold
from batchrun.running.results import never_ran

# Where the recorded batch is not known yet, one that bears the token is not a second one: it is this one, and gets found.
_TO_BE_FOUND: Final = frozenset(
    {BatchState.PLANNED, BatchState.UPLOADED, BatchState.CREATING, BatchState.LOST}
)


def audit(ctx: PassContext, profile: str, backend: Backend, listing: Listing) -> None:
    """A remote batch with a token of ours that is not the recorded one is a duplicate; a token of ours that we do not know is worse."""
    readmit(ctx, profile, backend, listing)
    for remote in listing.batches:
        token = remote.metadata.get(TOKEN_KEY)
        if token is None:
            continue
        row = ctx.ledger.row("select * from batch_rows where token = ?", (token,))
        if row is None:
            if is_missing_here(ctx.ledger, remote.id, remote.metadata):
                _refuse_older_ledger(ctx, profile, remote)
            continue
        if row["remote_id"] == remote.id or is_known_dead(ctx, remote, row):
            continue
        if row["state"] == BatchState.REJECTED and never_ran(remote):
            continue  # it says the same as the refusal
        if row["remote_id"] is not None or row["state"] not in _TO_BE_FOUND:
            cancel_duplicates(ctx, backend, row, [remote])


def _refuse_older_ledger(ctx: PassContext, profile: str, remote: RemoteBatch) -> None:
    reason = (
        f"the service knows batch {remote.id} of this ledger, and this ledger does not: it is older than the service. "
        "Nothing is sent. Restore the newest copy of the home, or bring back what it lacks with `batchrun recover`."
    )
    ctx.note(BackendError(reason), profile=profile)
    with ctx.ledger.transaction():
        hold(ctx, profile, "", FOREVER, reason)
        add_incident(
            ctx.ledger,
            at=ctx.clock.now(),
            kind="older_ledger",
            message=reason,
            detail=wordless(remote.raw),
        )
