"""`batchrun status`: where every job stands. Reads the ledger only, and imports little: it is asked often."""

import sys
from typing import TYPE_CHECKING

import click

from batchrun.cli.invocation import Invocation
from batchrun.cli.opening import read_ledger, wanted_profile
from batchrun.cli.options import Duration, job_names, shared
from batchrun.cli.printing import is_terminal, put, put_json, tell
from batchrun.cli.standing import age, status_json, status_text
from batchrun.clock import rfc3339
from batchrun.errors import NotFinished
from batchrun.ledger.copied import copied_warning
from batchrun.ledger.slept import slept_warning
from batchrun.looking import job_statuses, worst_exit_code

if TYPE_CHECKING:
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

    With a JOB the exit code says it too: 0 done, 3 finished with failed items, 4 not finished. A name that several backends have
    run is written NAME@BACKEND.
    """
    if is_check:
        return _check(invocation, home, int(max_age_s))
    before = ""
    while True:
        with read_ledger(home) as ledger:
            found = job_statuses(ledger, jobs, profile=wanted_profile(backend))
            place = str(ledger.home.path)
            warning = copied_warning(ledger) or slept_warning(ledger, invocation.clock.now())
        if warning is not None and not before:
            from batchrun.cli.errors import show_warning

            show_warning(warning, invocation)
        before = _show(found, place, invocation, before=before, is_watch=watch)
        if not watch or not any(job.is_open for job in found):
            break
        invocation.clock.sleep_until(invocation.clock.now() + _WATCH_S)
    return worst_exit_code([job.exit_code for job in found]) if jobs else 0


def _show(
    jobs: "tuple[JobStatus, ...]",
    home: str,
    invocation: Invocation,
    *,
    before: str,
    is_watch: bool,
) -> str:
    """Print the table (while watching: over the last one at a terminal, elsewhere only when it has changed); returns its text."""
    now = invocation.clock.now()
    if invocation.is_json:
        put_json({"home": home, "now": rfc3339(now), "jobs": [status_json(job) for job in jobs]})
        return ""
    text = status_text(jobs, now) if jobs else f"no jobs yet in {home}"
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
