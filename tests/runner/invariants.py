"""What must be true of a ledger at any moment, whatever happened: checked after every test of the core."""

import itertools
from collections import Counter
from typing import Final

from batchrun.ledger.connection import Ledger
from batchrun.ledger.requestfiles import FileState
from batchrun.ledger.states import (
    FINAL_BATCH_STATES,
    BatchEvent,
    BatchState,
    ItemState,
)

_BATCH_EVENTS: Final = frozenset(map(str, BatchEvent))


def check_invariants(ledger: Ledger) -> None:
    """Everything that must hold between two transactions, whatever happened before. Assertions name what does not."""
    _check_counts(ledger)
    _check_items(ledger)
    _check_queue(ledger)
    _check_batches(ledger)
    _check_files(ledger)
    assert ledger.value("pragma integrity_check") == "ok"
    assert not list(ledger.rows("pragma foreign_key_check"))


def _check_counts(ledger: Ledger) -> None:
    hidden = "job not in (select id from jobs where submission is null)"
    live = "id not in (select i.id from item_rows i join submissions s on s.job = i.job and s.state = 0 and i.id >= s.first_item)"
    counted = {
        tuple(row)[:3]: row["n"]
        for row in ledger.rows(f"select * from item_counts where n <> 0 and {hidden}")
    }
    grouped = {
        tuple(row)[:3]: row["n"]
        for row in ledger.rows(
            f"select job, state, vanished, count(*) as n from item_rows where {hidden} and {live} group by 1, 2, 3"
        )
    }
    assert counted == grouped, "item_counts is the group by of item_rows"
    replayed: Counter[tuple[int, int, int]] = Counter()
    for e in ledger.rows("select * from events order by id"):
        if e["event"] in _BATCH_EVENTS:
            continue
        job, n, vanished = e["job"], e["n"], e["vanished"]
        if e["event"] in {"vanished", "returned"}:
            replayed[job, e["before"], 1 - vanished] -= n
            replayed[job, e["after"], vanished] += n
            continue
        if e["before"] is not None:
            replayed[job, e["before"], vanished] -= n
        if e["after"] is not None:
            replayed[job, e["after"], vanished] += n
    assert {k: n for k, n in replayed.items() if n} == counted, "events replay to the counts"


def _check_items(ledger: Ledger) -> None:
    for row in ledger.rows(
        "select i.*, b.state as batch_state, r.outcome, r.send from item_rows i left join batch_rows b on b.id = i.batch "
        "left join result_rows r on r.item = i.id"
    ):
        state, what = ItemState(row["state"]), dict(row)
        is_open = row["batch_state"] is not None and row["batch_state"] not in FINAL_BATCH_STATES
        assert (state == ItemState.IN_FLIGHT) == is_open, f"in flight in an open batch only: {what}"
        if state == ItemState.PENDING:
            assert row["batch"] is None, f"pending items are in no batch: {what}"
            assert not row["vanished"], f"a vanished item is never to be sent: {what}"
        if state == ItemState.SUCCEEDED:
            assert row["outcome"] == 0, f"succeeded without an answer: {what}"
        if state == ItemState.FAILED and row["file"] is not None:
            assert row["outcome"] == 1, f"failed without a reason: {what}"
    orphans = ledger.value(
        "select count(*) from result_rows where item not in (select id from item_rows)"
    )
    assert not orphans, "every result is some item's"
    twice = ledger.value(
        "select count(*) from (select item, batch from history group by 1, 2 having count(*) > 1)"
    )
    assert not twice, "an item is settled once per batch"


def _check_queue(ledger: Ledger) -> None:
    wrong = list(
        ledger.rows(
            "select q.item from queue q join item_rows i on i.id = q.item where i.state <> 0 or q.job <> i.job"
        )
    )
    assert not wrong, f"queued, but not pending: {[tuple(w) for w in wrong]}"
    stranded = list(
        ledger.rows(
            "select i.id from item_rows i join jobs j on j.id = i.job where i.state = 0 and j.submission is not null "
            "and i.id not in (select item from queue) and not exists (select 1 from request_files f where f.id = i.file and f.state = ?) "
            "and not exists (select 1 from submissions s where s.job = i.job and s.state = 0 and i.id >= s.first_item)",
            (FileState.FRESH,),
        )
    )
    assert not stranded, f"pending, but nothing will send them: {[tuple(s) for s in stranded]}"
    early = ledger.value(
        "select count(*) from revisions r join item_rows i on i.id = r.item join submissions s on s.id = r.submission "
        "where s.state = 1 and (i.state <> 1 or r.deferred = 0)"
    )
    assert not early, "only items in flight have a revision waiting"


def _check_batches(ledger: Ledger) -> None:
    in_flight = {
        row["batch"]: row["n"]
        for row in ledger.rows(
            "select batch, count(*) as n from item_rows where state = 1 group by 1"
        )
    }
    for row in ledger.rows("select * from batch_rows"):
        state = BatchState(row["state"])
        expected = 0 if state in FINAL_BATCH_STATES else row["request_count"]
        assert in_flight.get(row["id"], 0) == expected, f"requests of a batch: {dict(row)}"
        before: int | None = None
        events = [
            e
            for e in ledger.rows("select * from events where batch = ? order by id", (row["id"],))
            if e["event"] in _BATCH_EVENTS
        ]
        for event in events:
            assert event["before"] == before, f"the events of batch {row['id']} follow each other"
            before = event["after"]
        assert before == state, f"the events of batch {row['id']} end in its state"
        if state in {BatchState.CREATED, BatchState.ENDED}:
            assert row["remote_id"], f"a created batch has a name: {dict(row)}"


def _check_files(ledger: Ledger) -> None:
    preparing = ledger.value("select count(*) from submissions where state = 0")
    if preparing:
        return  # a dead submission: the next holder of the lock sweeps it, files and all
    spool = ledger.home.path / "spool"
    temps = [p.name for p in itertools.chain(spool.rglob("*.part"), spool.rglob(".*"))]
    writing = ledger.value("select count(*) from request_files where state = 0")
    if not writing:
        assert not temps, f"temp files are swept: {temps}"
    for row in ledger.rows("select id, bytes, state from request_files where state <> 0"):
        path = ledger.home.request_file(row["id"])
        if row["state"] == FileState.REMOVED:
            assert not path.exists(), f"request file {row['id']} is removed"
            continue
        assert path.stat().st_size == row["bytes"], f"request file {row['id']} is whole"
        assert path.stat().st_mode & 0o777 == 0o600
