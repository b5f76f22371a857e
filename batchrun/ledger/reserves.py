"""Amounts that count in the limits without a batch of this ledger: what a deadline will need for items that leave their batches, what `try`
asks in a home that is thrown away, and what a service made twice.
"""

import json
from typing import Final

from batchrun.ledger.connection import Ledger
from batchrun.money.amounts import LARGEST
from batchrun.money.limits import Payer

_LONGEST_S: Final = 86_400  # of a trial, whose process may die before it can say what it came to


def open_trial(ledger: Ledger, *, payer: Payer, amount: int, at: int) -> int:
    """Presume what another, passing home is about to spend, in every day and month until it is settled or must have ended; its number.
    Inside the caller's transaction.
    """
    cursor = ledger.execute(
        "insert into trials (account, profile, job, tags, amount, booked_at) values (?, ?, ?, ?, ?, ?)",
        (
            payer.account,
            payer.profile,
            payer.job,
            json.dumps(payer.tags),
            min(amount, LARGEST),
            at + _LONGEST_S,
        ),
    )
    return int(cursor.lastrowid or 0)


def presume_again(ledger: Ledger, *, batch: int, at: int) -> None:
    """A service has a batch twice: the second one, which is cancelled, may cost as much as was reserved for the first. Inside the caller's transaction."""
    ledger.execute(
        "insert into trials (account, profile, job, tags, amount, booked_at) "
        "select account, profile, job, tags, reserved, ? from bills where batch = ?",
        (at + _LONGEST_S, batch),
    )


def settle_trial(ledger: Ledger, trial: int, amount: int, at: int) -> None:
    """What it came to, and when. Inside the caller's transaction."""
    ledger.execute(
        "update trials set amount = ?, booked_at = ?, is_settled = 1 where id = ?",
        (min(amount, LARGEST), at, trial),
    )


def set_aside(ledger: Ledger, *, job: int, payer: Payer, amount: int, at: int) -> None:
    """Keep an amount for a job whose batches are about to be cancelled, inside the transaction that asks for that."""
    ledger.execute(
        "insert or replace into set_aside (job_id, account, profile, job, tags, amount, at) values (?, ?, ?, ?, ?, ?, ?)",
        (
            job,
            payer.account,
            payer.profile,
            payer.job,
            json.dumps(payer.tags),
            min(amount, LARGEST),
            at,
        ),
    )


def aside_of(ledger: Ledger, job: int, payer: Payer) -> int:
    """What is still kept for a job, in the very limits that `payer` falls under: nothing else can be used there."""
    kept = ledger.value(
        "select amount from set_aside where (job_id, account, profile, job, tags) = (?, ?, ?, ?, ?)",
        (job, payer.account, payer.profile, payer.job, json.dumps(payer.tags)),
    )
    return int(kept or 0)


def take_aside(ledger: Ledger, job: int, payer: Payer, amount: int) -> int:
    """Use up to so much of what is kept for a job, for a batch of it that is being made; returns how much that was."""
    taken = min(amount, aside_of(ledger, job, payer))
    ledger.execute("update set_aside set amount = amount - ? where job_id = ?", (taken, job))
    return taken
