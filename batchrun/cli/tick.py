"""`batchrun tick`: one pass, made for cron: silent unless a job ended or a person is needed."""

from typing import TYPE_CHECKING

import click

from batchrun.cli.invocation import Invocation
from batchrun.cli.options import Duration, shared
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
    help="Let the local model work for at most this long; the next tick goes on.",
)
@shared("home", "backend", "json")
@click.pass_obj
def command(invocation: Invocation, *, work_s: float, home: str | None, backend: str | None) -> int:
    """One pass over everything in the home: find, poll, collect, retry, send.

    Prints only when a job has ended or a person is needed, so a mail from cron is news. Where another batchrun is at work in the
    home it leaves at once, silently, with exit code 0: that one does the same.
    """
    from batchrun.api import worst_exit_code
    from batchrun.cli.errors import show_warning
    from batchrun.cli.finishing import pass_json, show_jobs, show_problems
    from batchrun.cli.opening import open_batchrun
    from batchrun.errors import BackendError

    batchrun = open_batchrun(invocation, home, backend=backend)
    paused_before = _paused(batchrun.status())
    result = batchrun.tick(work_s=work_s)
    if result is None:
        return 0
    if result.warning is not None:
        show_warning(result.warning, invocation)
    jobs = batchrun.status()
    ended = [job for job in jobs if job.id in result.ended and not job.is_open]
    if invocation.is_json:
        document = pass_json(batchrun, jobs=ended, problems=result.problems, next_at=result.next_at)
        put_json(document)
    else:
        show_jobs(batchrun, ended)
    codes = [job.exit_code for job in ended] + show_problems(result.problems, invocation)
    paused = _paused(jobs)
    for label in paused.keys() - paused_before.keys():
        codes.append(BackendError.exit_code)
        if not invocation.is_json:
            tell(f"batchrun: job {label} is paused: {paused[label]}")
    return worst_exit_code(codes)


def _paused(jobs: "tuple[JobStatus, ...]") -> dict[str, str]:
    """Jobs that wait for a person, and why. Told once, in the pass that paused them; `status` goes on saying it."""
    return {job.label: job.paused for job in jobs if job.paused is not None}
