"""Requests that were sent -> the items that ask the same.

A request is an item's if the hash of its id (the third part of its custom_id) and its bytes are. Items without an id share one hash, and
two ids may share one by chance: then the bytes decide, and of several requests with the same bytes each goes to an item of its own. Where
the service no longer has the bytes, an id's hash that only one item has is enough.

All of it is in temporary tables, on disk where they are large: memory does not grow with the job.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

import xxhash

from batchrun.ledger.connection import Ledger
from batchrun.ledger.requestfiles import FileKind, FileState
from batchrun.ledger.states import BatchState, ItemState
from batchrun.requests import parts_of

_START: Final = b'{"custom_id":"'
_BUFFER_BYTES: Final = 1 << 18
_GROUP: Final = 10_000  # rows handed over at a time
_TABLES: Final = """
create temp table if not exists asking (
  job integer, h integer, digest blob, item integer, file integer, offset integer, primary key (job, h, digest, item, file)
) without rowid;
create temp table if not exists asked_for (job integer primary key);
create temp table if not exists sent (n integer primary key, custom_id text unique, number integer, send integer, h integer, digest blob);
create temp table if not exists matched (item integer primary key, custom_id text unique, number integer, send integer);
"""
# An item may have changed its request since: what counts is the one that it points to now.
_ITEMS_ASKING: Final = (
    "asking a cross join item_rows i on i.id = a.item and i.file = a.file and i.offset = a.offset"
)
_IN_FLIGHT: Final = int(ItemState.IN_FLIGHT)


class SentRequest(NamedTuple):
    """One line of an input file. `number`, `send` and `h` are the parts of its custom_id; `digest` is of everything after it."""

    custom_id: str
    number: int
    send: int
    h: int
    digest: bytes | None
    offset: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """How many requests were an item's that is free to take the answer, and how many were not."""

    items: int
    others: int


def read_requests(path: Path) -> Iterator[SentRequest]:
    """The requests of a file as batchrun writes them; lines of any other form are left out. `offset` is where the digested part begins."""
    end = 0
    with path.open("rb", buffering=_BUFFER_BYTES) as file:
        for line in file:
            end += len(line)
            identifier, quote, tail = line.removeprefix(_START).partition(b'",')
            if not quote or not line.startswith(_START) or not identifier.isascii():
                continue
            custom_id = identifier.decode("ascii")
            if (parts := parts_of(custom_id)) is not None:
                digest = xxhash.xxh3_128_digest(tail.removesuffix(b"\n"))
                yield SentRequest(custom_id, *parts, digest, end - len(tail))


class Matcher:
    """Finds the items of jobs by their requests. One for a whole recovery: what a job asks is read once."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
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

    def match(self, job: int, *, by_bytes: bool) -> Matched:
        """Match the loaded requests with the items of a job that are not in flight: `custom_ids` tells which are whose.

        `by_bytes`: the requests themselves are known, and not only their custom_ids.
        """
        self._read(job)
        with self._ledger.transaction():
            self._ledger.execute("delete from matched")
            self._ledger.execute(_BY_BYTES if by_bytes else _BY_HASH, (job,))
        items = int(self._ledger.value("select count(*) from matched"))
        return Matched(
            items=items, others=int(self._ledger.value("select count(*) from sent")) - items
        )

    def overlapping(self, job: int, *, states: tuple[BatchState, ...]) -> list[sqlite3.Row]:
        """Batches of ours in these states, unknown to the service, that hold items which the loaded requests ask for."""
        self._read(job)
        marks = ", ".join(str(int(state)) for state in states)
        return list(
            self._ledger.rows(
                "select * from batch_rows where remote_id is null and id in (select i.batch from (select distinct h, digest from sent) s "
                f"cross join {_ITEMS_ASKING} and a.job = ?1 and a.h = s.h and a.digest = s.digest "
                f"where i.job = ?1 and i.state = {_IN_FLIGHT}) and state in ({marks})",
                (job,),
            )
        )

    def _read(self, job: int) -> None:
        """What the job asks, from its own request files, once."""
        ledger = self._ledger
        if ledger.value("select 1 from asked_for where job = ?", (job,)):
            return
        kinds = (FileKind.RENDERED, FileKind.DEFERRED, FileState.FRESH, FileState.USED)
        files = [
            int(row["id"])
            for row in ledger.rows(
                "select id from request_files where job = ? and kind in (?, ?) and state in (?, ?)",
                (job, *kinds),
            )
        ]
        for file in files:
            path = ledger.home.request_file(file)
            if not path.exists():  # pruned: its items were answered
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


# The k-th of several requests with the same bytes goes to the k-th item that asks them, those still without an answer first.
_BY_BYTES: Final = f"""
insert into matched select c.item, s.custom_id, s.number, s.send from (
  select *, row_number() over (partition by h, digest order by number, send) as k from sent
) s join (
  select a.h, a.digest, i.id as item, row_number() over (partition by a.h, a.digest order by i.state <> 0, i.id) as k
  from (select distinct h, digest from sent) d cross join {_ITEMS_ASKING} and a.job = ?1 and a.h = d.h and a.digest = d.digest
  where i.job = ?1 and i.state <> {_IN_FLIGHT}
) c on c.h = s.h and c.digest = s.digest and c.k = s.k
"""
_BY_HASH: Final = f"""
insert into matched select c.item, s.custom_id, s.number, s.send
from (select * from sent group by h having count(*) = 1) s join (
  select a.h, min(i.id) as item from (select distinct h from sent) d cross join {_ITEMS_ASKING} and a.job = ?1 and a.h = d.h
  where i.job = ?1 group by a.h having count(distinct i.id) = 1
) c on c.h = s.h join item_rows i on i.id = c.item where i.state <> {_IN_FLIGHT}
"""
