"""Lines of a lost or refused batch that reappeared, for items that are not in flight in it any more: told apart from second results and strangers."""

import sqlite3
from typing import Final

from batchrun.ledger.connection import Ledger

ASKED_AGAIN: Final = (
    "was given up as lost or refused and asked again since (`batchrun retry`, `--rerun-lost`, or submitted anew), and here is its first answer: "
    "both may have been billed, and the newer one counts"
)


def is_settled_line(
    ledger: Ledger, batch: sqlite3.Row, item: int | None, *, kind: int, offset: int
) -> bool:
    """Whether this very line settled its item before the batch was given up: it is read again, and is no news."""
    return bool(
        ledger.value(
            "select 1 from result_rows where item = ?1 and batch = ?2 and kind = ?3 and offset = ?4 "
            "union all select 1 from history where item = ?1 and batch = ?2 and kind = ?3 and offset = ?4",
            (item, batch["id"], kind, offset),
        )
    )


def was_asked_again(ledger: Ledger, batch: sqlite3.Row, item: int | None) -> bool:
    """Whether the line's item failed with the loss or refusal of this batch and was asked again since: its newer request counts."""
    return bool(
        ledger.value(
            "select 1 from history where item = ? and batch = ? and cause in ('lost_result', 'rejected')",
            (item, batch["id"]),
        )
    )
