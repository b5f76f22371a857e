"""Requests that were sent -> the items that ask the same.

A request is an item's if the hash of its id (the third part of its custom_id) and its bytes are. Items without an id share one hash, and
two ids may share one by chance: then the bytes decide, and of several requests with the same bytes each goes to an item of its own.

What items ask is read from their request files. Where one is not here any more (an older ledger does not know that `prune` removed it), the
service's copy is held against the hash that the item keeps of its request. Where the service no longer has its copy, the custom_ids of the
answers name the items, and the hash of all requests that the batch bears proves that they ask now what was asked then.

All of it is in temporary tables, on disk where they are large: memory does not grow with the job.
"""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import xxhash

from batchrun.customids import custom_id, parts_of
from batchrun.ledger.connection import Ledger
from batchrun.ledger.skeletons import Skeletons
from batchrun.ledger.states import BatchState, ItemState
from batchrun.model import RepairSettings
from batchrun.recovery.conversations import Conversations
from batchrun.recovery.importing import MATCHED_TABLE
from batchrun.recovery.sentlines import SentRequest, files_asking, read_requests, request_lines
from batchrun.running.calling import take_told
from batchrun.running.marking import hash_together

_GROUP: Final = 10_000  # rows handed over at a time
_TABLES: Final = f"""
create temp table if not exists asking (
  job integer, h integer, digest blob, item integer, file integer, offset integer, primary key (job, h, digest, item, file)
) without rowid;
create temp table if not exists asked_for (job integer primary key);
create temp table if not exists unread (job integer primary key);
create temp table if not exists sent (n integer primary key, custom_id text unique, number integer, send integer, h integer, digest blob);
{MATCHED_TABLE}
"""
# An item may have changed its request since: what counts is the one that it points to now.
_ITEMS_ASKING: Final = (
    "asking a cross join item_rows i on i.id = a.item and i.file = a.file and i.offset = a.offset"
)
_IN_FLIGHT: Final = int(ItemState.IN_FLIGHT)
_UNKNOWN: Final = b""  # in place of the digest of a request whose file is not here


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """How many requests were an item's that is free to take the answer, and how many were not.

    `is_proven`: what these items ask now is what was asked then, byte for byte.
    """

    items: int
    others: int
    is_proven: bool


class Matcher:
    """Finds the items of jobs by their requests. One for a whole recovery: what a job asks is read once."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._skeletons = Skeletons()
        self._conversations = Conversations(ledger)
        ledger.connection.executescript(_TABLES)

    def load(self, requests: Iterable[SentRequest]) -> int:
        """Take the requests of one batch, in place of those before; returns how many they are."""
        with self._ledger.transaction():
            self._ledger.execute("delete from sent")
            self._ledger.execute("delete from matched")
            rows = ((r.custom_id, r.number, r.send, r.h, r.digest) for r in requests)
            self._ledger.executemany(
                "insert or ignore into sent (custom_id, number, send, h, digest) values (?, ?, ?, ?, ?)",
                rows,
            )
        return int(self._ledger.value("select count(*) from sent"))

    def recall(self, job: int, sent: Path, *, numbers_are_ours: bool) -> None:
        """Learn from the service's copy of an input file what those items ask whose request file is not here.

        `numbers_are_ours`: its custom_ids bear item numbers of this very ledger, in an earlier or a later life of it.
        """
        self._read(job)
        unknown = "a.job = ?1 and a.h = ?2 and a.digest = x''"
        if not self._ledger.value("select 1 from unread where job = ?", (job,)):
            return
        with self._ledger.transaction():
            for _, (number, _, h), tail, _ in request_lines(sent):
                found = self._ledger.execute(
                    f"select a.item, a.file, a.offset, i.hash from {_ITEMS_ASKING} and {unknown} "
                    "where (a.item = ?3 or not ?4) limit 2",
                    (job, h, number, numbers_are_ours),
                ).fetchall()
                if len(found) != 1:
                    continue
                item, file, offset, hashed = found[0]
                if self._skeletons.is_hash_of(tail, hashed):
                    self._ledger.execute(
                        "insert or ignore into asking (job, h, digest, item, file, offset) values (?, ?, ?, ?, ?, ?)",
                        (job, h, xxhash.xxh3_128_digest(tail), item, file, offset),
                    )

    def match(self, job: int) -> Matched:
        """Match the loaded requests with the items of a job that are not in flight, by the bytes: `matched` tells which are whose."""
        self._read(job)
        self._fill(_BY_BYTES, job)
        return self._matched(is_proven=True)

    def match_follow_ups(
        self, job: int, sent: Path, wanted: RepairSettings | None, *, at: int
    ) -> Matched:
        """After `match`: of the lines that no item asks as they stand, those that carry on what an item asks (see conversations.py).

        `wanted`: the repairs that the job wants. What they tell of calls that are open here, answers those.
        """
        self._conversations.match(job, sent, wanted, at=at)
        return self._matched(is_proven=True)

    def match_ids(
        self,
        job: int,
        requests_hash: str | None,
        *,
        numbers_are_ours: bool,
        sent: Path | None,
        at: int,
    ) -> Matched:
        """The same where only the custom_ids are known. `requests_hash`: what the batch bears as the hash of all its requests.

        Without the proof an item of a job is found by an id that no other item of it has. With it, what the requests in the file `sent`
        tell of calls that are open here answers those.
        """
        is_proven = self._match_ids(
            job, requests_hash, numbers_are_ours=numbers_are_ours, sent=sent, at=at
        )
        with self._ledger.transaction():
            self._ledger.execute(
                f"delete from matched where item in (select id from item_rows where state = {_IN_FLIGHT})"
            )
        return self._matched(is_proven=is_proven)

    def _match_ids(
        self,
        job: int,
        requests_hash: str | None,
        *,
        numbers_are_ours: bool,
        sent: Path | None = None,
        at: int = 0,
    ) -> bool:
        """Fill `matched` by custom_ids, also with items in flight; whether it is proven."""
        self._read(job)
        for rule in (_BY_NUMBER, _BY_HASH) if numbers_are_ours else (_BY_HASH,):
            self._fill(rule, job)
            with self._ledger.transaction():
                self._ledger.execute("savepoint told")
                if sent is not None:
                    self._take_told(sent, at)
                is_proven = self._ask_what_was_asked(requests_hash)
                if not is_proven:
                    self._ledger.execute("rollback to told")
            if is_proven:
                return True
        return False

    def _take_told(self, sent: Path, at: int) -> None:
        """Let what requests tell of open calls answer them: part of what was asked then, if the proof holds with it."""
        open_call = "select item from tool_calls where output is null"
        if not self._ledger.value(f"select 1 from matched where item in ({open_call}) limit 1"):
            return  # as a rule
        for name, _, tail, _ in request_lines(sent):
            item = self._ledger.value("select item from matched where custom_id = ?", (name,))
            if item is not None:
                take_told(self._ledger, item, tail, at)

    def _ask_what_was_asked(self, requests_hash: str | None) -> bool:
        """Whether the items in `matched` are those that the batch was made of, each by its id, and ask the same to the byte."""
        rows = self._ledger.connection.execute(
            "select i.hash, i.key, m.custom_id, m.number, m.send from matched m join item_rows i on i.id = m.item "
            "where i.hash is not null order by m.number"
        )
        hashes = (
            hashed
            for hashed, key, name, number, send in rows
            if custom_id(number, send, key) == name
        )
        # Batches are brought in the order of their creation: what earlier answers added is known by now.
        said = self._ledger.connection.execute(
            "select t.additions, t.changes from matched m cross join turns t on t.item = m.item order by m.number, t.send"
        )
        return hash_together(hashes, said) == requests_hash

    def _fill(self, rule: str, job: int) -> None:
        with self._ledger.transaction():
            self._ledger.execute("delete from matched")
            self._ledger.execute(rule, (job,))

    def _matched(self, *, is_proven: bool) -> Matched:
        items = int(self._ledger.value("select count(*) from matched"))
        others = int(self._ledger.value("select count(*) from sent")) - items
        return Matched(items=items, others=others, is_proven=is_proven)

    def overlapping(
        self,
        job: int,
        sent: Path,
        wanted: RepairSettings | None,
        *,
        states: tuple[BatchState, ...],
    ) -> list[sqlite3.Row]:
        """Batches of ours in these states, unknown to the service, that hold items which the loaded requests of the file `sent` ask for."""
        unsent = self._unsent(job, states)
        if not unsent:
            return []  # as a rule
        self._read(job)
        held = {
            row["batch"]
            for row in self._ledger.rows(
                "select distinct i.batch from (select distinct h, digest from sent) s "
                f"cross join {_ITEMS_ASKING} and a.job = ?1 and a.h = s.h and a.digest = s.digest where i.job = ?1 and i.state = {_IN_FLIGHT}",
                (job,),
            )
        } | self._conversations.holding(job, sent, wanted)
        return [row for row in unsent if row["id"] in held]

    def overlapping_ids(
        self,
        job: int,
        requests_hash: str | None,
        *,
        numbers_are_ours: bool,
        states: tuple[BatchState, ...],
    ) -> list[sqlite3.Row]:
        """`overlapping` where requests are not sent as they are stored: proven by the hash of all, or none."""
        unsent = self._unsent(job, states)
        if not unsent or not self._match_ids(job, requests_hash, numbers_are_ours=numbers_are_ours):
            return []
        held = {
            row["batch"]
            for row in self._ledger.rows(
                "select distinct i.batch from matched m join item_rows i on i.id = m.item "
                f"where i.job = ? and i.state = {_IN_FLIGHT}",
                (job,),
            )
        }
        return [row for row in unsent if row["id"] in held]

    def _unsent(self, job: int, states: tuple[BatchState, ...]) -> list[sqlite3.Row]:
        """Batches of a job in these states that are unknown to the service."""
        marks = ", ".join(str(int(state)) for state in states)
        return list(
            self._ledger.rows(
                f"select * from batch_rows where job = ? and remote_id is null and state in ({marks})",
                (job,),
            )
        )

    def _read(self, job: int) -> None:
        """What the job asks, from its own request files, once."""
        ledger = self._ledger
        if ledger.value("select 1 from asked_for where job = ?", (job,)):
            return
        for file in files_asking(ledger, job):
            path = ledger.home.request_file(file)
            if not path.exists():
                self._note_unread(job, file)
                continue
            requests = read_requests(path)
            while group := list(islice(requests, _GROUP)):
                with ledger.transaction():
                    ledger.executemany(
                        "insert or ignore into asking (job, h, digest, item, file, offset) values (?, ?, ?, ?, ?, ?)",
                        ((job, r.h, r.digest, r.number, file, r.offset) for r in group),
                    )
        with ledger.transaction():
            ledger.execute("insert into asked_for values (?)", (job,))

    def _note_unread(self, job: int, file: int) -> None:
        """The items that point into a file that is not here: known by their ids, and by the hash of what they ask."""
        rows = self._ledger.connection.execute(
            "select i.id, i.key, i.offset from request_files f cross join item_rows i "
            "on i.id between f.first_item and f.last_item and i.file = f.id where f.id = ?",
            (file,),
        )
        while group := rows.fetchmany(_GROUP):
            with self._ledger.transaction():
                self._ledger.executemany(
                    "insert or ignore into asking (job, h, digest, item, file, offset) values (?, ?, ?, ?, ?, ?)",
                    (
                        (job, parts[2], _UNKNOWN, item, file, offset)
                        for item, key, offset in group
                        if (parts := parts_of(custom_id(item, 1, key))) is not None
                    ),
                )
        with self._ledger.transaction():
            self._ledger.execute("insert or ignore into unread values (?)", (job,))


# The k-th of several requests with the same bytes goes to the k-th item that asks them, those still without an answer first.
_BY_BYTES: Final = f"""
insert into matched select c.item, s.custom_id, s.number, s.send, 1 from (
  select *, row_number() over (partition by h, digest order by number, send) as k from sent
) s join (
  select a.h, a.digest, i.id as item, row_number() over (partition by a.h, a.digest order by i.state <> {int(ItemState.PENDING)}, i.id) as k
  from (select distinct h, digest from sent) d cross join {_ITEMS_ASKING} and a.job = ?1 and a.h = d.h and a.digest = d.digest
  where i.job = ?1 and i.state <> {_IN_FLIGHT}
) c on c.h = s.h and c.digest = s.digest and c.k = s.k
"""
_BY_HASH: Final = f"""
insert into matched select c.item, s.custom_id, s.number, s.send, 0
from (select * from sent group by h having count(*) = 1) s join (
  select a.h, min(i.id) as item from (select distinct h from sent) d cross join {_ITEMS_ASKING} and a.job = ?1 and a.h = d.h
  where i.job = ?1 group by a.h having count(distinct i.id) = 1
) c on c.h = s.h
"""
_BY_NUMBER: Final = """
insert into matched select i.id, s.custom_id, s.number, s.send, 0 from sent s join item_rows i on i.id = s.number and i.job = ?1
where true on conflict do nothing
"""
