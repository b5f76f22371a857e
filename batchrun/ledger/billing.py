"""What a batch came to, when it is settled: priced by its answers and by what the service says of the whole batch, whichever is more."""

import json
import sqlite3
from dataclasses import replace
from typing import Any, Final

from batchrun.ledger.batches import add_incident
from batchrun.ledger.bills import settle_bill
from batchrun.ledger.connection import Ledger
from batchrun.model import Json
from batchrun.money.amounts import dollars
from batchrun.money.frozen import cost_sql, thawed
from batchrun.money.prices import Price, Rates

# Causes of attempts that may have been executed, and paid for, without an answer that says what it took.
UNKNOWN_CAUSES: Final = ("missing_result", "lost_result", "uncertain", "malformed_result")
OVERRUN: Final = "over_reserved"  # the incident
_ANY: Final = 1 << 62  # input tokens: every tier is reached
_IMAGES: Final = frozenset({"/v1/images/generations", "/v1/images/edits"})
# Every attempt of a batch: of an item's last one in result_rows, of earlier ones in history.
_ATTEMPTS: Final = """
select cause, input_tokens, coalesce(cached_tokens, 0) as cached_tokens, coalesce(output_tokens, 0) as output_tokens
from result_rows where item between :first and :last and batch = :batch
union all
select cause, input_tokens, coalesce(cached_tokens, 0), coalesce(output_tokens, 0)
from history where item between :first and :last and batch = :batch
"""


def settle_billing(ledger: Ledger, batch: int, at: int) -> None:
    """Settle the bill of a batch, if it has one, from what is recorded of it. Inside the transaction that settles its attempts, at its end.

    Costing more than was reserved is an incident, and stops the account until a person has looked at it.
    """
    row = ledger.row(
        "select b.*, l.price, l.reserved from batch_rows b join bills l on l.batch = b.id where b.id = ?",
        (batch,),
    )
    if row is None:
        return
    cost, unknown = _cost(ledger, row)
    over = settle_bill(
        ledger, batch=batch, cost=cost, unknown=unknown, booked_at=row["ended_at"] or at
    )
    if over is not None:
        add_incident(
            ledger,
            at=at,
            kind=OVERRUN,
            job=row["job"],
            batch=batch,
            message=(
                f"batch {batch} cost {dollars(cost)}, {dollars(over)} more than the most that was reckoned with. Nothing more is sent from its account: "
                "compare the prices in batchrun.toml with those of the service, then let go with `batchrun resume`"
            ),
        )


def _cost(ledger: Ledger, row: sqlite3.Row) -> tuple[int, int]:
    """(picodollars, requests of unknown fate)."""
    price = _dearest_kind(thawed(row["price"]), row["endpoint"])
    names = {"first": row["first_item"], "last": row["last_item"], "batch": row["id"]}
    causes = ", ".join(repr(cause) for cause in UNKNOWN_CAUSES)
    found = ledger.connection.execute(
        f"select coalesce(sum(case when input_tokens is not null then {cost_sql(price)} end), 0), coalesce(sum(cause in ({causes})), 0), "
        "coalesce(sum(input_tokens), 0), coalesce(sum(case when input_tokens is not null then output_tokens end), 0) "
        f"from ({_ATTEMPTS})",
        names,
    ).fetchone()
    cost, unknown, input_tokens, output_tokens = map(int, found)
    more = price.dearest(_ANY)
    theirs = _usage(row["remote"])
    # What the service counted for the batch and for none of its answers: at the dearest, since nobody knows what it was.
    cost += max(_tokens(theirs, "input") - input_tokens, 0) * more.input
    cost += max(_tokens(theirs, "output") - output_tokens, 0) * more.output
    return cost, unknown


def _dearest_kind(price: Price, endpoint: str) -> Price:
    """The price where answers do not tell all kinds of tokens apart: input that may have been written to a cache, pictures and texts."""
    has_pictures = endpoint in _IMAGES

    def dearest(rates: Rates) -> Rates:
        image_input, image_output = (
            (rates.image_input, rates.image_output) if has_pictures else (0, 0)
        )
        return rates._replace(
            input=max(rates.input, rates.cache_write, image_input),
            output=max(rates.output, image_output),
        )

    tiers = tuple(tier._replace(rates=dearest(tier.rates)) for tier in price.tiers)
    return replace(price, rates=dearest(price.rates), tiers=tiers)


def _usage(remote: str | None) -> dict[str, Json]:
    """What the service says that a batch took; {} where it says nothing."""
    found: Any = json.loads(remote or "{}")
    usage = found.get("usage") if isinstance(found, dict) else None
    return usage if isinstance(usage, dict) else {}


def _tokens(usage: dict[str, Json], kind: str) -> int:
    value = usage.get(f"{kind}_tokens")
    return value if isinstance(value, int) and value > 0 else 0
