"""The report of what was spent: batches in groups, their sum, and how every limit stands."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from batchrun.config import Config
from batchrun.ledger.connection import Ledger
from batchrun.ledger.standings import LimitStanding, limit_standings, limits_of_jobs
from batchrun.ledger.states import IS_OPEN_BATCH
from batchrun.model import Usage
from batchrun.money.amounts import dollars
from batchrun.spending.batches import TRIED, Spent, spent_in
from batchrun.spending.pricing import FREE, Pricing
from batchrun.spending.spans import Span, day_of

UNTAGGED: Final = "(no tag)"
_DAYS_SHOWN: Final = 100  # of a timeline by days; longer ones go by months
_PERCENT: Final = 100


class By(StrEnum):
    """What the rows of a report are."""

    DAY = "day"
    MONTH = "month"
    JOB = "job"
    MODEL = "model"
    PROFILE = "profile"
    TAG = "tag"
    ACCOUNT = "account"


class Row(NamedTuple):
    """Batches added up. Amounts are picodollars; `cost` and `saved` are of the requests whose prices are known.

    `prices` are the tables that they come from. `unpriced`: requests without any price. `uncompared`: priced ones of which no live price is known, so that nothing is said of what they saved.
    """

    name: str
    batches: int = 0
    requests: int = 0
    usage: Usage = Usage()
    cost: int = 0
    presumed: int = 0
    saved: int = 0
    unpriced: int = 0
    uncompared: int = 0
    prices: tuple[str, ...] = ()

    @property
    def is_priced(self) -> bool:
        """Whether some of it has a price, or nothing needs one."""
        return self.unpriced < self.requests or not self.requests

    @property
    def is_compared(self) -> bool:
        """Whether some of it has a live price, too."""
        return self.unpriced + self.uncompared < self.requests or not self.requests

    @property
    def cost_words(self) -> str:
        """`$4.70`, `$4.70 + ?` where a part of it has no price, or `unknown`: what is not known is never shown as nothing."""
        if not self.unpriced:
            return dollars(self.cost)
        return f"{dollars(self.cost)} + ?" if self.is_priced else "unknown"

    @property
    def saved_words(self) -> str:
        """The same of what was saved, rounded down; `-$0.02` where it cost more."""
        if not self.is_compared:
            return "unknown"
        amount = (
            dollars(self.saved, is_down=True) if self.saved >= 0 else f"-{dollars(-self.saved)}"
        )
        return f"{amount} + ?" if self.unpriced or self.uncompared else amount

    def plus(self, spent: Spent) -> "Row":
        """With one batch more."""
        is_priced = spent.cost is not None
        known = (
            self.prices
            if not spent.prices or spent.prices in self.prices
            else (*self.prices, spent.prices)
        )
        return Row(
            name=self.name,
            batches=self.batches + 1,
            requests=self.requests + spent.requests,
            usage=_added(self.usage, spent.usage),
            cost=self.cost + (spent.cost or 0),
            presumed=self.presumed + spent.presumed,
            saved=self.saved + (spent.saved or 0),
            unpriced=self.unpriced + (0 if is_priced else spent.requests),
            uncompared=self.uncompared
            + (spent.requests if is_priced and spent.saved is None else 0),
            prices=known,
        )


class Prices(NamedTuple):
    """A table of prices with its day, and how many requests it priced. `is_frozen`: as it was when their batches were made."""

    source: str
    is_frozen: bool
    requests: int


class Unpriced(NamedTuple):
    """Requests of a model that no price is known for, and how to give one."""

    model: str
    requests: int
    why_not: str


class Underway(NamedTuple):
    """Batches that are not settled: how many, what is reserved for those that have a bill, and how many have none."""

    batches: int
    reserved: int
    unbilled: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What was spent in a span, as of `at`. `batches` are those that came to their end in it, `total` is all of them."""

    at: int
    span: Span
    batches: tuple[Spent, ...]
    total: Row
    underway: Underway
    limits: tuple[LimitStanding, ...]
    notes: tuple[str, ...]

    def rows(self, by: By) -> tuple[Row, ...]:
        """In groups: days and months in their order, all else by cost. A batch counts under each of its tags."""
        groups: dict[str, list[Spent]] = {}
        for spent in self.batches:
            for name in _NAMES[by](spent):
                groups.setdefault(name, []).append(spent)
        rows = [_sum(name, group) for name, group in groups.items()]
        if by in {By.DAY, By.MONTH}:
            return tuple(sorted(rows))
        return tuple(sorted(rows, key=lambda row: (-row.cost, -row.requests, row.name)))

    @property
    def timeline(self) -> tuple[tuple[str, int], ...]:
        """What was spent on each day that has come, or in each month of a long span; those on which nothing was, too."""
        days = [day for day in self.span.days() if day <= day_of(self.at)]
        by = By.DAY if len(days) <= _DAYS_SHOWN else By.MONTH
        costs = {row.name: row.cost for row in self.rows(by)}
        names = days if by is By.DAY else dict.fromkeys(day[:7] for day in days)
        return tuple((name, costs.get(name, 0)) for name in names)

    @property
    def prices(self) -> tuple[Prices, ...]:
        """The tables that the costs come from."""
        found: dict[tuple[str, bool], int] = {}
        for spent in self.batches:
            if spent.cost is not None and spent.prices != FREE:
                key = (spent.prices, spent.is_frozen)
                found[key] = found.get(key, 0) + spent.requests
        return tuple(Prices(*key, requests) for key, requests in sorted(found.items()))

    @property
    def live_prices(self) -> tuple[str, ...]:
        """The tables that savings are reckoned from."""
        return tuple(sorted({spent.live_prices for spent in self.batches} - {""}))

    @property
    def unpriced(self) -> tuple[Unpriced, ...]:
        """What no price is known for: it is in no cost."""
        found: dict[tuple[str, str], int] = {}
        for spent in self.batches:
            if spent.cost is None:
                key = (spent.model, spent.why_not)
                found[key] = found.get(key, 0) + spent.requests
        return tuple(Unpriced(key[0], n, key[1]) for key, n in sorted(found.items()))


def spending(ledger: Ledger, config: Config, span: Span, *, now: int) -> Spending:
    """What was spent; reads rows of batches and jobs, and none of items. Raises LedgerError."""
    batches = tuple(spent_in(ledger, config, Pricing(config), span))
    return Spending(
        at=now,
        span=span,
        batches=batches,
        total=_sum("total", batches),
        underway=_underway(ledger),
        limits=limit_standings(ledger, (*config.budgets.limits, *limits_of_jobs(ledger)), now),
        notes=tuple(_notes(batches)),
    )


def _sum(name: str, batches: Iterable[Spent]) -> Row:
    row = Row(name)
    for spent in batches:
        row = row.plus(spent)
    return row


_NAMES: Final[Mapping[By, Callable[[Spent], tuple[str, ...]]]] = {
    By.DAY: lambda spent: (day_of(spent.booked_at),),
    By.MONTH: lambda spent: (day_of(spent.booked_at)[:7],),
    By.JOB: lambda spent: (spent.job,),
    By.MODEL: lambda spent: (spent.model,),
    By.PROFILE: lambda spent: (spent.profile,),
    By.TAG: lambda spent: spent.tags or (UNTAGGED,),
    By.ACCOUNT: lambda spent: (spent.account,),
}


def _added(one: Usage, other: Usage) -> Usage:
    return Usage(
        input_tokens=one.input_tokens + other.input_tokens,
        cached_tokens=one.cached_tokens + other.cached_tokens,
        cache_write_tokens=other.cache_write_tokens
        if one.cache_write_tokens is None
        else one.cache_write_tokens + (other.cache_write_tokens or 0),
        output_tokens=one.output_tokens + other.output_tokens,
        reasoning_tokens=one.reasoning_tokens + other.reasoning_tokens,
    )


def _underway(ledger: Ledger) -> Underway:
    rows = list(
        ledger.rows(
            "select k.reserved from batch_rows b left join bills k on k.batch = b.id "
            f"where b.{IS_OPEN_BATCH}"
        )
    )
    reserved = [int(row["reserved"]) for row in rows if row["reserved"] is not None]
    return Underway(len(rows), sum(reserved), len(rows) - len(reserved))


def _notes(found: Sequence[Spent]) -> Iterator[str]:
    """What of the figures is not exact, or no figure has."""
    free = sum(spent.requests for spent in found if spent.mode is None)
    if free:
        yield f"{_counted(free, 'request', 'requests')} ran on this machine and cost nothing"
    if tried := sum(spent.cost or 0 for spent in found if spent.model == TRIED):
        yield f"{dollars(tried)} of it took `batchrun try`, whose requests and tokens are not kept"
    lost = sum(spent.is_lost and not spent.presumed for spent in found)
    if lost:
        yield f"given up as lost: {_counted(lost, 'batch', 'batches')}; what they may have cost is in no figure"
    hosted = sorted({tool for spent in found for tool in spent.hosted_tools})
    if fees := sum(spent.fees for spent in found):
        yield f"{dollars(fees)} of it are fees of tools that the service runs: nothing tells how often they were called, so all calls count that were allowed"
    if hosted:
        yield f"calls of {', '.join(hosted)} are billed beside the tokens, by the call: what they cost is in no figure"
    if differing := sum(spent.differs for spent in found):
        yield f"of {_counted(differing, 'batch', 'batches')} the service counts otherwise than the answers: the larger figures are taken"
    if overrun := sum(spent.is_overrun for spent in found):
        yield f"{_counted(overrun, 'batch', 'batches')} cost more than was reserved"


def _counted(count: int, one: str, more: str) -> str:
    return f"{count:,} {one if count == 1 else more}"
