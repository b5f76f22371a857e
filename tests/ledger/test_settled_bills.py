"""Settling bills: which requests of a batch may have been paid for without a word of it, and the day that it counts in."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from batchrun.ledger.batches import insert_batch
from batchrun.ledger.billing import settle_billing
from batchrun.ledger.bills import Bill, insert_bill
from batchrun.ledger.connection import Ledger, open_ledger
from batchrun.ledger.home import Home
from batchrun.ledger.states import BatchState
from batchrun.money.frozen import frozen
from batchrun.money.limits import Payer
from batchrun.money.price import Mode, Price, Rates

DAY_S = 86_400
NOW = 1_790_000_000
PRICE = Price(model="m", mode=Mode.BATCH, rates=Rates(*[1] * 8), table="", dated="")
LARGEST = 10


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(Home(tmp_path / ".batchrun"), create=True) as found:
        found.execute("pragma foreign_keys = off")
        found.execute(
            "insert into jobs (id, name, profile, source, settings, outputs, created_at) values (1, 'j', 'p', '', '{}', '', 0)"
        )
        found.execute(
            "insert into request_files (id, job, kind, state, endpoint, model) values (1, 1, 0, 2, '', '')"
        )
        yield found


def batch_of(ledger: Ledger, state: BatchState, **columns: object) -> int:
    """A batch of items 1 to 5, with a bill of 1,000."""
    whole = {
        "profile": "p", "endpoint": "", "model": "", "window": "24h", "token": "t", "request_file": 1, "request_count": 5,
        "input_bytes": 1, "checksum": "", "first_item": 1, "last_item": 5, "metadata": "{}",
    }  # fmt: skip
    batch = insert_batch(ledger, job=1, at=NOW - 9, columns=whole)
    payer = Payer(account="default", profile="p", job="j")
    bill = Bill(payer=payer, price=frozen(PRICE), reserved=1_000, largest=LARGEST)
    insert_bill(ledger, batch=batch, bill=bill, at=NOW - 9)
    for name, value in {"state": state, **columns}.items():
        ledger.execute(f"update batch_rows set {name} = ? where id = ?", (value, batch))
    return batch


def settled(ledger: Ledger, batch: int) -> tuple[int, int]:
    """(requests presumed, when it is booked)"""
    settle_billing(ledger, batch, NOW)
    row = ledger.row("select presumed, booked_at from bills where batch = ?", (batch,))
    assert row is not None
    return row["presumed"] // LARGEST, row["booked_at"]


@pytest.mark.parametrize(
    ("state", "columns", "expected"),
    [
        (BatchState.COLLECTED, {"ended_at": NOW - DAY_S}, (0, NOW - DAY_S)),
        (BatchState.COLLECTED, {}, (0, NOW)),
        (BatchState.LOST, {"remote_status": "expired", "ended_at": NOW - 5}, (0, NOW - 5)),
        (BatchState.LOST, {"remote_status": "in_progress", "created_at": NOW - 60}, (0, NOW - 60 + DAY_S)),
        (BatchState.LOST, {"created_at": NOW - 60, "intent_at": NOW - 90}, (0, NOW - 60 + DAY_S)),
        (BatchState.LOST, {"intent_at": NOW - 60}, (0, NOW - 60 + DAY_S)),
        (BatchState.LOST, {"intent_at": NOW - 2 * DAY_S}, (0, NOW)),
        (BatchState.REJECTED, {}, (0, NOW)),
        (BatchState.REJECTED, {"audit_until": NOW}, (0, NOW)),
        (BatchState.REJECTED, {"audit_until": NOW + 1}, (5, NOW + 1 + DAY_S)),
        (BatchState.REJECTED, {"audit_until": NOW + 1, "remote_id": "b"}, (0, NOW)),
    ],
    ids=str,
)  # fmt: skip
def test_a_batch_counts_in_the_day_of_its_end_and_until_then_if_it_may_still_run(
    ledger: Ledger, state: BatchState, columns: dict[str, object], expected: tuple[int, int]
) -> None:
    assert settled(ledger, batch_of(ledger, state, **columns)) == expected


@pytest.mark.parametrize("table", ["result_rows", "history"])
@pytest.mark.parametrize(
    ("attempt", "is_unknown"),
    [
        ({"cause": "missing_result"}, True),
        ({"cause": "lost_result"}, True),
        ({"cause": "uncertain"}, True),
        ({"cause": "malformed_result"}, True),
        ({"cause": "bad_request"}, False),
        ({"output": "x", "model": 1}, True),
        ({"output": "x"}, True),
        ({"model": 1}, True),
        ({"output": "x", "input_tokens": 1}, False),
        ({"output": "x", "output_tokens": 1}, False),
        ({"output": "x", "model": 1, "send": 0}, False),  # a copy of another's
        ({"cause": "uncertain", "batch": 99}, False),
        ({"cause": "uncertain", "item": 6}, False),
    ],
    ids=str,
)
def test_what_may_have_been_paid_without_a_word_of_it_is_presumed(
    ledger: Ledger, table: str, attempt: dict[str, object], *, is_unknown: bool
) -> None:
    batch = batch_of(ledger, BatchState.COLLECTED)
    plain = {"item": 5, "batch": batch, "send": 1, "attempts": 1, "at": NOW, "outcome": 0}
    tokens = {"input_tokens": 0, "cached_tokens": 0, "output_tokens": 0, "reasoning_tokens": 0}
    row = {**plain, **tokens, **attempt}
    names, marks = ", ".join(row), ", ".join("?" * len(row))
    ledger.execute(f"insert into {table} ({names}) values ({marks})", tuple(row.values()))
    assert settled(ledger, batch) == (int(is_unknown), NOW)
