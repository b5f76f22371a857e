"""Bills: what each batch may cost and did, and how that stands against limits.

A bill is made in the transaction that records its batch, with the worst case of all its requests reserved, and is settled in the transaction
that settles the batch. While it is open, all that is reserved counts in every day and month; settled, what it cost is booked at the batch's end.
"""

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final, NamedTuple

from batchrun.ledger.connection import Ledger
from batchrun.ledger.held import HELD_AT
from batchrun.ledger.states import BatchState
from batchrun.money.amounts import LARGEST
from batchrun.money.limits import Limit, Payer, Scope

# Sums of picodollars may be larger than SQLite's integers: added up in two halves, exactly.
_HALF_BITS: Final = 20
_LOW: Final = (1 << _HALF_BITS) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What a batch may cost. `price` is JSON (money/frozen.py); amounts are picodollars, kept no larger than LARGEST. `fees` are part of `reserved`."""

    payer: Payer
    price: str
    reserved: int
    largest: int
    fees: int = 0


class Standing(NamedTuple):
    """How a limit stands, in picodollars: what was `spent` in its period, what is `presumed` to be, what open batches have `reserved`, and what is set
    `aside` for what a deadline takes out of its batches.
    """

    spent: int
    presumed: int
    reserved: int
    aside: int

    @property
    def taken(self) -> int:
        """All that is not free."""
        return self.spent + self.presumed + self.reserved + self.aside


def insert_bill(ledger: Ledger, *, batch: int, bill: Bill, at: int) -> None:
    """Reserve for a batch, inside the transaction that records it."""
    payer = bill.payer
    ledger.execute(
        "insert into bills (batch, account, profile, job, tags, price, opened_at, reserved, largest, fees) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            batch, payer.account, payer.profile, payer.job, json.dumps(payer.tags), bill.price, at,
            min(bill.reserved, LARGEST), min(bill.largest, LARGEST), min(bill.fees, LARGEST),
        ),
    )  # fmt: skip


def settle_bill(
    ledger: Ledger, *, batch: int, cost: int, unknown: int, booked_at: int
) -> int | None:
    """What a batch came to: `cost`, and for each of its `unknown` requests, of which nobody knows whether they were executed, the most that one
    can cost, as long as that was reserved. Inside the transaction that settles the batch; again where that is settled again: it stays in the day
    in which it was kept room for, if that is earlier.

    Returns by how much it cost more than was reserved, or None. A batch without a bill needs none.
    """
    bill = ledger.row("select * from bills where batch = ?", (batch,))
    if bill is None:
        return None
    over = cost - bill["reserved"]
    presumed = max(0, min(unknown * bill["largest"], -over))
    ledger.execute(
        "update bills set cost = ?1, presumed = ?2, booked_at = min(?3, coalesce(booked_at, ?3)), is_overrun = ?4 where batch = ?5",
        (min(cost, LARGEST), presumed, booked_at, over > 0, batch),
    )
    return over if over > 0 else None


def reopen_bill(ledger: Ledger, batch: int) -> None:
    """A batch that was believed to be none is there: all of it is reserved again. Inside the transaction that takes it back."""
    ledger.execute(
        "update bills set cost = null, presumed = 0, booked_at = null where batch = ?", (batch,)
    )


def free_presumed(ledger: Ledger, batch: int) -> None:
    """It is proven that a batch was never created: nothing is kept for it any more. Inside the caller's transaction."""
    ledger.execute("update bills set presumed = 0 where batch = ?", (batch,))


def standing(ledger: Ledger, limit: Limit, now: int) -> Standing:
    """How a limit stands now."""
    whose, parameters = _within(limit)
    since = limit.period.since(now)
    row = ledger.row(
        f"select {_sums('cost')}, {_sums('presumed')} from bills where booked_at >= ? and {whose}",
        (since, *parameters),
    )
    still_open = ledger.row(
        f"select {_sums('reserved')} from bills where booked_at is null and {whose}", parameters
    )
    assert row is not None
    assert still_open is not None
    return Standing(
        spent=_whole(row, "cost") + _tried(ledger, limit, since, is_settled=True),
        presumed=_whole(row, "presumed") + _tried(ledger, limit, since, is_settled=False),
        reserved=_whole(still_open, "reserved"),
        aside=_amount(ledger, "set_aside", limit),
    )


def will_free(ledger: Ledger, limit: Limit) -> bool:
    """Whether anything that is reserved of a limit may become free by itself: batches that are out end; those that are not wait for their job,
    which may wait for a person.
    """
    whose, parameters = _within(limit)
    moving = (
        "select b.id from batch_rows b join jobs j on j.id = b.job where "
        f"b.state >= {int(BatchState.CREATING)} or (j.paused is null and {HELD_AT} is null)"
    )
    found = f"select 1 from bills where booked_at is null and {whose} and batch in ({moving})"
    return ledger.value(found, parameters) is not None


def payer_of(ledger: Ledger, batch: int) -> Payer | None:
    """For whom a batch was reserved; None: nothing is."""
    row = ledger.row("select account, profile, job, tags from bills where batch = ?", (batch,))
    if row is None:
        return None
    tags = tuple(json.loads(row["tags"]))
    return Payer(account=row["account"], profile=row["profile"], job=row["job"], tags=tags)


def room(ledger: Ledger, limits: Iterable[Limit], now: int) -> tuple[int, Limit] | None:
    """What the tightest of the hard limits leaves free, in picodollars, and which that is; below 0 where more is taken than it allows. None: nothing binds."""
    left = [
        (limit.amount - standing(ledger, limit, now).taken, limit)
        for limit in limits
        if limit.is_hard
    ]
    return min(left, key=itemgetter(0), default=None)


def _tried(ledger: Ledger, limit: Limit, since: int, *, is_settled: bool) -> int:
    """What trials came to; or may have come to, of those that have not said it, and may have been killed."""
    also = f"booked_at >= {since} and is_settled = {int(is_settled)}"
    return _amount(ledger, "trials", limit, also)


def _amount(ledger: Ledger, table: str, limit: Limit, also: str = "1") -> int:
    whose, parameters = _within(limit)
    row = ledger.row(f"select {_sums('amount')} from {table} where {whose} and {also}", parameters)
    assert row is not None
    return _whole(row, "amount")


def _within(limit: Limit) -> tuple[str, tuple[Any, ...]]:
    """Which rows of `bills` and `set_aside` fall under a limit, as SQL."""
    match limit.scope:
        case Scope.HOME:
            return "1", ()
        case Scope.TAG:
            return "exists (select 1 from json_each(tags) where value = ?)", (limit.name,)
        case Scope.ACCOUNT | Scope.PROFILE | Scope.JOB as scope:
            return f"{scope} = ?", (limit.name,)


def _sums(column: str) -> str:
    return (
        f"coalesce(sum({column} >> {_HALF_BITS}), 0) as {column}_high, "
        f"coalesce(sum({column} & {_LOW}), 0) as {column}_low"
    )


def _whole(row: sqlite3.Row, column: str) -> int:
    return (int(row[f"{column}_high"]) << _HALF_BITS) + int(row[f"{column}_low"])
