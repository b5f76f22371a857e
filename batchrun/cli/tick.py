"""`batchrun tick`: one pass, made for cron: silent unless a job ended, a person is needed or a share of a limit is reached."""

from typing import TYPE_CHECKING

import click

from batchrun.cli.invocation import Invocation
from batchrun.cli.options import Duration, running_tools, shared
from batchrun.cli.printing import put_json, tell
from batchrun.cli.signals import LongRunning

if TYPE_CHECKING:
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

    Prints only when a job has ended, a person is needed or a share of a limit is reached, so a mail from cron is news. Where another batchrun is at work in the
    home it leaves at once, silently, with exit code 0: that one does the same.
    """
    from batchrun.api import worst_exit_code
    from batchrun.cli.errors import show_warning
    from batchrun.cli.finishing import pass_json, show_jobs, show_problems
    from batchrun.cli.needing import tell_notices, untold_needs
    from batchrun.cli.opening import home_option, open_batchrun, with_tools
    from batchrun.errors import NotFinished
    from batchrun.looking import calls_line

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
    needs = untold_needs(batchrun, jobs)
    calling = [] if tools is not None else _calling(before, jobs)
    is_strange = (
        any(job.open_calls for job in jobs)
        and not result.problems  # of a file that cannot be loaded, say
        and batchrun.lends_nothing()
    )
    if is_strange:
        what = f"no job was submitted with the functions of {tools}, and calls wait for others"
        show_warning(f"{what}. Name the file that their job was submitted with.", invocation)
    notices = tell_notices(batchrun, is_json=invocation.is_json)
    if invocation.is_json:
        told = {job.id: job for job in (*ended, *needs.jobs, *calling)}.values()
        put_json(
            pass_json(
                batchrun,
                jobs=tuple(told),
                problems=result.problems,
                next_at=result.next_at,
                notices=notices,
            )
        )
    else:
        show_jobs(batchrun, ended)
    codes = [job.exit_code for job in ended] + show_problems(result.problems, invocation)
    if not invocation.is_json:
        for line in needs.lines(home_option(batchrun.home)):
            tell(line)
        for job in calling:
            tell(f"batchrun: job {job.label} {calls_line(job.open_calls)}")
    batchrun.mark_told([job.id for job in ended])
    needs.mark_told(batchrun)
    codes += [*needs.codes, *(NotFinished.exit_code for _ in calling)]
    if is_strange:
        codes.append(NotFinished.exit_code)
    return worst_exit_code(codes)


def _calling(before: "tuple[JobStatus, ...]", after: "tuple[JobStatus, ...]") -> "list[JobStatus]":
    """Jobs whose answers call functions since this pass: told once. `status` goes on saying it."""
    known = {job.id for job in before if job.open_calls}
    return [job for job in after if job.open_calls and job.id not in known]
