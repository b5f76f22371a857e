"""Which limits are shown: those of a home, or those that some of its jobs fall under; and how they stand."""

import json
from collections.abc import Collection, Iterator

from batchrun.config import Config
from batchrun.ledger.connection import Ledger
from batchrun.ledger.standings import LimitStanding, limit_standings, limits_of_jobs
from batchrun.money.limits import Limit


def limits_under(
    ledger: Ledger, config: Config, now: int, *, jobs: Collection[int] | None = None
) -> tuple[LimitStanding, ...]:
    """How the limits stand that these jobs (ids) fall under; None: all of the settings, and those of the lines of jobs with open items."""
    if jobs is None:
        limits = [*config.budgets.limits, *limits_of_jobs(ledger, is_open=True)]
    else:
        limits = [limit for job in jobs for limit in _limits_of(ledger, config, job)]
    return limit_standings(ledger, limits, now)


def _limits_of(ledger: Ledger, config: Config, job: int) -> Iterator[Limit]:
    row = ledger.row(
        "select name, profile, settings ->> '$.tags' as tags from jobs where id = ?", (job,)
    )
    assert row is not None
    tags = tuple(json.loads(row["tags"] or "[]"))
    payer = config.payer(profile=row["profile"], job=row["name"], tags=tags)
    if payer is not None:
        yield from config.budgets.limits_of(payer)
        yield from limits_of_jobs(ledger, job=job)
