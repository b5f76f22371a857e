"""Calls of functions: recorded with the answer that makes them, answered one by one, and with the last of an item's it is queued again.

So a call whose answer is recorded is never run again, and at no moment does an item wait for nothing.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from batchrun.endpoints.calling import ToolCall
from batchrun.ledger.connection import Ledger
from batchrun.ledger.opencalls import WAITING, no_open_call
from batchrun.ledger.states import ItemState
from batchrun.model import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCall:
    """A call that waits: the `n`-th of the answer to attempt `send` of an item."""

    item: int
    send: int
    n: int
    call: ToolCall


def add_calls(ledger: Ledger, *, item: int, send: int, calls: Sequence[ToolCall]) -> None:
    """Record the calls of an answer; inside the transaction that settles it."""
    ledger.executemany(
        "insert into tool_calls (item, send, n, job, call_id, name, arguments) "
        "select id, ?, ?, job, ?, ?, ? from item_rows where id = ?",
        [(send, n, call.call_id, call.name, call.arguments, item) for n, call in enumerate(calls)],
    )


def next_call(ledger: Ledger, job: int) -> OpenCall | None:
    """The call of a job that is to be run next: items in their order, calls in theirs."""
    row = ledger.row(f"select c.* {WAITING} order by c.item, c.send, c.n limit 1", (job,))
    return None if row is None else _open(row)


def open_calls(ledger: Ledger, item: int) -> list[OpenCall]:
    """The calls of an item that are not answered, in their order."""
    return [_open(row) for row in calls_of(ledger, item) if row["output"] is None]


def _open(row: sqlite3.Row) -> OpenCall:
    call = ToolCall(call_id=row["call_id"], name=row["name"], arguments=row["arguments"])
    return OpenCall(item=row["item"], send=row["send"], n=row["n"], call=call)


def told_bytes(ledger: Ledger, item: int) -> int:
    """How much the calls of an item's conversation have returned so far."""
    return int(
        ledger.value(
            "select coalesce(sum(length(cast(output as blob))), 0) from tool_calls where item = ?",
            (item,),
        )
    )


def answer_call(
    ledger: Ledger, found: OpenCall, *, output: str, is_error: bool, told: JsonObject, at: int
) -> None:
    """Record what a call returned, `told` being how the conversation says so; with the last one of an item that waits, it is queued.

    Inside the caller's transaction.
    """
    ledger.execute(
        "update tool_calls set output = ?, is_error = ?, at = ? where item = ? and send = ? and n = ?",
        (output, is_error, at, found.item, found.send, found.n),
    )
    # The array is never empty: it holds the call. Its end is written, and nothing of it read, whatever the service put into it.
    ledger.execute(
        "update turns set additions = substr(additions, 1, length(additions) - 1) || ',' || ? || ']' where item = ? and send = ?",
        (msgspec.json.encode(told).decode(), found.item, found.send),
    )
    ledger.execute(
        "insert into queue (item, job, not_before) select id, job, ? from item_rows "
        f"where id = ? and state = {int(ItemState.PENDING)} and {no_open_call('item_rows.id')}",
        (at, found.item),
    )


def calls_of(ledger: Ledger, item: int) -> list[sqlite3.Row]:
    """All calls of an item's conversation, in their order."""
    return list(ledger.rows("select * from tool_calls where item = ? order by send, n", (item,)))


def call_errors(ledger: Ledger, job: int, *, most: int) -> tuple[int, int, list[sqlite3.Row]]:
    """How many calls of a job were run, how many of them failed, and the first failures (at most `most`)."""
    row = ledger.row(
        "select count(*) as run, coalesce(sum(is_error), 0) as failed from tool_calls where job = ? and output is not null",
        (job,),
    )
    assert row is not None
    failures = ledger.rows(
        "select c.*, coalesce(i.key, i.name) as id from tool_calls c join item_rows i on i.id = c.item "
        "where c.job = ? and c.is_error = 1 order by c.at, c.item, c.send, c.n limit ?",
        (job, most),
    )
    return int(row["run"]), int(row["failed"]), list(failures)
