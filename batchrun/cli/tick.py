"""`batchrun tick`: one pass, made for cron: silent unless a job ended or a person is needed."""

from typing import TYPE_CHECKING

import click

from batchrun.cli.invocation import Invocation
from batchrun.cli.options import Duration, running_tools, shared
from batchrun.cli.printing import put_json, tell
from batchrun.cli.signals import LongRunning
from batchrun.clock import rfc3339
from batchrun.ledger.held import HOME

if TYPE_CHECKING:
    from collections.abc import Callable

    from batchrun.looking import JobStatus


@click.command(cls=LongRunning, short_help="One pass over everything in the home; made for cron.")
@click.option(
    "--for",
    "work_s",
    type=Duration(),
    default="5m",
    show_default=True,
    help="Let the local model and the functions of --tools work for at most this long; the next tick goes on.",
)
@running_tools
@shared("home", "backend", "json")
@click.pass_obj
def command(
    invocation: Invocation,
    *,
    work_s: float,
    tools: str | None,
    tool_timeout_s: float,
    home: str | None,
    backend: str | None,
) -> int:
    """One pass over everything in the home: find, poll, collect, retry, send.

    Prints only when a job has ended or a person is needed, so a mail from cron is news. Where another batchrun is at work in the
    home it leaves at once, silently, with exit code 0: that one does the same.
    """
    from batchrun.api import worst_exit_code
    from batchrun.cli.errors import show_warning
    from batchrun.cli.finishing import pass_json, show_jobs, show_problems
    from batchrun.cli.opening import home_option, open_batchrun, with_tools
    from batchrun.errors import BackendError, GuardError, NotFinished

    batchrun = open_batchrun(invocation, home, backend=backend)
    batchrun = with_tools(batchrun, tools, tool_timeout_s)
    before = batchrun.status()
    result = batchrun.tick(work_s=work_s)
    if result is None:
        return 0
    if result.warning is not None:
        show_warning(result.warning, invocation)
    jobs = batchrun.status()
    untold = batchrun.untold_ends()
    ended = [job for job in jobs if job.id in untold and not job.is_open]
    if invocation.is_json:
        document = pass_json(batchrun, jobs=ended, problems=result.problems, next_at=result.next_at)
        put_json(document)
    else:
        show_jobs(batchrun, ended)
    batchrun.mark_told([job.id for job in ended])
    codes = [job.exit_code for job in ended] + show_problems(result.problems, invocation)
    news = _news(before, jobs, _paused, "is paused: {}")
    codes += [BackendError.exit_code] * len(news)
    canaries = batchrun.untold_canaries()
    if failed := [job for job in jobs if job.has_failed_canary and job.id in canaries]:
        codes.append(GuardError.exit_code)
        news += [f"batchrun: job {job.label} is paused: {job.paused}" for job in failed]
        batchrun.mark_canaries_told([job.id for job in failed])
    if tools is None and (calling := _news(before, jobs, _calling, "{}")):
        codes.append(NotFinished.exit_code)
        news += calling
    if held := _held(jobs, batchrun.untold_holds(), home_option(batchrun.home)):
        codes.append(NotFinished.exit_code)
        news += held.values()
        batchrun.mark_holds_told(held)
    if not invocation.is_json:
        for line in news:
            tell(line)
    return worst_exit_code(codes)


def _news(
    before: "tuple[JobStatus, ...]",
    after: "tuple[JobStatus, ...]",
    why: "Callable[[JobStatus], str | None]",
    words: str,
) -> list[str]:
    """Jobs that wait for a person now and did not before this pass: told once. `status` goes on saying it."""
    known = {job.label for job in before if why(job) is not None}
    return [
        f"batchrun: job {job.label} {words.format(reason)}"
        for job in after
        if job.label not in known and (reason := why(job)) is not None
    ]


def _held(jobs: "tuple[JobStatus, ...]", untold: frozenset[int], option: str) -> dict[int, str]:
    """What a person holds back, by its number, where something waits behind it: told once."""
    from batchrun.cli.finishing import goes_on

    news = {}
    for job in jobs:
        if job.is_open and job.held_since is not None:
            number = HOME if job.is_home_held else job.id
            what = "the home" if job.is_home_held else f"job {job.label}"
            news[number] = (
                f"batchrun: {what} is held since {rfc3339(job.held_since)}; nothing more of it is sent. "
                f"Go on with: {goes_on(job, option)}"
            )
    return {number: line for number, line in news.items() if number in untold}


def _paused(job: "JobStatus") -> str | None:
    return None if job.has_failed_canary else job.paused


def _calling(job: "JobStatus") -> str | None:
    return next((why for why in job.waiting if "for tools:" in why), None)
