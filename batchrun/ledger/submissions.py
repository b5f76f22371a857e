"""One submit of one job, from its first item to the transaction that makes it visible.

Rows go in groups under a submission in state `preparing`; `plan()` sees none of them until `ready()` commits. A submission that
dies before that is swept by the next holder of the lock, as if it had never been. Items are matched by id (items without one: by request
hash, in order of occurrence), duplicates are found by the unique index, and what must be remembered about the items of earlier submissions
is one bit each.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import accumulate, chain, repeat
from operator import add, sub
from typing import Final, TypeAlias

import msgspec
import xxhash

from batchrun.ledger.connection import Ledger
from batchrun.ledger.items import count_added, count_removed, count_vanished, move_items
from batchrun.ledger.jobs import archive_job
from batchrun.ledger.requestfiles import FileKind, FileState, RequestFileWriter
from batchrun.ledger.states import ItemEvent, ItemState
from batchrun.model import JobSettings, Limits
from batchrun.requests import (
    PlainRequests,
    Request,
    custom_id,
    line_prefix,
)

_GROUP: Final = 10_000  # rows a transaction: above a few thousand a larger group gains nothing (docs/performance.md)
_INSERT: Final = "insert into item_rows (id, job, key, hash, file, offset, length, state, name) values (?, ?, ?, ?, ?, ?, ?, 0, ?)"
_PREFIX_MOST: Final = 64  # bytes of `{"custom_id":"<item>-<send>-<h>",` and the newline, at most
_ROWS_A_STATEMENT: Final = 100
_PARAMETERS_MOST: Final = 5_000  # SQLite takes 32,766
_OPEN_WRITERS_MOST: Final = 64  # one per model; a job with more models than this gets smaller files
_Indexed: TypeAlias = tuple[int, Request]
_INSERT_CONTENT: Final = "insert into content_items (job, hash, item) values (?, ?, ?)"
HISTORY_COLUMNS: Final = (
    "item, batch, send, attempts, at, outcome, cause, message, output, finish, "
    "input_tokens, cached_tokens, output_tokens, reasoning_tokens, model, kind, offset, length"
)


class SubmissionState(IntEnum):
    """Where a submission stands."""

    PREPARING = 0
    READY = 1
    ABANDONED = 2


@dataclass(slots=True, kw_only=True)
class Tally:
    """What a submission found, in items. `reasked` are changed ones that already had an answer; `answered` all that had one before."""

    items: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    failed: int = 0
    returned: int = 0
    requeued: int = 0
    vanished: int = 0
    bad: int = 0
    reasked: int = 0
    answered: int = 0
    known: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """An item of an earlier submission (or earlier in this one), as the look-up found it."""

    id: int
    hash: bytes
    state: ItemState
    sends: int
    vanished: int
    deferred: bytes | None


def _known_of(row: sqlite3.Row) -> _Known:
    return _Known(
        id=row["id"],
        hash=row["hash"] or b"",
        state=ItemState(row["state"]),
        sends=row["sends"],
        vanished=row["vanished"],
        deferred=row["deferred"],
    )


class Submission:
    """Prepares one submission. Use under the home's lock: `begin`, `add`…, then `ready` or `abandon`."""

    def __init__(
        self,
        ledger: Ledger,
        settings: JobSettings,
        *,
        profile: str,
        outputs: str,
        limits: Limits,
        at: int,
        is_fresh: bool = False,
    ) -> None:
        """`is_fresh`: begin a new job; the one that has the name now is archived when this one is ready."""
        self._ledger, self._settings, self._limits = ledger, settings, limits
        self._is_fresh = is_fresh
        self._profile, self._outputs, self._at = profile, outputs, at
        self._writers: dict[tuple[str, FileKind], RequestFileWriter] = {}
        self._closed: list[tuple[FileKind, RequestFileWriter]] = []
        self._bad: list[tuple[str, str, str]] = []
        self._uncommitted = 0
        self.tally = Tally()
        self.duplicates: list[tuple[str, int]] = []
        self.oversized: list[tuple[str, int]] = []

    # -- the life of a submission -----------------------------------------------------------------------------------------

    def begin(self, *, items_from: str | None) -> None:
        """Insert the `preparing` row, and the job's where it is new."""
        with self._ledger.transaction():
            row = self._ledger.row(
                "select id from jobs where name = ? and profile = ?",
                (self._begun_name, self._profile),
            )
            if row is None:
                cursor = self._ledger.execute(
                    "insert into jobs (name, profile, source, settings, outputs, created_at) values (?, ?, ?, ?, ?, ?)",
                    (
                        self._begun_name,
                        self._profile,
                        self._settings.path,
                        _settings_json(self._settings),
                        self._outputs,
                        self._at,
                    ),
                )
                self.job = int(cursor.lastrowid or 0)
            else:
                self.job = int(row["id"])
            self._first = self._next = 1 + int(
                self._ledger.value("select coalesce(max(id), 0) from item_rows")
            )
            bounds = self._ledger.row(
                "select min(id) as low, max(id) as high from item_rows where job = ? and file is not null",
                (self.job,),
            )
            assert bounds is not None
            self._known = bounds["low"] is not None
            self._low, high = int(bounds["low"] or 0), int(bounds["high"] or 0)
            self._seen = bytearray((high - self._low) // 8 + 1)  # one bit an item id
            cursor = self._ledger.execute(
                "insert into submissions (job, state, at, first_item, items_from) values (?, ?, ?, ?, ?)",
                (self.job, SubmissionState.PREPARING, self._at, self._first, items_from),
            )
            self.id = int(cursor.lastrowid or 0)
        if self._known:
            self._ledger.connection.executescript(
                "create temp table if not exists positions (item integer primary key, position integer) strict;"
                "create temp table if not exists again (item integer primary key) strict;"
                "create temp table if not exists dropped (item integer primary key) strict;"
                "create temp table if not exists renamed (item integer primary key, name text) strict;"
                "delete from positions; delete from again; delete from dropped; delete from renamed;"
            )
        self._in_order, self._last_item = True, 0

    def add(
        self, block: Sequence[tuple[int, Request]], name_of: Callable[[int], str]
    ) -> Iterable[int | None]:
        """Take a block of (index, request); `name_of(index)` names an item without id, as `<file>:<line>`.

        Not added are duplicate ids, kept in `duplicates` as (id, index), and requests that alone are more than one input file may hold,
        kept in `oversized` as (what is too large, index).
        """
        if not self._ledger.connection.in_transaction:
            self._ledger.connection.execute("begin immediate")
        first = self._next
        taken = 0 if self._known else self._add_new(block, name_of)
        items: Iterable[int | None] = range(first, first + taken)
        if taken < len(block):
            items = [*items, *self._add_matched(block[taken:], name_of)]
        self._uncommitted += len(block)
        if self._uncommitted >= _GROUP:
            self.flush()
        return items

    def add_plain(self, block: PlainRequests) -> Iterable[int] | None:
        """The same for a block in columns, of a job that has no items yet; None, with nothing done, where it needs `add`.

        It needs that where earlier submissions brought items, where the block does not fit the open file, or where an id is taken.
        """
        if self._known:
            return None
        if not self._ledger.connection.in_transaction:
            self._ledger.connection.execute("begin immediate")
        keys, before, prompts, after, model, seed = block
        count, first = len(keys), self._next
        around = len(before) + len(after)
        writer = self._writer(
            model, FileKind.RENDERED, size=around + len(prompts[0]) + _PREFIX_MOST, inputs=1
        )
        hashes = map(xxhash.xxh3_64_intdigest, map(str.encode, keys))
        prefixes = [
            b'{"custom_id":"%d-1-%012x",' % (item, hashed >> 16)
            for item, hashed in zip(range(first, first + count), hashes, strict=False)
        ]
        pieces = zip(prefixes, repeat(before), prompts, repeat(after + b"\n"))
        lines = b"".join(chain.from_iterable(pieces))
        if not writer.has_room_for(len(lines), count, self._limits):
            return None
        # Where each tail begins: after its own prefix, and after every line before it.
        lengths = list(map(around.__add__, map(len, prompts)))
        sizes = map(add, map(len, prefixes), map((1).__add__, lengths))
        ends = accumulate(sizes, initial=writer.offset)
        next(ends)
        offsets = map(sub, map((-1).__add__, ends), lengths)
        hashed_prompts = map(xxhash.xxh3_128_digest, prompts, repeat(seed))
        columns = zip(keys, hashed_prompts, offsets, lengths, strict=True)
        if not self._insert_plain(writer.id, list(chain.from_iterable(columns))):
            return None
        # Ids are given by SQLite here: one above the highest, which only the holder of the lock moves.
        assert self._ledger.value("select last_insert_rowid()") == first + count - 1
        writer.append(
            lines, count=count, inputs=count, first_item=first, last_item=first + count - 1
        )
        self._took(count)
        return range(first, first + count)

    def _insert_plain(self, file: int, values: list[object]) -> bool:
        """Insert new items from their values (key, hash, offset, length), flat; False, with nothing done, where an id is taken.

        A hundred rows a statement: SQLite and its binding spend as much on starting a statement as on a row.
        """
        step = 4 * _ROWS_A_STATEMENT
        whole = len(values) - len(values) % step
        row = f"({self.job}, ?, ?, {file}, ?, ?, 0)"
        into = "insert into item_rows (job, key, hash, file, offset, length, state) values "
        groups = [values[start : start + step] for start in range(0, whole, step)]
        rest = values[whole:]
        statements = [(into + ",".join([row] * _ROWS_A_STATEMENT), groups)]
        if rest:
            statements.append((into + ",".join([row] * (len(rest) // 4)), [rest]))
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
        self._next += count
        self._uncommitted += count
        if self._uncommitted >= _GROUP:
            self.flush()

    def flush(self) -> None:
        """Commit the open group."""
        if self._ledger.connection.in_transaction:
            self._ledger.connection.execute("commit")
        self._uncommitted = 0

    def add_bad(self, rows: Sequence[tuple[str, str, str]]) -> None:
        """Bad items within the job's bad_items, as (name, cause, message): they become failures when the submission is ready."""
        self._bad = list(rows)
        self.tally.bad = len(self._bad)

    def abandon(self) -> None:
        """Undo everything of this submission: rows, files, and the job if it began with it."""
        if self._ledger.connection.in_transaction:
            self._ledger.connection.execute("rollback")
        for writer in (*self._writers.values(), *(writer for _, writer in self._closed)):
            writer.abandon()
        sweep_preparing(self._ledger)

    def find_vanished(self) -> None:
        """Count the known items that this submission did not bring (after the last `add`)."""
        self.tally.vanished = sum(1 for _ in self._vanished())

    def ready(self, *, new_only: bool, keep_missing: bool) -> None:
        """Make the submission visible, in one transaction."""
        self.flush()
        for writer in self._writers.values():
            writer.close()
        ledger, at, job = self._ledger, self._at, self.job
        with ledger.transaction():
            if self._is_fresh:
                archive_job(ledger, self._settings.name, self._profile, at)
                ledger.execute("update jobs set name = ? where id = ?", (self._settings.name, job))
            for (_, kind), writer in self._writers.items():
                self._finish(writer, kind)
            for kind, writer in self._closed:
                self._finish(writer, kind)
            if new_only:
                # What is answered, or is about to be, is not asked again.
                ledger.execute(
                    "delete from revisions where submission = ? and item in (select id from item_rows where job = ? and state in (?, ?))",
                    (self.id, job, ItemState.SUCCEEDED, ItemState.IN_FLIGHT),
                )
            if self._known:
                self._apply_revisions()
                self._requeue_cancelled()
                if not keep_missing:
                    self._flag_vanished()
                self._record_order()
            count_added(ledger, job=job, event=ItemEvent.ADDED, n=self.tally.new, at=at)
            self._record_bad()
            ledger.execute(
                "update jobs set settings = ?, submission = ?, source = ?, outputs = ?, stale = 1, reported_at = null, "
                "paused = null, releases = 0 where id = ?",
                (_settings_json(self._settings), self.id, self._settings.path, self._outputs, job),
            )
            ledger.execute(
                "update submissions set state = ?, tally = ? where id = ?",
                (SubmissionState.READY, msgspec.json.encode(self.tally).decode(), self.id),
            )
        for row in list(
            ledger.rows("select id from submissions where job = ? and id <> ?", (job, self.id))
        ):
            ledger.home.fields_file(row["id"]).unlink(missing_ok=True)

    # -- taking items ---------------------------------------------------------------------------------------------------------

    def _add_new(self, block: Sequence[_Indexed], name_of: Callable[[int], str]) -> int:
        """The fast path: insert run after run of the block as new; returns how many were taken before the unique index objected."""
        taken = 0
        while taken < len(block):
            n = self._add_run(block, taken, name_of)
            if not n:
                break
            taken += n
        return taken

    def _add_run(self, block: Sequence[_Indexed], start: int, name_of: Callable[[int], str]) -> int:
        """Insert the longest run from `start` that fits one writer; 0 where one of its ids is taken."""
        model = block[start][1].model
        writer = self._writer(
            model,
            FileKind.RENDERED,
            size=len(block[start][1].tail) + _PREFIX_MOST,
            inputs=block[start][1].inputs,
        )
        job, file, item, offset = self.job, writer.id, self._next, writer.offset
        room = self._limits.request_count - writer.request_count
        most, most_inputs = self._limits.input_bytes, self._limits.embedding_inputs
        inputs_taken = writer.input_count
        intdigest = xxhash.xxh3_64_intdigest
        rows: list[tuple[object, ...]] = []
        lines: list[bytes] = []
        for index, (key, tail, its_model, inputs, hashed) in block[start : start + room]:
            line = b'{"custom_id":"%d-1-%012x",%b\n' % (
                item,
                intdigest((key or "").encode()) >> 16,
                tail,
            )
            end = offset + len(line)
            inputs_taken += inputs
            if end > most or inputs_taken > most_inputs or its_model != model:
                inputs_taken -= inputs
                break
            length = len(tail)
            rows.append(
                (
                    item,
                    job,
                    key,
                    hashed,
                    file,
                    end - length - 1,
                    length,
                    None if key is not None else name_of(index),
                )
            )
            lines.append(line)
            offset = end
            item += 1
        if not self._insert_all([(_INSERT, rows)]):
            return 0
        self._ledger.executemany(
            _INSERT_CONTENT, [(row[1], row[3], row[0]) for row in rows if row[2] is None]
        )
        writer.append(
            b"".join(lines),
            count=len(rows),
            inputs=inputs_taken - writer.input_count,
            first_item=self._next,
            last_item=item - 1,
        )
        self.tally.items += len(rows)
        self.tally.new += len(rows)
        self._next = item
        return len(rows)

    def _add_matched(
        self, block: Sequence[_Indexed], name_of: Callable[[int], str]
    ) -> list[int | None]:
        """The careful path: look every item up, and decide whether it is new, known, changed, or named twice."""
        by_key, by_hash = self._look_up(block)
        items: list[int | None] = []
        for index, request in block:
            hashed = request.hash
            if request.key is not None:
                known = by_key.get(request.key)
            else:
                twins = by_hash.get(hashed, ())
                known = next(
                    (k for k in twins if k.id < self._first and not self._is_seen(k.id)), None
                )
            if (too_large := self._too_large(request)) is not None:
                self.oversized.append((too_large, index))
                items.append(None)
                continue
            self.tally.items += 1
            if known is None:
                item = self._insert(
                    request, hashed, None if request.key is not None else name_of(index)
                )
                if request.key is not None:
                    by_key[request.key] = _Known(
                        id=item,
                        hash=hashed,
                        state=ItemState.PENDING,
                        sends=0,
                        vanished=0,
                        deferred=None,
                    )
            elif known.id >= self._first or self._is_seen(known.id):
                self.tally.items -= 1
                self.duplicates.append((request.key or "", index))
                items.append(None)
                continue
            else:
                self._meet(known, request, hashed, name_of, index)
                item = known.id
            self._in_order = self._in_order and item > self._last_item
            self._last_item = item
            if self._known:
                self._ledger.execute(
                    "insert into positions values (?, ?)", (item, self.tally.items)
                )
            items.append(item)
        return items

    def _look_up(
        self, block: Sequence[_Indexed]
    ) -> tuple[dict[str, "_Known"], dict[bytes, list["_Known"]]]:
        by_key: dict[str, _Known] = {}
        by_hash: dict[bytes, list[_Known]] = {}
        keys = [request.key for _, request in block if request.key is not None]
        hashes = [request.hash for _, request in block if request.key is None]
        for row in self._matching("i.job = ? and i.key", "item_rows i", keys):
            by_key[row["key"]] = _known_of(row)
        by_content = "content_items c join item_rows i on i.id = c.item"
        for row in self._matching("c.job = ? and c.hash", by_content, hashes):
            if (
                row["id"] < self._first
            ):  # an equal item of this very submission is a twin, not the same one
                by_hash.setdefault(row["hash"], []).append(_known_of(row))
        return by_key, by_hash

    def _matching(
        self, column: str, tables: str, values: Sequence[str | bytes]
    ) -> Iterator[sqlite3.Row]:
        for start in range(0, len(values), _PARAMETERS_MOST):
            part = values[start : start + _PARAMETERS_MOST]
            yield from self._ledger.rows(
                "select i.id, i.key, i.hash, i.state, i.sends, i.vanished, (select r.hash from revisions r "
                f"where r.item = i.id and r.deferred = 1 order by r.submission desc) as deferred from {tables} "
                f"where {column} in ({','.join('?' * len(part))}) order by i.id",
                (self.job, *part),
            )

    def _meet(
        self,
        known: "_Known",
        request: Request,
        hashed: bytes,
        name_of: Callable[[int], str],
        index: int,
    ) -> None:
        """A known item, with the same request as before or another."""
        self._see(known.id)
        tally = self.tally
        tally.known += 1
        tally.returned += known.vanished
        tally.answered += known.state == ItemState.SUCCEEDED
        if request.key is None:
            self._ledger.execute("insert into renamed values (?, ?)", (known.id, name_of(index)))
        if hashed == (known.deferred or known.hash):
            tally.unchanged += 1
            tally.failed += known.state == ItemState.FAILED
            if known.state == ItemState.CANCELLED:
                tally.requeued += 1
                self._ledger.execute("insert or ignore into again values (?)", (known.id,))
            return
        in_flight = known.state == ItemState.IN_FLIGHT
        if in_flight and hashed == known.hash:
            # Changed back while the first revision is still on its way: its answer will do after all.
            tally.unchanged += 1
            self._ledger.execute("insert or ignore into dropped values (?)", (known.id,))
            return
        tally.changed += 1
        tally.reasked += known.state == ItemState.SUCCEEDED
        kind = FileKind.DEFERRED if in_flight else FileKind.RENDERED
        file, offset = self._append(request, kind, item=known.id, send=known.sends + 1)
        self._ledger.execute(
            "insert into revisions (item, submission, hash, file, offset, length, deferred) values (?, ?, ?, ?, ?, ?, ?)",
            (known.id, self.id, hashed, file, offset, len(request.tail), int(in_flight)),
        )

    def _insert(self, request: Request, hashed: bytes, name: str | None) -> int:
        item = self._next
        file, offset = self._append(request, FileKind.RENDERED, item=item, send=1)
        self._ledger.execute(
            _INSERT, (item, self.job, request.key, hashed, file, offset, len(request.tail), name)
        )
        if request.key is None:
            self._ledger.execute(_INSERT_CONTENT, (self.job, hashed, item))
        self._next += 1
        self.tally.new += 1
        return item

    def _too_large(self, request: Request) -> str | None:
        """What of this request is more than a whole input file may hold, or None."""
        size, limits = len(request.tail) + _PREFIX_MOST, self._limits
        if size > limits.input_bytes:
            return (
                f"the request is {size:,} bytes, and an input file may hold {limits.input_bytes:,}"
            )
        if request.inputs > limits.embedding_inputs:
            return f"the request has {request.inputs:,} inputs, and an input file may hold {limits.embedding_inputs:,}"
        return None

    def _append(self, request: Request, kind: FileKind, *, item: int, send: int) -> tuple[int, int]:
        line = line_prefix(custom_id(item, send, request.key)) + request.tail + b"\n"
        writer = self._writer(request.model, kind, size=len(line), inputs=request.inputs)
        offset = writer.offset + len(line) - len(request.tail) - 1
        writer.append(line, count=1, inputs=request.inputs, first_item=item, last_item=item)
        return writer.id, offset

    def _writer(self, model: str, kind: FileKind, *, size: int, inputs: int) -> RequestFileWriter:
        writer = self._writers.get((model, kind))
        # An empty file is never closed for a larger one: what does not fit in it fits nowhere.
        if writer is not None and (
            not writer.request_count
            or writer.has_room(size=size, inputs=inputs, limits=self._limits)
        ):
            return writer
        if writer is not None:
            writer.close()
            self._closed.append((kind, writer))
        if len(self._writers) >= _OPEN_WRITERS_MOST:
            (old_model, old_kind), old = next(iter(self._writers.items()))
            del self._writers[old_model, old_kind]
            old.close()
            self._closed.append((old_kind, old))
        writer = self._writers[model, kind] = RequestFileWriter(
            self._ledger,
            job=self.job,
            submission=self.id,
            kind=kind,
            endpoint=self._settings.endpoint,
            model=model,
        )
        return writer

    def _is_seen(self, item: int) -> bool:
        bit = item - self._low
        return (
            bit >= 0
            and bit >> 3 < len(self._seen)
            and bool(self._seen[bit >> 3] & (1 << (bit & 7)))
        )

    def _see(self, item: int) -> None:
        bit = item - self._low
        self._seen[bit >> 3] |= 1 << (bit & 7)

    # -- the last transaction -------------------------------------------------------------------------------------------------

    def _vanished(self) -> Iterable[tuple[int, ItemState]]:
        if not self._known:
            return
        for item, state in self._ledger.connection.execute(
            "select id, state from item_rows where job = ? and vanished = 0 and id < ? and file is not null",
            (self.job, self._first),
        ):
            if not self._is_seen(item):
                yield item, ItemState(state)

    def _apply_revisions(self) -> None:
        ledger, mine = self._ledger, (self.id,)
        chosen = "select item from revisions where submission = ? and deferred = 0"
        self._return_seen()
        ledger.execute(
            "update item_rows set name = r.name from renamed r where r.item = item_rows.id and item_rows.name is not r.name"
        )
        ledger.execute(
            f"insert into history ({HISTORY_COLUMNS}) select {HISTORY_COLUMNS} from result_rows where item in ({chosen})",
            mine,
        )
        ledger.execute(f"delete from result_rows where item in ({chosen})", mine)
        ledger.execute(f"delete from queue where item in ({chosen})", mine)
        ledger.execute(f"delete from bad_items where item in ({chosen})", mine)
        move_items(
            ledger,
            job=self.job,
            event=ItemEvent.REVISED,
            where=f"id in ({chosen})",
            parameters=mine,
            at=self._at,
            sets="batch = null",
        )
        ledger.execute(
            "update item_rows set hash = r.hash, file = r.file, offset = r.offset, length = r.length "
            "from revisions r where r.item = item_rows.id and r.submission = ? and r.deferred = 0",
            mine,
        )
        # Older waiting revisions are overtaken by this submission's, and by a change back to what is in flight.
        ledger.execute(
            "delete from revisions where submission <> ? and item in (select item from revisions where submission = ?)",
            (self.id, self.id),
        )
        ledger.execute("delete from revisions where item in (select item from dropped)")
        ledger.execute("delete from revisions where submission = ? and deferred = 0", mine)

    def _return_seen(self) -> None:
        """Items that had vanished and are back."""
        back = self._ledger.execute(
            "select state, count(*) from item_rows where job = ? and vanished = 1 and id in (select item from positions) group by state",
            (self.job,),
        ).fetchall()
        self._ledger.execute(
            "update item_rows set vanished = 0 where job = ? and vanished = 1 and id in (select item from positions)",
            (self.job,),
        )
        for state, n in back:
            count_vanished(
                self._ledger, job=self.job, state=ItemState(state), n=n, to=0, at=self._at
            )

    def _requeue_cancelled(self) -> None:
        ledger = self._ledger
        again = "select item from again"
        ledger.execute(
            f"insert into history ({HISTORY_COLUMNS}) select {HISTORY_COLUMNS} from result_rows where item in ({again})"
        )
        ledger.execute(f"delete from result_rows where item in ({again})")
        ledger.execute(
            "insert or ignore into queue (item, job, not_before) select item, ?, 0 from again",
            (self.job,),
        )
        move_items(
            ledger,
            job=self.job,
            event=ItemEvent.REQUEUED,
            where="id in (select item from again)",
            at=self._at,
            sets="batch = null",
        )

    def _flag_vanished(self) -> None:
        """Vanished items leave the outputs; those still pending will not be sent."""
        ledger = self._ledger
        ledger.execute("create temp table gone (item integer primary key, state integer) strict")
        ledger.executemany("insert into gone values (?, ?)", self._vanished())
        gone = "id in (select item from gone)"
        move_items(
            ledger,
            job=self.job,
            event=ItemEvent.CANCELLED,
            where=f"{gone} and state = 0",
            at=self._at,
        )
        ledger.execute("delete from queue where item in (select item from gone)")
        ledger.execute("delete from revisions where item in (select item from gone)")
        groups = ledger.execute(
            f"select state, count(*) from item_rows where {gone} group by state"
        ).fetchall()
        ledger.execute(f"update item_rows set vanished = 1 where {gone}")
        for state, n in groups:
            count_vanished(ledger, job=self.job, state=ItemState(state), n=n, to=1, at=self._at)
        ledger.execute("drop table gone")

    def _record_order(self) -> None:
        ledger = self._ledger
        ledger.execute(
            "delete from item_order where item in (select id from item_rows where job = ?)",
            (self.job,),
        )
        if not self._in_order:
            ledger.execute("insert into item_order select item, position from positions")

    def _record_bad(self) -> None:
        """Failures for the bad lines of this submission; those of the one before are gone."""
        ledger, job = self._ledger, self.job
        old = ledger.execute(
            "select vanished, count(*) from item_rows where job = ? and file is null group by vanished",
            (job,),
        ).fetchall()
        if old:
            ledger.execute(
                "delete from bad_items where item in (select id from item_rows where job = ? and file is null)",
                (job,),
            )
            ledger.execute("delete from item_rows where job = ? and file is null", (job,))
            for vanished, n in old:
                count_removed(
                    ledger, job=job, state=ItemState.FAILED, n=n, vanished=vanished, at=self._at
                )
        for name, cause, message in self._bad:
            ledger.execute(
                "insert into item_rows (id, job, state, name) values (?, ?, ?, ?)",
                (self._next, job, ItemState.FAILED, name),
            )
            ledger.execute("insert into bad_items values (?, ?, ?)", (self._next, cause, message))
            self._next += 1
        count_added(ledger, job=job, event=ItemEvent.BAD, n=len(self._bad), at=self._at)

    def _finish(self, writer: RequestFileWriter, kind: FileKind) -> None:
        is_fresh = kind == FileKind.RENDERED and writer.request_count > 0
        writer.finish(FileState.FRESH if is_fresh else FileState.USED)

    @property
    def _begun_name(self) -> str:
        """The job's name until it is ready: one that starts over has none that a user could have given."""
        return f"{self._settings.name}~fresh" if self._is_fresh else self._settings.name


def sweep_preparing(ledger: Ledger) -> int:
    """Undo every submission that never became ready; only under the home's lock. Returns how many there were."""
    with ledger.transaction():
        dead = list(
            ledger.rows(
                "select id, job, first_item from submissions where state = ?",
                (SubmissionState.PREPARING,),
            )
        )
        files: list[int] = []
        for row in dead:
            # Only the holder of the lock adds items, so everything from first_item on is this submission's.
            ledger.execute(
                "delete from content_items where job = ? and item >= ?",
                (row["job"], row["first_item"]),
            )
            ledger.execute("delete from item_rows where id >= ?", (row["first_item"],))
            ledger.execute("delete from revisions where submission = ?", (row["id"],))
            files += [
                int(f["id"])
                for f in ledger.rows(
                    "select id from request_files where submission = ?", (row["id"],)
                )
            ]
            ledger.execute("delete from request_files where submission = ?", (row["id"],))
            ledger.execute("delete from submissions where id = ?", (row["id"],))
            ledger.execute("delete from jobs where id = ? and submission is null", (row["job"],))
    for file in files:
        ledger.home.request_file(file).unlink(missing_ok=True)
    for row in dead:
        ledger.home.fields_file(row["id"]).unlink(missing_ok=True)
    if dead:
        _remove_unrecorded(ledger)
    return len(dead)


def _remove_unrecorded(ledger: Ledger) -> None:
    """Request files of a dead writer whose rows never were committed."""
    known = {row["id"] for row in ledger.rows("select id from request_files")}
    for path in ledger.home.requests.glob("*.jsonl"):
        if path.stem.isdecimal() and int(path.stem) not in known:
            path.unlink(missing_ok=True)


def _settings_json(settings: JobSettings) -> str:
    return msgspec.json.encode(settings).decode()


def settings_from_json(text: str) -> JobSettings:
    """The settings stored with a job."""
    return msgspec.json.decode(text, type=JobSettings)
