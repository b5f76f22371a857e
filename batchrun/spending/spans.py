"""Spans of days and months, in UTC, as limits and the services' own bills have them. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from batchrun.errors import UsageError
from batchrun.money.limits import Period

_DAY_S = 86_400
_YEAR_MONTHS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Whole days: from `first` to `last`, both of them within."""

    first: date
    last: date

    @property
    def since(self) -> int:
        """Its first second, unix time."""
        return _start(self.first)

    @property
    def until(self) -> int:
        """The first second after it."""
        return _start(self.last) + _DAY_S

    @property
    def words(self) -> str:
        """`2026-11-01 to 2026-11-22`, `2026-11-22`."""
        return str(self.first) if self.first == self.last else f"{self.first} to {self.last}"

    def days(self) -> Iterator[str]:
        """Each day of it."""
        for n in range((self.last - self.first).days + 1):
            yield str(self.first + timedelta(days=n))

    def months(self) -> Iterator[str]:
        """Each month that it touches."""
        yield from dict.fromkeys(day[:7] for day in self.days())


def span_of(
    *,
    now: int,
    by_month: bool,
    month: str | None = None,
    since: str | None = None,
    until: str | None = None,
) -> Span:
    """What the options of `spend` mean: a month, or days from one to another; without any the month that it is, by month the last twelve.

    `since` and `until` are days, or months, of which they take the first and the last day. Raises UsageError for what is neither.
    """
    today = datetime.fromtimestamp(now, UTC).date()
    if month is not None:
        if since is not None or until is not None:
            raise UsageError("--month says both ends. Leave out --since and --until, or --month.")
        first = _day(month, "--month")
        return Span(first=first.replace(day=1), last=_month_end(first))
    last = today if until is None else _day(until, "--until")
    if until is not None and _is_month(until):
        last = _month_end(last)
    if since is not None:
        first = _day(since, "--since")
    elif by_month:
        first = last.replace(day=1)
        months = first.year * _YEAR_MONTHS + first.month - _YEAR_MONTHS
        first = first.replace(year=months // _YEAR_MONTHS, month=months % _YEAR_MONTHS + 1)
    else:
        first = last.replace(day=1)
    if first > last:
        raise UsageError(f"--since {first} is after --until {last}.")
    return Span(first=first, last=last)


def day_of(at: int) -> str:
    """The day of a moment: `2026-11-22`."""
    return str(datetime.fromtimestamp(at, UTC).date())


def _start(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def _month_end(day: date) -> date:
    ends = Period.MONTH.ends(_start(day))
    assert ends is not None
    return datetime.fromtimestamp(ends - 1, UTC).date()


def _is_month(text: str) -> bool:
    return text.count("-") == 1


def _day(text: str, option: str) -> date:
    try:
        day = date.fromisoformat(f"{text}-01" if _is_month(text) else text)
    except ValueError:
        raise UsageError(
            f"{option} {text!r} is no day or month. Write 2026-11-22 or 2026-11."
        ) from None
    if not 1970 <= day.year <= 9998:
        raise UsageError(f"{option} {text!r} is no day of ours.")
    return day
