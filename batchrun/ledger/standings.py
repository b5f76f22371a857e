"""How the limits of a home stand, and notices: the shares of each, as 50, 75 and 90 %, at which a person is told, each once.

A limit is what it says: of another amount it is another one, of which its own notices are due. Told shares are rows, so that no pass, crash or
second process tells one again.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from batchrun.clock import rfc3339
from batchrun.ledger.bills import Standing, standing
from batchrun.ledger.connection import Ledger
from batchrun.ledger.states import IS_OPEN_ITEM
from batchrun.model import Allowance
from batchrun.money.amounts import dollars
from batchrun.money.limits import Limit, Period, Scope, own_limits

BUDGET_NOTICE: Final = "budget_notice"  # the event
_PERCENT: Final = 100
_DATE: Final = len("2026-11-01")
_KEY: Final = "scope, name, period, since, is_hard, amount"
_LIMITED: Final = "select name, settings ->> '$.budget' as budget from jobs where source <> '' and settings ->> '$.budget' is not null"
# Not the whole settings: what reads them loads endpoints and schemas, and `status` shows limits.
_allowance: Final = msgspec.json.Decoder(Allowance).decode


class LimitStanding(NamedTuple):
    """How a limit stands in its current period, which ends at `ends_at` (None: never). `notices`: the shares of it, in percent, that were reached."""

    limit: Limit
    standing: Standing
    ends_at: int | None
    notices: tuple[int, ...] = ()

    @property
    def percent(self) -> int:
        """How much of it is spent or presumed to be, rounded down; 100 of a limit of nothing."""
        gone = self.standing.spent + self.standing.presumed
        return gone * _PERCENT // self.limit.amount if self.limit.amount else _PERCENT

    @property
    def left(self) -> int:
        """What may still be taken; below 0 where more is taken than it allows."""
        return self.limit.amount - self.standing.taken

    @property
    def left_words(self) -> str:
        """`$0.30 left`, rounded down; `$0.02 over`."""
        if self.left < 0:
            return f"{dollars(-self.left)} over"
        return f"{dollars(self.left, is_down=True)} left"

    @property
    def taken_words(self) -> str:
        """`$4.70 spent, $0.05 presumed, $0.10 reserved`."""
        stands = self.standing
        more = (
            (stands.presumed, "presumed"),
            (stands.reserved, "reserved"),
            (stands.aside, "set aside"),
        )
        parts = [f"{dollars(amount)} {what}" for amount, what in more if amount]
        return ", ".join([f"{dollars(stands.spent)} spent", *parts])


class Notice(NamedTuple):
    """So many percent of a limit are spent, or presumed to be: `spent` picodollars, `since` the beginning of its period (unix seconds)."""

    limit: Limit
    percent: int
    spent: int
    since: int
    at: int

    @property
    def words(self) -> str:
        """`75 % of $10.00 a month is spent: $7.60 since 2026-11-01 (UTC)`; of a limit that is passed, `more than $10.00 a month is spent: …`."""
        since = f" since {rfc3339(self.since)[:_DATE]} (UTC)" if self.since else ""
        share = "more than" if self.spent > self.limit.amount else f"{self.percent} % of"
        return f"{share} {self.limit.words} is spent: {dollars(self.spent)}{since}"


def limit_standings(ledger: Ledger, limits: Iterable[Limit], now: int) -> tuple[LimitStanding, ...]:
    """How each of these stands, in their order and each once."""
    return tuple(
        LimitStanding(
            limit,
            standing(ledger, limit, now),
            limit.period.ends(now),
            _reached(ledger, limit, now),
        )
        for limit in dict.fromkeys(limits)
    )


def limits_of_jobs(
    ledger: Ledger, *, job: int | None = None, is_open: bool = False, is_untold: bool = False
) -> list[Limit]:
    """What job lines say that their jobs may spend: of all, of one, of those with open items, or also of those that ended and of which nobody was told."""
    where = f"exists (select 1 from item_counts c where c.job = jobs.id and c.{IS_OPEN_ITEM} and c.n > 0)"
    if is_untold:
        where = f"(reported_at is null or {where})"
    elif not is_open:
        where = "1"
    rows = ledger.rows(
        f"{_LIMITED} and (?1 is null or id = ?1) and {where} order by name, id", (job,)
    )
    return [limit for row in rows for limit in own_limits(row["name"], _allowance(row["budget"]))]


def note_shares(ledger: Ledger, limits: Iterable[Limit], percents: Sequence[int], now: int) -> None:
    """Record which shares of these limits are reached by now, and an event for the largest of each that is new."""
    for found in limit_standings(ledger, limits, now):
        limit, gone = found.limit, found.standing.spent + found.standing.presumed
        new = [
            percent
            for percent in percents
            if percent not in found.notices and 0 < percent * limit.amount <= gone * _PERCENT
        ]
        if not new:
            continue
        with ledger.transaction():
            ledger.executemany(
                f"insert or ignore into budget_notices ({_KEY}, percent, spent, at) values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                ((*_key(limit, now), percent, gone, now) for percent in new),
            )
            ledger.execute(
                "insert into events (at, event, detail) values (?, ?, ?)",
                (
                    now,
                    BUDGET_NOTICE,
                    json.dumps({"limit": limit.words, "percent": max(new), "spent": gone}),
                ),
            )


def untold_notices(ledger: Ledger) -> tuple[Notice, ...]:
    """What no command has told, of each limit and period the largest share only."""
    return tuple(
        Notice(
            limit=Limit(
                scope=Scope(row["scope"]),
                name=row["name"],
                period=Period(row["period"]),
                amount=row["amount"],
                is_hard=bool(row["is_hard"]),
            ),
            percent=row["percent"],
            spent=row["spent"],
            since=row["since"],
            at=row["at"],
        )
        for row in ledger.rows(
            f"select {_KEY}, max(percent) as percent, spent, at from budget_notices where told_at is null group by {_KEY} order by at, {_KEY}"
        )
    )


def mark_notices_told(ledger: Ledger, notices: Iterable[Notice], at: int) -> None:
    """A person was told of these, and so of the smaller shares of the same limits."""
    with ledger.transaction():
        ledger.executemany(
            f"update budget_notices set told_at = ? where ({_KEY}) = (?, ?, ?, ?, ?, ?) and percent <= ? and told_at is null",
            ((at, *_key(one.limit, one.since), one.percent) for one in notices),
        )


def _reached(ledger: Ledger, limit: Limit, now: int) -> tuple[int, ...]:
    rows = ledger.rows(
        f"select percent from budget_notices where ({_KEY}) = (?, ?, ?, ?, ?, ?) order by percent",
        _key(limit, now),
    )
    return tuple(row["percent"] for row in rows)


def _key(limit: Limit, at: int) -> tuple[str, str, str, int, bool, int]:
    """Of the period that a moment is in."""
    since = limit.period.since(at)
    return limit.scope, limit.name, limit.period, since, limit.is_hard, limit.amount
