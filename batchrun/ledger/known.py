"""The items of earlier submissions, as one that is being prepared meets them: found by id or by content, and remembered by one bit each."""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from batchrun.ledger.connection import Ledger
from batchrun.ledger.states import ItemState

_PARAMETERS_MOST: Final = 5_000  # SQLite takes 32,766


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownItem:
    """An item of an earlier submission, or earlier in this one.

    `deferred`: the hash of a revision that waits for it to settle. `is_leaving`: it is in flight in a batch that a person has cancelled.
    """

    id: int
    hash: bytes
    state: ItemState
    sends: int
    vanished: int
    deferred: bytes | None
    is_leaving: bool = False

    @property
    def is_awaited(self) -> bool:
        """An answer is on its way that will be paid for and used: the item neither asks something else by now, nor is its batch cancelled."""
        return self.state == ItemState.IN_FLIGHT and self.deferred is None and not self.is_leaving


class KnownItems:
    """What a job had before this submission, whose own items begin at `first`."""

    def __init__(self, ledger: Ledger, job: int, first: int) -> None:
        self._ledger, self._job, self._first = ledger, job, first
        bounds = ledger.row(
            "select min(id) as low, max(id) as high from item_rows where job = ? and file is not null",
            (job,),
        )
        assert bounds is not None
        self.is_empty = bounds["low"] is None
        self._low, high = int(bounds["low"] or 0), int(bounds["high"] or 0)
        self._seen = bytearray((high - self._low) // 8 + 1)  # one bit an item id

    def by_key(self, keys: Sequence[str]) -> dict[str, KnownItem]:
        """Those of these ids that there are, of this submission too."""
        return {
            row["key"]: _known_item(row)
            for row in self._matching("i.job = ? and i.key", "item_rows i", keys)
        }

    def by_hash(self, hashes: Sequence[bytes]) -> dict[bytes, list[KnownItem]]:
        """Items without id that ask the same, in the order of their ids; an equal item of this very submission is a twin, not the same one."""
        found: dict[bytes, list[KnownItem]] = {}
        by_content = "content_items c join item_rows i on i.id = c.item"
        for row in self._matching("c.job = ? and c.hash", by_content, hashes):
            if row["id"] < self._first:
                found.setdefault(row["hash"], []).append(_known_item(row))
        return found

    def is_seen(self, item: int) -> bool:
        """Whether this submission has brought the item already."""
        bit = item - self._low
        return (
            bit >= 0
            and bit >> 3 < len(self._seen)
            and bool(self._seen[bit >> 3] & (1 << (bit & 7)))
        )

    def see(self, item: int) -> None:
        """This submission has brought the item."""
        bit = item - self._low
        self._seen[bit >> 3] |= 1 << (bit & 7)

    def vanished(self) -> Iterator[tuple[int, ItemState]]:
        """The items that this submission has not brought, after its last one."""
        if self.is_empty:
            return
        for item, state in self._ledger.connection.execute(
            "select id, state from item_rows where job = ? and vanished = 0 and id < ? and file is not null",
            (self._job, self._first),
        ):
            if not self.is_seen(item):
                yield item, ItemState(state)

    def _matching(
        self, column: str, tables: str, values: Sequence[str | bytes]
    ) -> Iterator[sqlite3.Row]:
        for start in range(0, len(values), _PARAMETERS_MOST):
            part = values[start : start + _PARAMETERS_MOST]
            yield from self._ledger.rows(
                "select i.id, i.key, i.hash, i.state, i.sends, i.vanished, (select r.hash from revisions r "
                f"where r.item = i.id and r.deferred = 1 order by r.submission desc) as deferred, i.state = {int(ItemState.IN_FLIGHT)} and "
                f"(select b.cancel_requested = 1 from batch_rows b where b.id = i.batch) as is_leaving from {tables} "
                f"where {column} in ({','.join('?' * len(part))}) order by i.id",
                (self._job, *part),
            )


def _known_item(row: sqlite3.Row) -> KnownItem:
    return KnownItem(
        id=row["id"],
        hash=row["hash"] or b"",
        state=ItemState(row["state"]),
        sends=row["sends"],
        vanished=row["vanished"],
        deferred=row["deferred"],
        is_leaving=bool(row["is_leaving"]),
    )
