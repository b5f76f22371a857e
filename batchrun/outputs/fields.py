"""The items' own fields beside their rows: the spool keeps them in input order, so joining them is one merge of two streams."""

from collections.abc import Iterator
from typing import Final

import msgspec

from batchrun.errors import LedgerError
from batchrun.ledger.connection import Ledger
from batchrun.outputs.rows import JobView

_decode: Final = msgspec.json.Decoder(tuple[int, msgspec.Raw]).decode
_decode_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class FieldReader:
    """Hands out each item's fields as the items go by in output order; holds one line."""

    def __init__(self, ledger: Ledger, job: JobView) -> None:
        self._entries = _entries(ledger, job)
        self._is_reordered = job.is_reordered
        self._head = next(self._entries, None)

    def take(self, item: int, *, is_listed: bool) -> bytes | None:
        """The JSON object of the item's fields, or None where the last submission did not have it.

        `is_listed`: the item has a place in item_order (asked of reordered jobs only).
        """
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


# What a query adds for FieldReader: the item, and whether item_order has it.
LISTED_JOIN: Final = "left join item_order o on o.item = i.id"
LISTED_COLUMNS: Final = "i.id, o.position is not null"


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
    path = ledger.home.fields_file(job.submission)
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
