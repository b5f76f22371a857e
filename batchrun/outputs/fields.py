"""The items' own fields beside their rows: the spool keeps them in input order, so joining them is one merge of two streams."""

from collections.abc import Iterator
from typing import Final

import msgspec

from batchrun.errors import LedgerError
from batchrun.ledger.connection import Ledger
from batchrun.outputs.rows import JobView

_decode: Final = msgspec.json.Decoder(tuple[int, msgspec.Raw]).decode
_decode_names: Final = msgspec.json.Decoder(tuple[int, dict[str, msgspec.Raw]]).decode


class FieldReader:
    """Hands out each item's fields as the items go by in output order; holds one line."""

    def __init__(self, ledger: Ledger, job: JobView) -> None:
        self._lines = field_lines(ledger, job)
        self._is_reordered = job.is_reordered
        self._head = self._next()

    def take(self, item: int, *, is_listed: bool) -> bytes | None:
        """The JSON object of the item's fields, or None where the last submission did not have it.

        `is_listed`: the item has a place in item_order (asked of reordered jobs only).
        """
        if self._is_reordered:
            while is_listed and self._head is not None and self._head[0] != item:
                self._head = self._next()
        else:
            while self._head is not None and self._head[0] < item:
                self._head = self._next()
        if self._head is None or self._head[0] != item:
            return None
        fields = self._head[1]
        self._head = self._next()
        return fields

    def _next(self) -> tuple[int, bytes] | None:
        line = next(self._lines, None)
        if line is None:
            return None
        item, fields = _decode(line)
        return item, bytes(fields)


# What a query adds for FieldReader: the item, and whether item_order has it.
LISTED_JOIN: Final = "left join item_order o on o.item = i.id"
LISTED_COLUMNS: Final = "i.id, o.position is not null"


def field_lines(ledger: Ledger, job: JobView) -> Iterator[bytes]:
    """The lines of the job's fields file; none where it was not asked for. Raises LedgerError where it cannot be read."""
    if job.submission is None:
        return
    path = ledger.home.fields_file(job.submission)
    try:
        with path.open("rb") as file:
            yield from file
    except FileNotFoundError:
        return
    except OSError as exc:
        raise LedgerError(
            f"{path}: cannot be read: {exc.strerror}. It holds the input columns of {job.name}; "
            "make it readable and run the same command again."
        ) from exc


def field_names(ledger: Ledger, job: JobView) -> tuple[str, ...]:
    """The names of all fields, in the order in which they first occur."""
    names: dict[str, None] = {}
    for line in field_lines(ledger, job):
        names.update(dict.fromkeys(_decode_names(line)[1]))
    return tuple(names)
