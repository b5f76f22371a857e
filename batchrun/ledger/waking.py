"""Waking a batch before its time: a service has said that it ended.

Only the time of its next poll changes, so an event may come twice, late or never: what it says of the batch is believed when the service
itself is asked. Written without the home's lock, as wishes are.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from batchrun.ledger.connection import Ledger
from batchrun.ledger.states import BatchState

_REMEMBERED_S: Final = (
    7 * 86_400
)  # a copy of an event is not believed for longer than minutes anyway


class Woken(StrEnum):
    """What an event came to."""

    WOKEN = "woken"
    AGAIN = "again"  # it was received before
    UNKNOWN = "unknown"  # no batch of this home, or one that has ended here already


def wake(ledger: Ledger, event_id: str, remote_id: str, *, at: int) -> Woken:
    """Note the event and make its batch due, in one transaction."""
    with ledger.transaction():
        ledger.execute("delete from webhook_events where at < ?", (at - _REMEMBERED_S,))
        noted = ledger.execute(
            "insert or ignore into webhook_events (id, at) values (?, ?)", (event_id, at)
        )
        if not noted.rowcount:
            return Woken.AGAIN
        return Woken.WOKEN if _make_due(ledger, remote_id) else Woken.UNKNOWN


def make_due(ledger: Ledger, remote_ids: Iterable[str]) -> None:
    """Make batches due once more: a pass that had asked for one just before its end may have put it off since."""
    with ledger.transaction():
        for remote_id in remote_ids:
            _make_due(ledger, remote_id)


def _make_due(ledger: Ledger, remote_id: str) -> bool:
    """A batch that has ended here has its own times, for files that are late."""
    due = ledger.execute(
        "update batch_rows set next_at = 0 where remote_id = ? and state = ?",
        (remote_id, BatchState.CREATED),
    )
    return due.rowcount == 1
