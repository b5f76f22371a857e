"""What helps a job that waits for money: what is out, time, or a person, and then where the limit stands. Pure."""

import re
from typing import Final

from batchrun.clock import rfc3339
from batchrun.money.limits import Limit, Period, Scope

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


def remedy(
    limit: Limit, now: int, *, settings: str, source: str, is_bound: bool, needs: int = 0
) -> str:
    """How a job goes on that a limit stops. `settings` and `source`: where the limits and the job line stand; `needs`: what its next request may cost at least.

    `is_bound`: something that is out may yet make room.
    """
    return f"{_by_itself(limit, now, is_bound=is_bound, needs=needs)}. {how_to_raise(limit, settings, source)}"


def how_to_raise(limit: Limit, settings: str, source: str) -> str:
    """`Or raise month in [budget.tag.eu] of /srv/nightly/batchrun.toml`: where the amount is changed."""
    key = limit.period if limit.is_hard else f"soft_{limit.period}"
    if limit.is_own:
        what = "'budget'" if limit.period is Period.TOTAL else f"{str(key)!r} in 'budget'"
        return f"To raise it, change {what} in the job line of {source} and submit that again"
    return (
        f"To raise it, change {str(key)!r} under [{_table(limit)}] in {limit.settings or settings}"
    )


def _by_itself(limit: Limit, now: int, *, is_bound: bool, needs: int) -> str:
    if is_bound:
        return "More is sent as batches that are out are settled for less than is reserved for them"
    if limit.period is Period.TOTAL:
        whose = "the job's whole life" if limit.scope is Scope.JOB else "all time"
        return f"This limit is for {whose}: only a larger one lets more be sent"
    if needs > limit.amount:
        return f"That is more than a whole {limit.period} may cost: only a larger limit lets it be sent"
    ends_at = limit.period.ends(now)
    assert ends_at is not None, "a day and a month end"
    return f"It goes on by itself from {rfc3339(ends_at)} on, when the next {limit.period} begins (UTC)"


def _table(limit: Limit) -> str:
    if limit.scope is Scope.HOME:
        return "budget"
    name = limit.name if _BARE.fullmatch(limit.name) else f'"{limit.name}"'
    return f"budget.{limit.scope}.{name}"
