"""What was spent, as CSV and as JSON: amounts to the last digit."""

import csv
import io
from typing import Final

from batchrun.cli.amounts import amount_json, limit_json, usd
from batchrun.clock import rfc3339
from batchrun.spending.report import By, Row, Spending

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_COLUMNS: Final = (
    *("requests", "prompt_tokens", "cached_tokens", "cache_write_tokens"),
    *("completion_tokens", "reasoning_tokens"),
    *("cost_usd", "presumed_usd", "saved_usd", "unpriced_requests", "uncompared_requests"),
)


def spending_csv(spending: Spending, by: By) -> bytes:
    """The rows, amounts in dollars to the last digit; a cost of requests without any price is empty. No row for the total."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow((str(by), *_COLUMNS, "prices"))
    for row in spending.rows(by):
        usage = row.usage
        writer.writerow(
            (
                f"'{row.name}" if row.name.startswith(_FORMULA) else row.name,
                row.requests, usage.input_tokens, usage.cached_tokens, usage.cache_write_tokens, usage.output_tokens, usage.reasoning_tokens,
                usd(row.cost) if row.is_priced else "", usd(row.presumed), usd(row.saved) if row.is_compared else "", row.unpriced, row.uncompared, "; ".join(row.prices),
            )
        )  # fmt: skip
    return out.getvalue().encode("utf-8", "surrogatepass")


def spending_json(spending: Spending, by: By) -> dict[str, object]:
    """The document of `spend --json`; docs/command-line.md has its keys."""
    way = spending.underway
    return {
        "at": rfc3339(spending.at),
        "since": str(spending.span.first),
        "until": str(spending.span.last),
        "by": str(by),
        "rows": [_row_json(row) for row in spending.rows(by)],
        "total": {key: value for key, value in _row_json(spending.total).items() if key != "name"},
        "timeline": [{"name": name, "cost": amount_json(cost)} for name, cost in spending.timeline],
        "under_way": {
            "batches": way.batches,
            "reserved": amount_json(way.reserved),
            "unreserved_batches": way.unbilled,
        },
        "limits": [limit_json(limit) for limit in spending.limits],
        "unpriced": [
            {"model": one.model, "requests": one.requests, "why_not": one.why_not}
            for one in spending.unpriced
        ],
        "prices": [
            {"source": price.source, "frozen": price.is_frozen, "requests": price.requests}
            for price in spending.prices
        ],
        "live_prices": list(spending.live_prices),
        "notes": list(spending.notes),
    }


def _row_json(row: Row) -> dict[str, object]:
    usage = row.usage
    return {
        "name": row.name,
        "batches": row.batches,
        "requests": row.requests,
        "tokens": {
            "prompt": usage.input_tokens,
            "cached": usage.cached_tokens,
            "cache_write": usage.cache_write_tokens,
            "completion": usage.output_tokens,
            "reasoning": usage.reasoning_tokens,
        },
        "cost": amount_json(row.cost) if row.is_priced else None,
        "presumed": amount_json(row.presumed),
        "saved": amount_json(row.saved) if row.is_compared else None,
        "unpriced_requests": row.unpriced,
        "uncompared_requests": row.uncompared,
        "prices": list(row.prices),
    }
