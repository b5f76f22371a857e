"""Equal requests of a submission: which of its items need not be asked, since another asks the same, or has asked it.

Equal are requests whose bytes are, whatever their items are called, and whose answers are judged alike. Their hashes (xxh3, 128 bits) find them:
too wide for an accident, but no defence against somebody who wants two to agree. So the bytes decide; only where the older
request was pruned, its hash does.

Not shared is what is meant to differ: where the request asks for a temperature above 0, or no field of the items is in it. Nor are pictures
and videos, and answers of which functions of the user's have a part, since these may do something for each item.
"""

import json
import os
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from batchrun.errors import LedgerError
from batchrun.ledger.connection import Ledger
from batchrun.ledger.fingerprints import START_BYTES, Fingerprints
from batchrun.ledger.requestfiles import break_up, read_tail
from batchrun.ledger.sharing import IS_CLEAN, ask_all, share_answers
from batchrun.ledger.states import IS_OPEN_ITEM, FileState, ItemState
from batchrun.ledger.tally import Tally
from batchrun.model import JobSettings

_NEVER: Final = frozenset({"/v1/images/generations", "/v1/images/edits", "/v1/videos"})
_GROUP: Final = 1_000  # rows handed over at a time

_START: Final = f"substr({{}}.hash, 1, {START_BYTES}) in (select start from twice)"
_ASKED: Final = 3
# Of an item that keeps its answer although it would be asked otherwise by now, the request is newer than the batch.
_ANSWERED: Final = f"{IS_CLEAN} and i.file <= b.request_file"
# Requests that may be equal, as (item, hash, file, offset, criteria, rank): the lower the rank, the sooner an answer is had.
_NEW: Final = f"""
insert into alike select i.id, i.hash, i.file, i.offset, f.criteria, {_ASKED} from item_rows i cross join request_files f on f.id = i.file
where i.id >= ? and {_START.format("i")}
"""
_CHANGED: Final = f"""
insert into alike select r.item, r.hash, r.file, r.offset, f.criteria, {_ASKED} from revisions r cross join request_files f on f.id = r.file
where r.submission = ? and r.deferred = 0 and {_START.format("r")}
"""
_AGAIN: Final = f"""
insert or ignore into alike select i.id, i.hash, i.file, i.offset, f.criteria, {_ASKED} from again a
cross join item_rows i on i.id = a.item cross join request_files f on f.id = i.file where {_START.format("i")}
"""
_EARLIER: Final = f"""
insert or ignore into alike select i.id, i.hash, i.file, i.offset, f.criteria, case i.state when {int(ItemState.SUCCEEDED)} then 0 else 2 end
from item_rows i not indexed cross join request_files f on f.id = i.file left join result_rows r on r.item = i.id
left join batch_rows b on b.id = r.batch
where i.job = ?1 and i.id < ?2 and i.id not in (select item from followers)
  and (i.{IS_OPEN_ITEM} or (i.state = {int(ItemState.SUCCEEDED)} and {_ANSWERED})) and {_START.format("i")}
"""
_OTHER_JOBS: Final = f"""
insert or ignore into alike select i.id, i.hash, i.file, i.offset, f.criteria, 1
from item_rows i not indexed cross join jobs j on j.id = i.job cross join request_files f on f.id = i.file
cross join result_rows r on r.item = i.id cross join batch_rows b on b.id = r.batch
where i.job <> ?1 and j.profile = ?2 and j.submission is not null and i.id < ?3 and b.base_url in (select value from json_each(?4))
  and i.state = {int(ItemState.SUCCEEDED)} and {_ANSWERED} and {_START.format("i")}
"""
# What the answers took that are there already.
_SAVED: Final = (
    "select coalesce(sum(r.input_tokens + r.output_tokens), 0) from equal e cross join item_rows l on l.id = e.leader "
    f"cross join result_rows r on r.item = l.id where l.state = {int(ItemState.SUCCEEDED)}"
)


class _Body(msgspec.Struct):
    temperature: float | None = None


class _Request(msgspec.Struct):
    body: _Body


_decode: Final = msgspec.json.Decoder(_Request).decode


def shares(settings: JobSettings, *, names_fields: bool) -> bool:
    """Whether equal requests of this job are asked once. `names_fields`: whether items have a say in what is asked."""
    if settings.dedupe is False or settings.endpoint in _NEVER or settings.rounds is not None:
        return False
    return names_fields or settings.dedupe is True


class EqualRequests:
    """Finds the equal requests of one submission, whose rows begin at `first`: `hashes` is told of each that is asked, then `find`, then `follow`."""

    def __init__(
        self,
        ledger: Ledger,
        settings: JobSettings,
        *,
        job: int,
        submission: int,
        first: int,
        profile: str,
        is_shared: bool,
        servers: Collection[str],
    ) -> None:
        """`is_shared`: equal requests are asked once. `servers`: answers of earlier jobs will do, where they came from one of these addresses."""
        self._ledger, self._settings = ledger, settings
        self._job, self._submission, self._first, self._profile = job, submission, first, profile
        self._is_shared, self._servers = is_shared, servers
        self._is_cached = bool(servers)
        self.hashes = Fingerprints(ledger.home) if is_shared or servers else None
        self._paths: Mapping[int, Path] = {}
        self._files: dict[int, int] = {}
        self._criteria: dict[int | None, int | None] = {}

    def find(self, files: Mapping[int, Path], tally: Tally, *, has_earlier: bool) -> None:
        """Find and count them, after the last item is taken. `files`: where those can be read that are being written."""
        if self.hashes is None or not self.hashes.count:
            return
        ledger = self._ledger
        self._paths = files
        try:
            self._note_earlier(has_earlier=has_earlier)
            ledger.connection.executescript(
                "create temp table if not exists twice (start blob primary key) strict, without rowid;"
                "create temp table if not exists alike (item integer primary key, hash blob, file integer, offset integer, criteria integer, rank integer) strict;"
                "create temp table if not exists equal (item integer primary key, leader integer) strict;"
                "delete from twice; delete from alike; delete from equal;"
            )
            with ledger.transaction():
                ledger.executemany("insert into twice values (?)", zip(self.hashes.repeated()))
                if ledger.value("select 1 from twice limit 1") is None:
                    return
                self._gather(has_earlier=has_earlier)
                self._pair(tally)
        finally:
            self.close()

    def _note_earlier(self, *, has_earlier: bool) -> None:
        """What was asked before: of this job, and where its answers may be had from others, of these too."""
        assert self.hashes is not None
        if not has_earlier and not self._is_cached:
            return
        rows = self._ledger.connection.execute(
            f"select hash from item_rows not indexed where id < ? and {'hash is not null' if self._is_cached else 'job = ? and hash is not null'}",
            (self._first,) if self._is_cached else (self._first, self._job),
        )
        while some := rows.fetchmany(_GROUP):
            self.hashes.note(hashed for (hashed,) in some)

    def _gather(self, *, has_earlier: bool) -> None:
        ledger = self._ledger
        ledger.execute(_NEW, (self._first,))
        if has_earlier:
            ledger.execute(_CHANGED, (self._submission,))
            ledger.execute(_AGAIN)
            ledger.execute(_EARLIER, (self._job, self._first))
        if self._is_cached:
            servers = json.dumps(sorted(self._servers))
            ledger.execute(_OTHER_JOBS, (self._job, self._profile, self._first, servers))
        by_text: dict[tuple[str | None, str | None], int] = {}
        self._criteria = {None: None}
        for row in ledger.rows("select id, labels, schema from criteria order by id"):
            self._criteria[row["id"]] = by_text.setdefault(
                (row["labels"], row["schema"]), row["id"]
            )

    def _pair(self, tally: Tally) -> None:
        ledger = self._ledger
        pairs: list[tuple[int, int]] = []
        for item, leader, is_other_job in self._pairs():
            tally.reused += is_other_job
            tally.shared += not is_other_job
            pairs.append((item, leader))
            if len(pairs) == _GROUP:
                ledger.executemany("insert into equal values (?, ?)", pairs)
                pairs.clear()
        ledger.executemany("insert into equal values (?, ?)", pairs)
        tally.saved_tokens = int(ledger.value(_SAVED))

    def _pairs(self) -> Iterator[tuple[int, int, bool]]:
        """(item that is not asked, the one whose answer it gets, whether that is another job's)."""
        hashed: bytes | None = None
        first: dict[tuple[int | None, bool], sqlite3.Row] = {}
        for row in self._ledger.rows("select * from alike order by hash, rank, item"):
            if row["hash"] != hashed:
                hashed = row["hash"]
                first.clear()
            criteria = self._criteria[row["criteria"]]
            own, other = first.get((criteria, False)), first.get((criteria, True))
            if row["rank"] < _ASKED:
                first.setdefault((criteria, row["rank"] == 1), row)
                continue
            asked = self._tail(row)
            if (
                other is not None
                and (own is None or own["rank"] or not self._is_shared)
                and self._is_equal(other, asked)
            ):
                yield row["item"], other["item"], True
            elif not self._is_shared:
                continue
            elif own is None:
                first[criteria, False] = row
            elif self._is_equal(own, asked) and not self._is_sampled(asked):
                yield row["item"], own["item"], False

    def _is_equal(self, leader: sqlite3.Row, asked: bytes | None) -> bool:
        before = self._tail(leader)
        return before is None or before == asked

    def _is_sampled(self, asked: bytes | None) -> bool:
        """Whether a request asks for answers that differ, and nobody has said that one will do."""
        if self._settings.dedupe is True or asked is None:
            return False
        try:
            temperature = _decode(b"{" + asked).body.temperature
        except msgspec.MsgspecError:
            return True
        return bool(temperature)

    def _tail(self, row: sqlite3.Row) -> bytes | None:
        """The bytes of a request; None where its file is not here."""
        number = row["file"]
        if number not in self._files:
            if len(self._files) > 100:
                self._close()
            path = self._paths.get(number) or self._ledger.home.request_file(number)
            try:
                self._files[number] = os.open(path, os.O_RDONLY)
            except FileNotFoundError:
                self._files[number] = -1
            except OSError as exc:
                raise LedgerError(f"{path}: cannot be read: {exc.strerror}.") from exc
        descriptor = self._files[number]
        return None if descriptor < 0 else read_tail(descriptor, row["offset"])

    def close(self) -> None:
        """Let every file go; idempotent."""
        if self.hashes is not None:
            self.hashes.close()
        self._close()

    def _close(self) -> None:
        for descriptor in self._files.values():
            if descriptor >= 0:
                os.close(descriptor)
        self._files.clear()

    def follow(self, tally: Tally, at: int) -> None:
        """Let what was found follow and, where the answer is there, have it; inside the transaction that makes the submission ready."""
        ledger, job = self._ledger, self._job
        if self._settings.dedupe is False:
            ask_all(ledger, job=job, items="select item from followers", at=at)
        if tally.shared or tally.reused:
            files = ledger.execute(
                "select distinct f.id from equal e cross join item_rows i on i.id = e.item cross join request_files f on f.id = i.file "
                f"where f.state = {int(FileState.FRESH)}"
            ).fetchall()
            for (file,) in files:
                break_up(ledger, file)
            ledger.execute(
                "insert or replace into followers (item, job, leader) select i.id, i.job, e.leader from equal e "
                f"cross join item_rows i on i.id = e.item where i.state = {int(ItemState.PENDING)}"
            )
            ledger.execute("delete from queue where item in (select item from equal)")
        share_answers(ledger, job=job, at=at)
