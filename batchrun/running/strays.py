"""Lines of a batch's result files that settle nothing: garbage, a stranger's id, or a second answer to an attempt that has one.

They are counted, and the first of them kept as incidents for people. A lost or refused batch may reappear when its items are no longer in
flight in it: its lines are told apart from second results and strangers.
"""

import sqlite3
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Final

from batchrun.endpoints.answer import Reading
from batchrun.ledger.batches import add_incident
from batchrun.ledger.connection import Ledger
from batchrun.ledger.origins import naming

_INCIDENTS_MOST: Final = 100  # per batch; the rest is counted
_ASKED_AGAIN: Final = (
    "was given up as lost or refused and asked again since (`batchrun retry`, `--rerun-lost`, or submitted anew), and here is its first answer: "
    "both may have been billed, and the newer one counts"
)


class Strays:
    """What was met in one reading of a batch's files: `count` lines, `unreadable_count` of them without any custom_id."""

    def __init__(
        self,
        ledger: Ledger,
        batch: sqlite3.Row,
        *,
        held: Sequence[Sequence[tuple[object, ...]]],
    ) -> None:
        """`held`: lists of rows, the item first, that were read and are not stored yet; looked at when a line comes, never changed."""
        self._ledger, self._batch, self._held = ledger, batch, held
        self._was_lost = batch["lost_at"] is not None
        self._incidents: list[tuple[str, str, str]] = []
        self.count = 0
        self.unreadable_count = 0

    def note(self, kind: int, offset: int, reading: Reading) -> None:
        """A line at byte `offset` of the output (0) or error file (1)."""
        custom_id, was_lost = reading.custom_id, self._was_lost
        if (
            was_lost
            and custom_id is not None
            and self._is_settled_line(self._whose(custom_id), kind=kind, offset=offset)
        ):
            return
        self.count += 1
        self.unreadable_count += custom_id is None
        if len(self._incidents) >= _INCIDENTS_MOST:
            return
        where = f"{('output', 'error')[kind]} file, byte {offset}"
        if custom_id is None:
            found = ("unreadable_line", f"{where}: {reading.message}", where)
        elif was_lost and self._was_asked_again(self._whose(custom_id)):
            found = ("paid_twice", f"{where}: {custom_id} {_ASKED_AGAIN}", where)
        elif self._is_ours(self._whose(custom_id)):
            found = ("second_result", f"{where}: a second result for {custom_id}", where)
        else:
            told = f"{where}: a result for {custom_id!r}, which was not asked"
            found = ("unknown_result", told, where)
        self._incidents.append(found)

    def record(self, at: int) -> None:
        """Put what was kept into the ledger. Inside the caller's transaction."""
        for kind, message, detail in self._incidents:
            add_incident(
                self._ledger,
                at=at,
                kind=kind,
                message=message,
                job=self._batch["job"],
                batch=self._batch["id"],
                detail=detail,
            )

    @cached_property
    def _whose(self) -> Callable[[str], int | None]:
        return naming(self._ledger, self._batch["id"])

    def _is_settled_line(self, item: int | None, *, kind: int, offset: int) -> bool:
        """Whether this very line settled its item before the batch was given up: it is read again, and is no news."""
        return bool(
            self._ledger.value(
                "select 1 from result_rows where item = ?1 and batch = ?2 and kind = ?3 and offset = ?4 "
                "union all select 1 from history where item = ?1 and batch = ?2 and kind = ?3 and offset = ?4",
                (item, self._batch["id"], kind, offset),
            )
        )

    def _was_asked_again(self, item: int | None) -> bool:
        """Whether the line's item failed with the loss or refusal of this batch and was asked again since: its newer request counts."""
        return bool(
            self._ledger.value(
                "select 1 from history where item = ? and batch = ? and cause in ('lost_result', 'rejected')",
                (item, self._batch["id"]),
            )
        )

    def _is_ours(self, item: int | None) -> bool:
        """Whether the batch has an answer of this item, or asked it under another name."""
        return bool(
            self._ledger.value(
                "select 1 from result_rows where item = ?1 and batch = ?2 union all "
                "select 1 from asked_as where item = ?1 and batch = ?2",
                (item, self._batch["id"]),
            )
            or any(row[0] == item for rows in self._held for row in rows)
        )
