"""Result files that cannot be read: more than one line in a hundred is no result.

They are no reason to fail the items: what the file should say was paid. It is kept beside the spool's own and downloaded once more; if that
is no better, the batch waits for a person, and everything else goes on.
"""

import logging
import sqlite3
from typing import Final

from batchrun.errors import BackendError
from batchrun.ledger.batches import add_incident, update_batch
from batchrun.ledger.spool import publish
from batchrun.running.collect import UnreadableResults
from batchrun.running.context import PassContext

log = logging.getLogger(__name__)

_AGAIN_S: Final = 60  # until the second download
_PERSON_S: Final = 3_600  # between two reminders that a person is needed


def set_aside(ctx: PassContext, row: sqlite3.Row, found: UnreadableResults) -> None:
    """Keep the file and have it downloaded once more; the second time, ask for a person. Raises LedgerError."""
    kept = ctx.ledger.home.suspect_file(row["id"], found.kind)
    what = f"{found.unreadable:,} of {found.lines:,} lines of the {('output', 'error')[found.kind]} file of batch {row['id']}"
    if kept.exists():
        _ask_a_person(ctx, row, f"{what} cannot be read, after a second download too: {found.path}")
        return
    log.warning("batch %s: %s cannot be read; downloading it again", row["id"], what)
    with ctx.ledger.transaction():
        ctx.ledger.execute(
            "delete from result_files where batch = ? and kind = ?", (row["id"], found.kind)
        )
        update_batch(
            ctx.ledger,
            row["id"],
            next_at=ctx.clock.now() + _AGAIN_S,
            reason=f"{what} cannot be read; downloading it once more",
        )
    publish(found.path, kept)


def _ask_a_person(ctx: PassContext, row: sqlite3.Row, what: str) -> None:
    reason = (
        f"{what}. Nothing of the batch is settled. Compare the file with the service's, or mend it in its place; to settle the batch by the "
        f"lines that can be read: `batchrun resolve {row['id']} --as-is` (its other items then fail with missing_result)."
    )
    ctx.note(BackendError(reason), profile=row["profile"], job=row["job"])
    with ctx.ledger.transaction():
        next_at = ctx.clock.now() + _PERSON_S
        update_batch(ctx.ledger, row["id"], next_at=next_at, reason=reason, needs_person=1)
        add_incident(
            ctx.ledger,
            at=ctx.clock.now(),
            kind="unreadable_results",
            message=reason,
            job=row["job"],
            batch=row["id"],
        )
