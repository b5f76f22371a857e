"""What `cancel` and `retry` ask for: written without the lock, carried out by the next holder of it."""

import json
from typing import Any, Final

from batchrun.ledger.connection import Ledger
from batchrun.ledger.items import move_items
from batchrun.ledger.requestfiles import FileState
from batchrun.ledger.settling import keep_history
from batchrun.ledger.states import ItemEvent

_LOST: Final = "('lost_result')"


def add_wish(ledger: Ledger, *, job: int, kind: str, arguments: dict[str, Any], at: int) -> int:
    """Write a wish; `kind` is cancel or retry. Returns its id."""
    with ledger.transaction():
        cursor = ledger.execute(
            "insert into wishes (at, job, kind, arguments) values (?, ?, ?, ?)",
            (at, job, kind, json.dumps(arguments)),
        )
        return int(cursor.lastrowid or 0)


def has_wishes(ledger: Ledger) -> bool:
    """Whether any waits to be carried out."""
    return bool(ledger.value("select 1 from wishes where done_at is null"))


def apply_wishes(ledger: Ledger, at: int) -> None:
    """Carry out every waiting wish, in order; only under the home's lock."""
    for wish in list(ledger.rows("select * from wishes where done_at is null order by id")):
        with ledger.transaction():
            arguments = json.loads(wish["arguments"])
            if wish["kind"] == "cancel":
                _cancel(ledger, wish["job"], at)
            else:
                _retry(ledger, wish["job"], arguments, at)
            ledger.execute("update wishes set done_at = ? where id = ?", (at, wish["id"]))


def _cancel(ledger: Ledger, job: int, at: int) -> None:
    """Pending items are cancelled now; those in batches when their batch has ended and every paid answer is kept."""
    move_items(ledger, job=job, event=ItemEvent.CANCELLED, where="state = 0", at=at)
    ledger.execute("delete from queue where job = ?", (job,))
    ledger.execute(
        "update request_files set state = ? where job = ? and state = ?",
        (FileState.USED, job, FileState.FRESH),
    )
    ledger.execute(
        "delete from revisions where item in (select id from item_rows where job = ?)", (job,)
    )
    ledger.execute(
        "update batch_rows set cancel_requested = 1, next_at = case when state = 3 then 0 else next_at end "
        "where job = ? and state < 5",
        (job,),
    )
    ledger.execute("update jobs set stale = 1 where id = ?", (job,))


def _retry(ledger: Ledger, job: int, arguments: dict[str, Any], at: int) -> None:
    """Failed items go again as they were sent; `redo` takes answered ones too, `lost` those whose answer may have been paid for."""
    ledger.connection.execute(
        "create temp table if not exists wished (item integer primary key) strict"
    )
    ledger.execute("delete from wished")
    states = "(2, 3)" if arguments.get("redo") else "(3)"
    rule = f"i.job = ? and i.state in {states} and i.file is not null and i.vanished = 0"
    if not arguments.get("lost"):
        rule += f" and coalesce((select r.cause from result_rows r where r.item = i.id), '') not in {_LOST}"
    keys = arguments.get("items")
    if keys is None:
        ledger.execute(f"insert into wished select i.id from item_rows i where {rule}", (job,))
    else:
        ledger.executemany(
            f"insert or ignore into wished select i.id from item_rows i where {rule} and coalesce(i.key, i.name) = ?",
            ((job, key) for key in keys),
        )
    chosen = "select item from wished"
    keep_history(ledger, chosen, ())
    ledger.execute(
        "insert or replace into queue (item, job, not_before) select item, ?, 0 from wished",
        (job,),
    )
    move_items(
        ledger,
        job=job,
        event=ItemEvent.REQUEUED,
        where=f"id in ({chosen})",
        at=at,
        sets="batch = null",
    )
    ledger.execute(
        "update jobs set stale = 1, paused = null, releases = 0, reported_at = null where id = ?",
        (job,),
    )
