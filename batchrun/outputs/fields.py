"""The items' own fields beside their rows: the spool keeps them in input order, so joining them is one merge of two streams.

Where a submission brought only some of a job's items, the fields of the others stand behind them: such a file is read by its places.
"""

import mmap
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from batchrun.errors import LedgerError
from batchrun.ledger.connection import Ledger
from batchrun.ledger.keptfields import NO_ITEM
from batchrun.outputs.rows import JobView

_decode: Final = msgspec.json.Decoder(tuple[int, msgspec.Raw]).decode
_decode_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class FieldReader:
    """Hands out each item's fields as the items go by in output order; holds one line, or eight bytes an item of a file in no order."""

    def __init__(self, ledger: Ledger, job: JobView) -> None:
        self._places: _Places | None = None
        self._entries = _entries(ledger, job)
        self._is_reordered = job.is_reordered
        self._head = next(self._entries, None)
        if self._head is not None and self._head[0] == NO_ITEM:
            self._places = _Places(_path(ledger, job), job.first_item, self._entries)
            self._head = None

    def take(self, item: int, *, is_listed: bool) -> bytes | None:
        """The JSON object of the item's fields, or None where the last submission did not have it.

        `is_listed`: the item has a place in item_order (asked of reordered jobs only).
        """
        if self._places is not None:
            return self._places.take(item)
        if self._is_reordered:
            while is_listed and self._head is not None and self._head[0] != item:
                self._head = next(self._entries, None)
        else:
            while self._head is not None and self._head[0] < item:
                self._head = next(self._entries, None)
        if self._head is None or self._head[0] != item:
            return None
        fields = self._head[1]
        self._head = next(self._entries, None)
        return fields


class _Places:
    """Where each item's line begins in a file that is in no order."""

    def __init__(self, path: Path, first: int, entries: Iterator[tuple[int, bytes]]) -> None:
        """`first`: the lowest id that an item of the job may have; `entries`: those of the file behind its first line."""
        with path.open("rb") as file:
            self._held = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._first = first
        # By item; 0, where the line that is no item's begins, for those that have none.
        self._starts = array("Q")
        self._held.readline()
        while True:
            start, entry = self._held.tell(), next(entries, None)
            if entry is None:
                return
            self._held.readline()
            at = max(0, entry[0] - first)
            if at >= len(self._starts):
                self._starts.frombytes(bytes(8 * (at + 1 - len(self._starts))))
            self._starts[at] = start

    def take(self, item: int) -> bytes | None:
        """The JSON object of the item's fields, or None where the file has none."""
        at = item - self._first
        start = self._starts[at] if at < len(self._starts) else 0
        if not start:
            return None
        self._held.seek(start)
        return bytes(_decode(self._held.readline())[1])


# What a query adds for FieldReader: the item, and whether item_order has it.
LISTED_JOIN: Final = "left join item_order o on o.item = i.id"
LISTED_COLUMNS: Final = "i.id, o.position is not null"


def _path(ledger: Ledger, job: JobView) -> Path:
    assert job.submission is not None
    return ledger.home.fields_file(job.submission)


def field_names(ledger: Ledger, job: JobView) -> tuple[str, ...]:
    """The names of all fields, in the order in which they first occur; none where the job did not keep its items' fields."""
    names: dict[str, None] = {}
    for _, fields in _entries(ledger, job):
        names.update(dict.fromkeys(_decode_members(fields)))
    return tuple(names)


def _entries(ledger: Ledger, job: JobView) -> Iterator[tuple[int, bytes]]:
    """(item, JSON object of its fields) in input order. Raises LedgerError where the file cannot be read."""
    if job.submission is None:
        return
    path = _path(ledger, job)
    try:
        with path.open("rb") as file:
            for line in file:
                item, fields = _decode(line)
                yield item, bytes(fields)
    except FileNotFoundError:
        return
    except (OSError, msgspec.DecodeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else f"it is damaged ({exc})"
        raise LedgerError(
            f"{path}: cannot be read: {why}. It holds the input columns of job {job.name!r}; "
            f"`batchrun submit {job.source}` writes it again."
        ) from exc
