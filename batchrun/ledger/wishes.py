"""What `cancel` and `retry` ask for: written without the lock, carried out by the next holder of it."""

import json
from collections.abc import Sequence
from typing import Any, Final

from batchrun.errors import UsageError
from batchrun.ledger.connection import Ledger
from batchrun.ledger.deadlines import BY_PERSON, drop_passed_deadline
from batchrun.ledger.history import keep_history
from batchrun.ledger.items import move_items
from batchrun.ledger.states import (
    IS_OPEN_BATCH,
    OPEN_ITEM_STATES,
    BatchState,
    FileState,
    ItemEvent,
    ItemState,
)
from batchrun.ledger.turns import drop_turns

# Why an item failed, as the outputs say it: those of a refused batch have no result of their own.
_CAUSE: Final = (
    "coalesce((select r.cause from result_rows r where r.item = i.id and r.outcome <> 0), (select 'rejected' from batch_rows y "
    "where y.id = i.batch and y.reason is not null), 'unknown')"
)
# What may have been paid for is asked again only by a retry with this argument: the cause, the argument, and what is said without it.
_GUARDED: Final = (
    (
        "lost_result",
        "lost",
        "its answer was lost and may have been paid for. --rerun-lost asks again",
    ),
    (
        "uncertain",
        "uncertain",
        "it was sent, and may have been executed and paid for. --rerun-uncertain asks again",
    ),
)
_PRUNED: Final = f"select id from request_files where state = {int(FileState.REMOVED)}"


def add_cancel(ledger: Ledger, *, job: int, at: int) -> None:
    """Wish a job cancelled."""
    with ledger.transaction():
        _add(ledger, job, "cancel", {}, at)


def add_retry(ledger: Ledger, *, job: int, arguments: dict[str, Any], at: int) -> int:
    """Wish items asked again; returns how many that are, and writes nothing where there are none. Raises UsageError as `check_retry`.

    They are counted as the wish is written: what a prune frees before that is not counted, and afterwards none frees what was.
    """
    with ledger.transaction():
        check_retry(ledger, job, arguments)
        count = count_retry(ledger, job, arguments)
        if count:
            _add(ledger, job, "retry", arguments, at)
    return count


def _add(ledger: Ledger, job: int, kind: str, arguments: dict[str, Any], at: int) -> None:
    ledger.execute(
        "insert into wishes (at, job, kind, arguments) values (?, ?, ?, ?)",
        (at, job, kind, json.dumps(arguments)),
    )


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
    move_items(
        ledger, job=job, event=ItemEvent.CANCELLED, where=f"state = {int(ItemState.PENDING)}", at=at
    )
    ledger.execute("delete from queue where job = ?", (job,))
    ledger.execute("delete from followers where job = ?", (job,))
    ledger.execute(
        "update request_files set state = ? where job = ? and state = ?",
        (FileState.USED, job, FileState.FRESH),
    )
    ledger.execute(
        "delete from revisions where item in (select id from item_rows where job = ?)", (job,)
    )
    ledger.execute(
        "update batch_rows set cancel_requested = ?, next_at = case when state = ? then 0 else next_at end "
        f"where job = ? and {IS_OPEN_BATCH}",
        (BY_PERSON, BatchState.CREATED, job),
    )
    ledger.execute("update jobs set stale = 1 where id = ?", (job,))


def _rule(arguments: dict[str, Any]) -> str:
    """Which items a retry takes, as SQL over item_rows i; its parameters are those of `_chosen_by`."""
    states = "(2, 3)" if arguments.get("redo") else "(3)"
    rule = f"i.job = ?1 and i.state in {states} and i.file is not null and i.vanished = 0 and i.file not in ({_PRUNED})"
    rule += f" and (?2 is null or {_CAUSE} = ?2)"
    for cause, argument, _ in _GUARDED:
        if not arguments.get(argument):
            rule += f" and coalesce((select r.cause from result_rows r where r.item = i.id), '') <> '{cause}'"
    return rule


def _chosen_by(job: int, arguments: dict[str, Any], *item: int) -> tuple[Any, ...]:
    return (job, arguments.get("cause"), *item)


def count_retry(ledger: Ledger, job: int, arguments: dict[str, Any]) -> int:
    """How many items a retry with these arguments would queue now."""
    sql = f"select count(*) from item_rows i where {_rule(arguments)}"
    keys = arguments.get("items")
    if keys is None:
        return int(ledger.value(sql, _chosen_by(job, arguments)))
    found = _items_of(ledger, job, keys)
    return sum(
        int(ledger.value(f"{sql} and i.id = ?3", _chosen_by(job, arguments, item)))
        for item in found.values()
    )


def count_left_out(ledger: Ledger, job: int, arguments: dict[str, Any]) -> dict[str, int]:
    """By cause: how many more items the same retry would queue if it had the argument that takes what may have been paid for."""
    queued = count_retry(ledger, job, arguments)
    return {
        cause: count_retry(ledger, job, {**arguments, argument: True}) - queued
        for cause, argument, _ in _GUARDED
    }


def count_pruned(ledger: Ledger, job: int) -> int:
    """How many items of a job cannot be asked again as they were sent, because their requests were pruned."""
    return int(
        ledger.value(
            f"select count(*) from item_rows where job = ? and vanished = 0 and file in ({_PRUNED})",
            (job,),
        )
    )


def _items_of(ledger: Ledger, job: int, keys: Sequence[str]) -> dict[str, int]:
    """Item by id, of those that there are. Names (of items without an id) have no index: all of them are looked for in one reading."""
    found: dict[str, int] = {}
    for key in dict.fromkeys(keys):
        item = ledger.value(
            "select i.id from item_rows i where i.job = ? and i.key = ? and i.vanished = 0",
            (job, key),
        )
        if item is not None:
            found[key] = int(item)
    if missing := [key for key in dict.fromkeys(keys) if key not in found]:
        for row in ledger.rows(
            "select i.name, i.id from item_rows i where i.job = ? and i.key is null and i.vanished = 0 "
            "and i.name in (select value from json_each(?))",
            (job, json.dumps(missing)),
        ):
            found[row["name"]] = row["id"]
    return found


def check_retry(ledger: Ledger, job: int, arguments: dict[str, Any]) -> None:
    """Raises UsageError for the first named item that there is not, or that such a retry would leave as it is."""
    keys, redo = arguments["items"] or (), arguments["redo"]
    found = _items_of(ledger, job, keys)
    for key in keys:
        row = ledger.row(
            f"select i.state, i.file, r.cause, i.file in ({_PRUNED}) as is_pruned from item_rows i "
            "left join result_rows r on r.item = i.id where i.id = ?",
            (found.get(key),),
        )
        what = "there is no such item. `batchrun failures` names some" if row is None else None
        if row is not None:
            state = ItemState(row["state"])
            if state in OPEN_ITEM_STATES:
                what = "it is still open. `batchrun wait` goes on with it"
            elif state is ItemState.CANCELLED:
                what = "it was cancelled. Submit its job file again"
            elif state is ItemState.SUCCEEDED and not redo:
                what = "it has an answer. --redo asks again, and pays again"
            elif row["file"] is None:
                what = "it could not be read. Correct it and submit its job file again"
            elif row["is_pruned"]:
                what = (
                    "its request was pruned, so it cannot be asked again as it was. `batchrun forget` it and submit its job file: "
                    "then it is asked as a new item"
                )
            else:
                what = next(
                    (
                        told
                        for cause, argument, told in _GUARDED
                        if row["cause"] == cause and not arguments.get(argument)
                    ),
                    None,
                )
        if what is not None:
            raise UsageError(f"item {key!r}: {what}.")


def _retry(ledger: Ledger, job: int, arguments: dict[str, Any], at: int) -> None:
    """Failed items go again as they were sent; `redo` takes answered ones too, `lost` and `uncertain` those that may have been paid for."""
    ledger.connection.execute(
        "create temp table if not exists wished (item integer primary key) strict"
    )
    ledger.execute("delete from wished")
    rule = _rule(arguments)
    keys = arguments.get("items")
    if keys is None:
        ledger.execute(
            f"insert into wished select i.id from item_rows i where {rule}",
            _chosen_by(job, arguments),
        )
    else:
        ledger.executemany(
            f"insert or ignore into wished select i.id from item_rows i where {rule} and i.id = ?3",
            (_chosen_by(job, arguments, item) for item in _items_of(ledger, job, keys).values()),
        )
    chosen = "select item from wished"
    keep_history(ledger, chosen, ())
    drop_turns(ledger, chosen)
    drop_passed_deadline(ledger, job=job, at=at)
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
        "update jobs set stale = 1, paused = null, pause_told_at = null, releases = 0, reported_at = null where id = ?",
        (job,),
    )
