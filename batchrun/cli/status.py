"""`batchrun status`: where every job stands. Reads the ledger only, and imports little: it is asked often."""

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import click

from batchrun.cli.invocation import Invocation
from batchrun.cli.opening import read_ledger, wanted_profile
from batchrun.cli.options import Duration, job_names, shared
from batchrun.cli.printing import is_terminal, put, put_json, tell
from batchrun.cli.standing import age, status_json, status_text
from batchrun.clock import rfc3339
from batchrun.errors import NotFinished, UsageError
from batchrun.ledger.copied import copied_warning
from batchrun.ledger.shortages import has_limited_jobs, overruns
from batchrun.ledger.slept import slept_warning
from batchrun.looking import job_statuses, worst_exit_code
from batchrun.settingsfile import find_settings

if TYPE_CHECKING:
    from batchrun.ledger.connection import Ledger
    from batchrun.ledger.standings import LimitStanding
    from batchrun.looking import JobStatus

_WATCH_S = 5
_CLEAR = "\x1b[2J\x1b[H"


@click.command(short_help="Show where every job stands.")
@job_names
@click.option("--watch", is_flag=True, help="Show it again every 5 seconds until nothing is open.")
@click.option(
    "--check",
    "is_check",
    is_flag=True,
    help="Exit with 4 when work has been due for longer than --max-age: cron or the timer is not running.",
)
@click.option(
    "--max-age",
    "max_age_s",
    type=Duration(),
    default="1h",
    show_default=True,
    help="See --check.",
)
@shared("home", "backend", "json")
@click.pass_obj
def command(
    invocation: Invocation,
    *,
    jobs: tuple[str, ...],
    watch: bool,
    is_check: bool,
    max_age_s: float,
    home: str | None,
    backend: str | None,
) -> int:
    """Show where every job stands, or the named ones.

    With a JOB the exit code says it too: 0 done, 3 finished with failed items, 4 not finished, 8 nor going to be by itself. A name that several backends have
    run is written NAME@BACKEND.
    """
    if is_check:
        return _check(invocation, home, int(max_age_s))
    before, told = "", set[str]()
    while True:
        with read_ledger(home) as ledger:
            found = job_statuses(ledger, jobs, profile=wanted_profile(backend))
            place = str(ledger.home.path)
            budget = _budget(ledger, invocation.clock.now(), found if jobs else None)
            warning = copied_warning(ledger) or slept_warning(ledger, invocation.clock.now())
        for message in {warning, budget.problem} - told - {None}:
            from batchrun.cli.errors import show_warning

            told.add(str(message))
            show_warning(str(message), invocation)
        before = _show(found, budget, place, invocation, before=before, is_watch=watch)
        if not watch or not any(job.is_open for job in found):
            break
        invocation.clock.sleep_until(invocation.clock.now() + _WATCH_S)
    return worst_exit_code([job.exit_code for job in found]) if jobs else 0


class _Budget(NamedTuple):
    """How limits stand, the accounts that a batch has stopped (account, batch, by how much it cost more than was reserved), or why that is not known."""

    limits: "tuple[LimitStanding, ...]" = ()
    stopped: tuple[tuple[str, int, int], ...] = ()
    problem: str | None = None


def _budget(ledger: "Ledger", now: int, jobs: "Sequence[JobStatus] | None") -> _Budget:
    """Of the jobs that were named, or (None) of the home. Where nobody has set a limit nothing is loaded for it."""
    stopped = tuple(overruns(ledger))
    try:
        path = find_settings(None, ledger.home.path)
        if not has_limited_jobs(ledger) and (path is None or b"budget" not in path.read_bytes()):
            return _Budget(stopped=stopped)
        from batchrun.config import load_config
        from batchrun.limitview import limits_under

        config = load_config(None, ledger.home.path, os.environ)
    except UsageError as exc:  # what stands in the ledger is shown all the same
        return _Budget(stopped=stopped, problem=f"limits are not shown: {exc.message}")
    except OSError as exc:
        return _Budget(
            stopped=stopped, problem=f"limits are not shown: {exc.filename}: {exc.strerror}"
        )
    numbers = None if jobs is None else [job.id for job in jobs]
    return _Budget(limits=limits_under(ledger, config, now, jobs=numbers), stopped=stopped)


def _budget_text(budget: _Budget) -> str:
    if not budget.limits and not budget.stopped:
        return ""
    from batchrun.cli.amounts import limit_line
    from batchrun.money.amounts import dollars

    lines = [f"budget: {limit_line(found)}" for found in budget.limits]
    lines += [
        f"stopped: account {account!r}, by batch {batch}, which cost {dollars(over)} more than was reserved. Go on with: batchrun resume"
        for account, batch, over in budget.stopped
    ]
    return "".join(f"\n{line}" for line in lines)


def _budget_json(budget: _Budget) -> dict[str, object]:
    if not budget.limits and not budget.stopped:
        return {"limits": [], "stopped": []}
    from batchrun.cli.amounts import amount_json, limit_json

    return {
        "limits": [limit_json(found) for found in budget.limits],
        "stopped": [
            {"account": account, "batch": batch, "over": amount_json(over)}
            for account, batch, over in budget.stopped
        ],
    }


def _show(
    jobs: "tuple[JobStatus, ...]",
    budget: _Budget,
    home: str,
    invocation: Invocation,
    *,
    before: str,
    is_watch: bool,
) -> str:
    """Print the table (while watching: over the last one at a terminal, elsewhere only when it has changed); returns its text."""
    now = invocation.clock.now()
    if invocation.is_json:
        document = {"home": home, "now": rfc3339(now), "jobs": [status_json(job) for job in jobs]}
        put_json({**document, **_budget_json(budget)})
        return ""
    text = status_text(jobs, now) if jobs else f"no jobs yet in {home}"
    text += _budget_text(budget)
    if is_watch and is_terminal(sys.stdout):
        put(text, over=_CLEAR)
    elif text != before:
        put(text)
    return text


def _check(invocation: Invocation, home: str | None, max_age_s: int) -> int:
    from batchrun.cli.opening import open_batchrun

    batchrun = open_batchrun(invocation, home)
    last = batchrun.last_pass_at()
    is_overdue = batchrun.is_overdue(max_age_s)
    since = "never" if last is None else rfc3339(last)
    if invocation.is_json:
        document = {"home": str(batchrun.home.path), "overdue": is_overdue}
        put_json({**document, "last_pass_at": None if last is None else since})
    elif is_overdue:
        tell(
            f"batchrun: work has been due in {batchrun.home.path} for more than {age(max_age_s)}; the last pass ended: {since}. "
            "Look whether cron or the timer still runs `batchrun tick`."
        )
    else:
        put(f"ok: the last pass ended {since}")
    return NotFinished.exit_code if is_overdue else 0
