"""What of the ledger counts: a submission that is not ready, because its process died, is as if it had never been, and so are its items."""

from batchrun.ledger.connection import Ledger
from batchrun.ledger.states import FileState, SubmissionState

_MAX_ID = (1 << 63) - 1


def end_item(ledger: Ledger) -> int:
    """Items with a lower id than this count. Only the holder of the lock adds items: all from the first of an unready submission are its own."""
    first = ledger.value(
        "select min(first_item) from submissions where state = ?", (SubmissionState.PREPARING,)
    )
    return _MAX_ID if first is None else int(first)


def has_unready(ledger: Ledger) -> bool:
    """Whether a submission or a request file was left unfinished by a process that died: the next pass clears it away."""
    return bool(
        ledger.value(
            "select exists (select 1 from submissions where state = ?) or exists (select 1 from request_files where state = ?)",
            (SubmissionState.PREPARING, FileState.WRITING),
        )
    )
