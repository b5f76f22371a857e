"""Requests that carry on a conversation -> the items whose it is: no item asks them as they stand, but its first request led to them.

What items say at first is read from their request files, once, and only where there is a request that nobody asks. A follow-up is found by
the digest of what it says without what its turns may have said; its model and its caps must be the item's own, or what repairs make of them. So
a request of the job as it was before it changed (another model, another cap, other texts) is no follow-up of what it asks now.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from batchrun.followups import Said, may_go_on, said_in
from batchrun.ledger.connection import Ledger
from batchrun.ledger.states import ItemState
from batchrun.model import RepairSettings
from batchrun.recovery.sentlines import SentRequest, files_asking, request_lines
from batchrun.running.calling import take_told

_GROUP: Final = 10_000  # rows handed over at a time
_TABLES: Final = """
create temp table if not exists saying (
  job integer, h integer, digest blob, may_change text, item integer, file integer, offset integer,
  primary key (job, h, digest, may_change, item, file)
) without rowid;
create temp table if not exists said_by (job integer primary key);
"""
_ITEMS_SAYING: Final = "saying a cross join item_rows i on i.id = a.item and i.file = a.file and i.offset = a.offset and a.job = ?1 and a.h = ?2 and a.digest = ?3"
_IN_FLIGHT: Final = int(ItemState.IN_FLIGHT)
_FREE: Final = (
    f"i.state <> {_IN_FLIGHT} and not exists (select 1 from matched m where m.item = i.id)"
)
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode


class Conversations:
    """What the items of jobs say at first. One for a whole recovery."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        ledger.connection.executescript(_TABLES)

    def match(self, job: int, sent: Path, wanted: RepairSettings | None, *, at: int) -> None:
        """Add to `matched` (see matching.py) the requests of an input file that are not in it and carry on those of items that are free.

        What they tell of calls that are open here, answers those.
        """
        with self._ledger.transaction():
            for request, later, stage, may_change in self._follow_ups(job, sent, wanted):
                item = self._ledger.value(
                    f"select a.item from {_ITEMS_SAYING} and a.may_change = ?4 where {_FREE} "
                    f"order by i.state <> {int(ItemState.PENDING)}, i.id limit 1",
                    (job, request.h, stage, may_change),
                )
                if item is not None:
                    self._ledger.execute(
                        "insert or ignore into matched (item, custom_id, number, send) values (?, ?, ?, ?)",
                        (item, request.custom_id, request.number, request.send),
                    )
                    take_told(self._ledger, item, later, at)

    def holding(self, job: int, sent: Path, wanted: RepairSettings | None) -> set[int]:
        """The batches in which the items are in flight whose requests those of an input file carry on."""
        with self._ledger.transaction():
            return {
                row["batch"]
                for request, _, stage, may_change in self._follow_ups(job, sent, wanted)
                for row in self._ledger.rows(
                    f"select distinct i.batch from {_ITEMS_SAYING} and a.may_change = ?4 where i.state = {_IN_FLIGHT}",
                    (job, request.h, stage, may_change),
                )
            }

    def _follow_ups(
        self, job: int, sent: Path, wanted: RepairSettings | None
    ) -> Iterator[tuple[SentRequest, bytes, bytes, str]]:
        """(request, its bytes, stage and `may_change` of first requests that it may carry on) of every request that is not `matched`."""
        for name, parts, tail, offset in request_lines(sent):
            if self._is_matched(name) or (later := said_in(tail)) is None:
                continue
            self._read(job)
            request = SentRequest(name, *parts, None, offset)
            for stage in later.stages:
                for row in list(
                    self._ledger.rows(
                        "select distinct may_change from saying where job = ? and h = ? and digest = ?",
                        (job, request.h, stage),
                    )
                ):
                    first = _first(stage, row["may_change"])
                    if may_go_on(wanted, first, later) and not self._is_matched(name):
                        yield request, tail, stage, row["may_change"]

    def _is_matched(self, name: str) -> bool:
        return bool(self._ledger.value("select 1 from matched where custom_id = ?", (name,)))

    def _read(self, job: int) -> None:
        """What the items of a job say at first, from its own request files, once, inside the caller's transaction.

        Those whose file is not here are left out.
        """
        ledger = self._ledger
        if ledger.value("select 1 from said_by where job = ?", (job,)):
            return
        for file in files_asking(ledger, job):
            path = ledger.home.request_file(file)
            rows = _first_requests(job, file, path) if path.exists() else iter(())
            while group := list(islice(rows, _GROUP)):
                ledger.executemany(
                    "insert or ignore into saying (job, h, digest, may_change, item, file, offset) values (?, ?, ?, ?, ?, ?, ?)",
                    group,
                )
        ledger.execute("insert into said_by values (?)", (job,))


def _first_requests(
    job: int, file: int, path: Path
) -> Iterator[tuple[int, int, bytes, str, int, int, int]]:
    for _, (item, _, h), tail, offset in request_lines(path):
        if (said := said_in(tail)) is not None:
            may_change = _encode([said.model, said.caps, said.choice]).decode()
            yield job, h, said.stages[-1], may_change, item, file, offset


def _first(stage: bytes, may_change: str) -> Said:
    model, caps, choice = _decode(may_change)
    return Said((stage,), model, tuple(caps), choice)
