"""What the answers of a batch took, against the service's own sum for it: where they differ, a person is told, and the larger is reckoned with."""

import sqlite3
from collections.abc import Iterator
from typing import Final

from batchrun.ledger.batches import add_incident
from batchrun.ledger.connection import Ledger
from batchrun.ledger.usage import USAGE_DIFFERS, attempts_without_answer, taken_by
from batchrun.money.billed import differences, service_usage

_WORDS: Final = {
    "input_tokens": "input tokens",
    "cached_tokens": "cached input tokens",
    "cache_write_tokens": "input tokens written to the cache",
    "output_tokens": "output tokens",
    "reasoning_tokens": "reasoning tokens",
}


def reconcile(ledger: Ledger, batch: sqlite3.Row, at: int) -> None:
    """Record an incident where the two sums differ, inside the transaction that settles the batch.

    Nothing is said of a batch of which the service gives no sum, and of one that holds requests of others: these took the rest of it.
    """
    number = batch["id"]
    # Its row as it is now: the service's last word may have come after the caller read it.
    remote = ledger.value("select remote from batch_rows where id = ?", (number,))
    found = list(differences(taken_by(ledger, number), service_usage(remote)))
    if not found or ledger.value("select 1 from strays where batch = ?", (number,)):
        return
    told = "; ".join(
        f"the service counts {said:,} {_WORDS[name]}, and the answers add up to {items:,}"
        for name, items, said in found
    )
    add_incident(
        ledger,
        at=at,
        kind=USAGE_DIFFERS,
        message=f"{told}{''.join(_reasons(ledger, batch))}. The larger figure is reckoned with",
        job=batch["job"],
        batch=number,
        detail={name: {"answers": items, "service": said} for name, items, said in found},
    )


def _reasons(ledger: Ledger, batch: sqlite3.Row) -> Iterator[str]:
    """What may explain it."""
    if missing := attempts_without_answer(ledger, batch["id"]):
        yield f" ({missing:,} of its {batch['request_count']:,} requests brought no answer here)"
    unknown = ledger.value("select count(*) from incidents where batch = ?", (batch["id"],))
    if unknown:
        yield f" ({unknown:,} of its lines are no answer of an item)"
