"""What each batch came to, with the price that says so: one row of the ledger for each, whatever the number of its items."""

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from batchrun.config import Config
from batchrun.ledger.connection import Ledger
from batchrun.ledger.states import FINAL_BATCH_STATES, BatchState
from batchrun.ledger.submissions import settings_from_json
from batchrun.model import JobSettings, Usage
from batchrun.money.billed import (
    Taken,
    billed,
    billed_cost,
    differences,
    service_usage,
    usage_of,
)
from batchrun.money.counting import IMAGE_URLS
from batchrun.money.price import Mode, Price
from batchrun.profiles import DEFAULT_ACCOUNT, LIVE_SUFFIX
from batchrun.spending.pricing import Asked, Pricing
from batchrun.spending.spans import Span

_CLIENT_TOOLS: Final = frozenset({"function", "custom"})  # what runs at the client costs no call
FORGOTTEN: Final = "(forgotten)"
TRIED: Final = "(try)"
_FINAL: Final = ", ".join(str(int(state)) for state in sorted(FINAL_BATCH_STATES))
_ENDED: Final = "b.ended_at, b.collected_at, b.planned_at"
# What may still run is booked where it must have ended, ahead of now: it is shown where it was given up.
_BOOKED: Final = (
    f"min(coalesce(k.booked_at, {_ENDED}), coalesce(b.collected_at, k.booked_at, {_ENDED}))"
)
_BATCHES: Final = f"""
select b.id, b.job, j.name, j.source, b.profile, b.state, b.endpoint, b.model, b.base_url, b.created_at, b.planned_at, b.remote,
  {_BOOKED} as booked_at, k.account, k.profile as billed_profile, k.job as billed_job, k.tags, k.price, k.cost, k.presumed, k.fees, k.is_overrun
from batch_rows b join jobs j on j.id = b.job left join bills k on k.batch = b.id
where b.state in ({_FINAL}) and {_BOOKED} >= ? and {_BOOKED} < ? order by b.id
"""
_TRIALS: Final = "select * from trials where booked_at >= ? and booked_at < ? order by id"
_TAKEN: Final = f"""
select u.* from batch_usage u join batch_rows b on b.id = u.batch left join bills k on k.batch = b.id
where b.state in ({_FINAL}) and {_BOOKED} >= ? and {_BOOKED} < ? order by u.batch, u.size
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What one settled batch came to, or one trial. `profile` is that of the job, or of the twin's original; `booked_at` its end.

    `usage` is what it is billed for (money/billed.py). `cost` is None where no price is known (`why_not`), `saved` where no live price is. `prices`: the table
    and the day of the price; `is_frozen`: as it was when the batch was made, and not as it is today. `mode` None: on this machine, for nothing.
    `differs`: the service counts otherwise than the answers. `is_lost`: it was given up, and what it may have cost is not known.
    `fees`: of its cost, those of all calls of hosted tools that were allowed; `hosted_tools`: types of such tools whose fees are not known.
    """

    job: str
    tags: tuple[str, ...]
    account: str
    profile: str
    model: str
    mode: Mode | None
    booked_at: int
    requests: int
    usage: Usage
    cost: int | None
    presumed: int
    saved: int | None
    prices: str
    is_frozen: bool
    why_not: str
    live_prices: str
    differs: bool
    is_lost: bool
    is_overrun: bool
    fees: int
    hosted_tools: tuple[str, ...]


@dataclass(slots=True)
class Jobs:
    """What jobs say in their lines, each read once."""

    ledger: Ledger
    _known: dict[int, JobSettings] = field(default_factory=dict)

    def settings(self, job: int) -> JobSettings:
        """Of a forgotten job nothing is left."""
        found = self._known.get(job)
        if found is None:
            row = self.ledger.row("select source, settings from jobs where id = ?", (job,))
            assert row is not None
            found = (
                settings_from_json(row["settings"])
                if row["source"]
                else JobSettings(name=FORGOTTEN, path="", line=0)
            )
            self._known[job] = found
        return found


def spent_in(ledger: Ledger, config: Config, pricing: Pricing, span: Span) -> Iterator[Spent]:
    """Every batch that was settled, if it has used anything, and came to its end in these days."""
    jobs = Jobs(ledger)
    ends = (span.since, span.until)
    taken: dict[int, list[Taken]] = {}
    for row in ledger.rows(_TAKEN, ends):
        found = Taken(*(row[name] for name in Taken._fields))
        taken.setdefault(row["batch"], []).append(found)
    for row in ledger.rows(_BATCHES, ends):
        spent = _spent(row, jobs, config, pricing, taken.get(row["id"], []))
        if spent.requests or spent.usage != Usage() or spent.presumed or spent.is_lost:
            yield spent
    for row in ledger.rows(_TRIALS, ends):
        yield _tried(row)


def _spent(
    row: sqlite3.Row, jobs: Jobs, config: Config, pricing: Pricing, taken: list[Taken]
) -> Spent:
    settings = jobs.settings(row["job"])
    said = service_usage(row["remote"])
    items = usage_of(taken)
    asked = Asked(
        profile=row["profile"],
        model=row["model"],
        endpoint=row["endpoint"],
        base_url=row["base_url"] or "",
        at=row["created_at"] or row["planned_at"],
        settings=settings,
    )
    priced = pricing.of(asked, frozen=row["price"])
    is_of_pictures = row["endpoint"] in IMAGE_URLS

    def cost_at(price: Price | None) -> int | None:
        if price is None:
            return None
        return billed_cost(price, taken, said, is_of_pictures=is_of_pictures)

    cost = row["cost"] if row["cost"] is not None else cost_at(priced.price)
    live = cost_at(priced.live)
    fees = (row["fees"] or 0) if taken else 0
    if live is not None and row["cost"] is not None:
        live += fees  # they are part of what was booked, and the same however it is asked
    if priced.mode is None:
        cost, live = 0, 0
    profile = config.find(row["profile"])
    account = DEFAULT_ACCOUNT if profile is None else profile.account
    return Spent(
        job=row["billed_job"] or settings.name,
        tags=settings.tags if row["tags"] is None else tuple(json.loads(row["tags"])),
        account=row["account"] or account,
        profile=row["billed_profile"] or row["profile"].removesuffix(LIVE_SUFFIX),
        model=row["model"],
        mode=priced.mode,
        booked_at=row["booked_at"],
        requests=sum(one.requests for one in taken),
        usage=billed(items, said),
        cost=cost,
        presumed=row["presumed"] or 0,
        saved=None if cost is None or live is None else live - cost,
        prices=priced.prices,
        is_frozen=row["price"] is not None,
        why_not=priced.why_not if cost is None else "",
        live_prices=priced.live_prices,
        differs=any(differences(taken, said)),
        is_lost=row["state"] == BatchState.LOST,
        is_overrun=bool(row["is_overrun"]),
        fees=fees,
        hosted_tools=_hosted_tools(settings) if taken and not row["fees"] else (),
    )


def _tried(row: sqlite3.Row) -> Spent:
    """What `batchrun try` took beside this home: an amount that counts in its limits, and no tokens. One that was killed has not said what it came to."""
    amount, is_settled = row["amount"], row["is_settled"]
    return Spent(
        job=row["job"],
        tags=tuple(json.loads(row["tags"])),
        account=row["account"],
        profile=row["profile"],
        model=TRIED,
        mode=Mode.LIVE,
        booked_at=row["booked_at"],
        requests=0,
        usage=Usage(),
        cost=amount if is_settled else 0,
        presumed=0 if is_settled else amount,
        saved=0,
        prices="",
        is_frozen=True,
        why_not="",
        live_prices="",
        differs=False,
        is_lost=False,
        is_overrun=False,
        fees=0,
        hosted_tools=(),
    )


def _hosted_tools(settings: JobSettings) -> tuple[str, ...]:
    tools = settings.body.get("tools")
    types = [t.get("type") for t in tools if isinstance(t, dict)] if isinstance(tools, list) else []
    return tuple(kind for kind in types if isinstance(kind, str) and kind not in _CLIENT_TOOLS)
