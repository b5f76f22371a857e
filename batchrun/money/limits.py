"""Limits: what may be spent by whom in which time, as `[budget]` in `batchrun.toml` and the job lines say. Pure.

A limit is an amount in a period of a scope. Every limit that a job falls under holds, whichever is the tightest. Days and months are those of
UTC, as on the services' own bills.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from batchrun.configtable import ConfigTable
from batchrun.model import NAME_PATTERN, Allowance, Json
from batchrun.money.amounts import LIMIT_DOLLARS, dollars, picodollars

NOTICES: Final = (50, 75, 90)  # percent
_PERIODS: Final = ("day", "month", "total")
_SOFT: Final = "soft_"
_PERCENT_MOST: Final = 100


class Scope(StrEnum):
    """Whose spending a limit bounds. An account is what profiles share that are paid from one purse."""

    HOME = "home"
    ACCOUNT = "account"
    PROFILE = "profile"
    TAG = "tag"
    JOB = "job"


class Period(StrEnum):
    """The time that a limit is for. TOTAL never ends."""

    DAY = "day"
    MONTH = "month"
    TOTAL = "total"

    def since(self, now: int) -> int:
        """When the current one began (unix seconds); 0 for TOTAL."""
        moment = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        match self:
            case Period.DAY:
                return int(moment.timestamp())
            case Period.MONTH:
                return int(moment.replace(day=1).timestamp())
            case Period.TOTAL:
                return 0

    def ends(self, now: int) -> int | None:
        """When the next one begins; None for TOTAL."""
        start = datetime.fromtimestamp(self.since(now), UTC)
        match self:
            case Period.DAY:
                return int(start.timestamp()) + 86_400
            case Period.MONTH:
                later = start.replace(
                    year=start.year + start.month // 12, month=start.month % 12 + 1
                )
                return int(later.timestamp())
            case Period.TOTAL:
                return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """An amount (picodollars) that a scope may spend in a period. `name`: of the account, profile, tag or job; "" of the home.

    `is_own`: the job's own line says it, and not the settings. `settings`: the file that says it, where that is not the one that all else is from.
    """

    scope: Scope
    name: str
    period: Period
    amount: int
    is_hard: bool = True
    is_own: bool = False
    settings: str = ""

    @property
    def words(self) -> str:
        """`$10.00 a month of account 'acme'`."""
        time = {Period.DAY: " a day", Period.MONTH: " a month", Period.TOTAL: " in all"}[
            self.period
        ]
        whose = "" if self.scope is Scope.HOME else f" of {self.scope} {self.name!r}"
        soft = "" if self.is_hard else " (soft)"
        return f"{dollars(self.amount)}{time}{whose}{soft}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Payer:
    """Under which scopes a job's batches fall. `profile` is that of the job, or of the twin's original."""

    account: str
    profile: str
    job: str
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Budgets:
    """What `batchrun.toml` says. `notices` are percents of every limit at which a person is told. `beside`: limits that hold besides."""

    home: Allowance = field(default_factory=Allowance)
    named: Mapping[Scope, Mapping[str, Allowance]] = field(default_factory=dict)
    notices: tuple[int, ...] = NOTICES
    beside: tuple[Limit, ...] = ()

    @property
    def limits(self) -> tuple[Limit, ...]:
        """Every limit of the file, and those that hold besides."""
        return (
            *_limits(Scope.HOME, "", self.home),
            *(
                limit
                for scope, allowances in self.named.items()
                for name, allowance in allowances.items()
                for limit in _limits(scope, name, allowance)
            ),
            *self.beside,
        )

    def under(self, others: "Budgets", settings: str) -> "Budgets":
        """The same where the limits of another file, `settings`, hold besides."""
        known = set(self.limits)
        more = (limit for limit in others.limits if limit not in known)
        beside = (*self.beside, *(replace(limit, settings=settings) for limit in more))
        return replace(self, beside=beside)

    def limits_of(self, payer: Payer, own: Allowance | None = None) -> tuple[Limit, ...]:
        """Every limit that a job falls under; `own` is what its job line says."""
        names: Mapping[Scope, Collection[str]] = {
            Scope.HOME: ("",),
            Scope.ACCOUNT: (payer.account,),
            Scope.PROFILE: (payer.profile,),
            Scope.TAG: payer.tags,
            Scope.JOB: (payer.job,),
        }
        of_file = [limit for limit in self.limits if limit.name in names[limit.scope]]
        return (*of_file, *own_limits(payer.job, own))


def own_limits(job: str, own: Allowance | None) -> tuple[Limit, ...]:
    """What the line of a job says that it may spend."""
    return tuple(_limits(Scope.JOB, job, own or Allowance(), is_own=True))


def _limits(scope: Scope, name: str, allowance: Allowance, *, is_own: bool = False) -> list[Limit]:
    found = []
    for is_hard in (True, False):
        for period in _PERIODS:
            amount = getattr(allowance, period if is_hard else _SOFT + period)
            if amount is not None:
                found.append(
                    Limit(
                        scope=scope,
                        name=name,
                        period=Period(period),
                        amount=amount,
                        is_hard=is_hard,
                        is_own=is_own,
                    )
                )
    return found


def read_budgets(table: Json, where: str, problems: list[str]) -> Budgets:
    """The table [budget] with those inside it; what is wrong is added to `problems`. `where` is the file."""
    if not isinstance(table, dict):
        problems.append(f"{where}: 'budget' is a table. Write [budget].")
        return Budgets()
    reader = ConfigTable(f"{where}: [budget]", table, problems)
    home = _allowance(reader)
    named: dict[Scope, dict[str, Allowance]] = {}
    for scope in Scope:
        if scope is not Scope.HOME:
            outer = reader.table(str(scope))
            named[scope] = {name: _inner(outer, name) for name in outer.names()}
            outer.end()
    notices = reader.integers("notices", NOTICES, least=1, most=_PERCENT_MOST)
    reader.end()
    return Budgets(home=home, named=named, notices=tuple(sorted(set(notices))))


def _inner(outer: ConfigTable, name: str) -> Allowance:
    reader = outer.table(name)
    if re.search(NAME_PATTERN, name) is None:
        reader.problem(
            "is for a name that there cannot be: names have 1 to 64 of A-Z, a-z, 0-9, '.', '_' and '-'"
        )
    allowance = _allowance(reader)
    reader.end()
    return allowance


def _allowance(reader: ConfigTable) -> Allowance:
    amounts = {}
    for key in (*_PERIODS, *(_SOFT + period for period in _PERIODS)):
        amount = reader.amount(key)
        if amount is not None and amount > LIMIT_DOLLARS:
            reader.problem(f"has {key} = {amount}; it takes dollars, {LIMIT_DOLLARS:,} at most")
            amount = None
        amounts[key] = None if amount is None else picodollars(amount)
    return Allowance(**amounts)
