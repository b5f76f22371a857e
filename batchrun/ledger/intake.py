"""Taking items into a submission: matched with what the job had, given a number, written to a request file, and put into rows.

Two paths: blocks in columns, for the plain items of a new job; and item by item, where earlier submissions (`meeting.py`), repeated ids or odd items are to
be looked at. Duplicates are found by the unique index; no id is held in memory.
"""

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, TypeAlias

from batchrun.customids import first_prefixes
from batchrun.ledger.connection import Ledger
from batchrun.ledger.fingerprints import Fingerprints
from batchrun.ledger.known import KnownItem, KnownItems
from batchrun.ledger.meeting import Meeting
from batchrun.ledger.openfiles import OpenFiles
from batchrun.ledger.requestfiles import FileKind
from batchrun.ledger.states import ItemState
from batchrun.ledger.tally import Tally
from batchrun.model import JobSettings, Limits
from batchrun.requests import PlainRequests, Request

_GROUP: Final = 10_000  # rows a transaction: above a few thousand a larger group gains nothing (docs/performance.md)
_INSERT: Final = "insert into item_rows (id, job, key, hash, file, offset, state, name) values (?, ?, ?, ?, ?, ?, 0, ?)"
_INSERT_BAD: Final = (
    f"insert into item_rows (id, job, state) values (?, ?, {int(ItemState.FAILED)})"
)
_INSERT_CONTENT: Final = "insert into content_items (job, hash, item) values (?, ?, ?)"
_PREFIX_MOST: Final = 64  # bytes of `{"custom_id":"<item>-<send>-<h>",` and the newline, at most
_ROWS_A_STATEMENT: Final = 100
NO_FORMER: Final[Mapping[int, bytes]] = MappingProxyType({})
_Indexed: TypeAlias = tuple[int, Request | None]


class Intake:
    """Takes the items of one submission, whose rows begin at `first`. What it met and did is in `tally`, `duplicates`, `oversized`, `bad`."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        job: int,
        submission: int,
        settings: JobSettings,
        limits: Limits,
        known: KnownItems,
        first: int,
        canary_items: int | None = None,
        hashes: Fingerprints | None = None,
    ) -> None:
        """`canary_items`: close the first request file of each model when it holds so many, None where nothing is to go first.
        `hashes` is told of every request that is asked, where anybody wants to know.
        """
        self._ledger, self._job, self._limits = ledger, job, limits
        self.files = OpenFiles(
            ledger,
            job=job,
            submission=submission,
            settings=settings,
            limits=limits,
            canary_items=canary_items,
        )
        self._hashes = hashes
        self.known = known
        self._first = self.next_item = first
        self._uncommitted = 0
        self._last_item = 0
        self.is_in_order = True
        self.tally = Tally()
        self._meeting = Meeting(
            ledger,
            submission=submission,
            known=known,
            files=self.files,
            tally=self.tally,
            hashes=hashes,
        )
        self.duplicates: list[tuple[str, int]] = []
        self.oversized: list[tuple[str, int]] = []
        self.bad: list[tuple[int, int]] = []
        self._most_bad = settings.bad_items
        self._position = self._bad_count = 0

    def add(
        self,
        block: Sequence[_Indexed],
        name_of: Callable[[int], str],
        former: Mapping[int, bytes] = NO_FORMER,
    ) -> Sequence[int | None]:
        """Take a block of (index, request), None for an item that is bad; `name_of(index)` names an item without id, as `<file>:<line>`.

        Returns the number of each, None for a bad one beyond those that the job allows. `former`: by index, the hash that the same data have under the job line of the
        submission before; given where answers are to stand if only the job line changed.

        Bad are duplicate ids too, kept in `duplicates` as (id, index), and requests that alone are more than one input file may hold,
        kept in `oversized` as (what is too large, index); `bad` has (number, index) of all that got one.
        """
        self._begin()
        items = self._add_matched(block, name_of, former)
        self._wrote(len(block))
        return items

    def add_bad(self) -> int | None:
        """Number an item that its reader found bad; None beyond those that the job allows."""
        self._begin()
        item = self._number_bad()
        self._wrote(1)
        return item

    def add_plain(self, block: PlainRequests) -> Sequence[int] | None:
        """The same for a block in columns, of a job that has no items yet; None, with nothing done, where it needs `add`.

        It needs that where earlier submissions brought items, where the block does not fit the open file, or where an id is taken.
        """
        if not self.known.is_empty:
            return None
        self._begin()
        keys, before, prompts, after, model, hashes = block
        count, first = len(keys), self.next_item
        end = after + b"\n"
        most = _PREFIX_MOST + len(before) + len(prompts[0]) + len(end)
        writer = self.files.writer(model, FileKind.RENDERED, size=most, inputs=1)
        pieces: list[bytes] = []
        values: list[object] = []
        offset = writer.offset
        prefixes = first_prefixes(first, keys)
        for key, prefix, prompt, hashed in zip(keys, prefixes, prompts, hashes, strict=True):
            pieces += (prefix, before, prompt, end)
            offset += len(prefix)  # a row points to what follows the custom_id
            # A bytearray, since sqlite3 looks for an adapter of each `bytes`: a tenth of the insert.
            values += (key, bytearray(hashed), offset)
            offset += len(before) + len(prompt) + len(end)
        if not writer.has_room_for(offset - writer.offset, count):
            return None
        if not self._insert_plain(writer.id, values):
            return None
        # Ids are given by SQLite here: one above the highest, which only the holder of the lock moves.
        assert self._ledger.value("select last_insert_rowid()") == first + count - 1
        lines = b"".join(pieces)
        writer.append(
            lines, count=count, inputs=count, first_item=first, last_item=first + count - 1
        )
        if self._hashes is not None:
            self._hashes.note(hashes)
        self._took(count)
        return range(first, first + count)

    def flush(self) -> None:
        """Commit the open group."""
        if self._ledger.connection.in_transaction:
            self._ledger.connection.execute("commit")
        self._uncommitted = 0

    def _begin(self) -> None:
        if not self._ledger.connection.in_transaction:
            self._ledger.connection.execute("begin immediate")

    def _wrote(self, count: int) -> None:
        """Commit when the group is full."""
        self._uncommitted += count
        if self._uncommitted >= _GROUP:
            self.flush()

    def _number_bad(self) -> int | None:
        """The number of a bad item, whose row says no more than that until the submission is ready."""
        if self._bad_count >= self._most_bad:
            return None
        self._bad_count += 1
        item = self.next_item
        self._ledger.execute(_INSERT_BAD, (item, self._job))
        self.next_item += 1
        self._place(item)
        return item

    def _place(self, item: int) -> None:
        """This item is the next one of the data."""
        self._position += 1
        self.is_in_order = self.is_in_order and item > self._last_item
        self._last_item = item
        if not self.known.is_empty:
            self._ledger.execute("insert into positions values (?, ?)", (item, self._position))

    def _insert_plain(self, file: int, values: list[object]) -> bool:
        """Insert new items from their values (key, hash, offset), flat; False, with nothing done, where an id is taken.

        A hundred rows a statement: SQLite and its binding spend as much on starting a statement as on a row.
        """
        step = 3 * _ROWS_A_STATEMENT
        whole = len(values) - len(values) % step
        row = f"({self._job}, ?, ?, {file}, ?, 0)"
        into = "insert into item_rows (job, key, hash, file, offset, state) values "
        groups = [values[start : start + step] for start in range(0, whole, step)]
        rest = values[whole:]
        statements = [(into + ",".join([row] * _ROWS_A_STATEMENT), groups)]
        if rest:
            statements.append((into + ",".join([row] * (len(rest) // 3)), [rest]))
        return self._insert_all(statements)

    def _insert_all(self, statements: Sequence[tuple[str, Iterable[Sequence[object]]]]) -> bool:
        """Insert all rows of all statements, or none where the unique index objects."""
        self._ledger.execute("savepoint run")
        try:
            for sql, rows in statements:
                self._ledger.executemany(sql, rows)
        except sqlite3.IntegrityError:
            self._ledger.execute("rollback to run")
            return False
        finally:
            self._ledger.execute("release run")
        return True

    def _took(self, count: int) -> None:
        """Count new items and go on after them; commit when the group is full."""
        self.tally.items += count
        self.tally.new += count
        self.next_item += count
        self._wrote(count)

    def _add_matched(
        self,
        block: Sequence[_Indexed],
        name_of: Callable[[int], str],
        former: Mapping[int, bytes],
    ) -> list[int | None]:
        """The careful path: look every item up, and decide whether it is new, known, changed, or named twice."""
        requests = [request for _, request in block if request is not None]
        by_key = self.known.by_key([r.key for r in requests if r.key is not None])
        by_hash = self.known.by_hash([r.hash for r in requests if r.key is None])
        items: list[int | None] = []

        def add_bad(index: int) -> None:
            item = self._number_bad()
            items.append(item)
            if item is not None:
                self.bad.append((item, index))

        for index, request in block:
            if request is None:
                add_bad(index)
                continue
            hashed = request.hash
            if request.key is not None:
                known = by_key.get(request.key)
            else:
                twins = by_hash.get(hashed, ())
                known = next((k for k in twins if not self.known.is_seen(k.id)), None)
            if (too_large := self._too_large(request)) is not None:
                self.oversized.append((too_large, index))
                add_bad(index)
                continue
            self.tally.items += 1
            name = None if request.key is not None else name_of(index)
            if known is None:
                item = self._insert(request, hashed, name)
                if request.key is not None:
                    by_key[request.key] = KnownItem(
                        id=item,
                        hash=hashed,
                        state=ItemState.PENDING,
                        sends=0,
                        vanished=0,
                        deferred=None,
                    )
            elif known.id >= self._first or self.known.is_seen(known.id):
                self.tally.items -= 1
                self.duplicates.append((request.key or "", index))
                add_bad(index)
                continue
            else:
                self._meeting.meet(known, request, name, former=former.get(index))
                item = known.id
            self._place(item)
            items.append(item)
        return items

    def _insert(self, request: Request, hashed: bytes, name: str | None) -> int:
        item = self.next_item
        file, offset = self.files.append(request, FileKind.RENDERED, item=item, send=1)
        self._ledger.execute(_INSERT, (item, self._job, request.key, hashed, file, offset, name))
        if request.key is None:
            self._ledger.execute(_INSERT_CONTENT, (self._job, hashed, item))
        if self._hashes is not None:
            self._hashes.note((hashed,))
        self.next_item += 1
        self.tally.new += 1
        return item

    def _too_large(self, request: Request) -> str | None:
        """What of this request is more than a whole input file may hold, or None."""
        size, limits = len(request.tail) + request.growth + _PREFIX_MOST, self._limits
        if size > limits.input_bytes:
            return (
                f"the request is {size:,} bytes, and an input file may hold {limits.input_bytes:,}"
            )
        if request.inputs > limits.embedding_inputs:
            return f"the request has {request.inputs:,} inputs, and an input file may hold {limits.embedding_inputs:,}"
        return None

    def count_files(self) -> None:
        """Note in the tally what the requests of all items take."""
        self.tally.files, self.tally.bytes = self.files.extent

    def close_files(self) -> None:
        """Make every request file durable under its name; the rows still say `writing`."""
        self.flush()
        self.files.close()

    def abandon(self) -> None:
        """Drop the open group and every file."""
        if self._ledger.connection.in_transaction:
            self._ledger.connection.execute("rollback")
        self.files.abandon()
