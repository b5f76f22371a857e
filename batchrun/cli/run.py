"""`batchrun run`: the whole way, from the job file to the outputs and the report."""

from pathlib import Path
from typing import Any

import click

from batchrun.cli.invocation import Invocation
from batchrun.cli.options import Duration, job_files, running_tools, shared, submitting
from batchrun.cli.printing import put_json, tell
from batchrun.cli.signals import LongRunning


@click.command(
    cls=LongRunning, short_help="Submit, wait, write the outputs, report: the whole way."
)
@job_files
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N items of each job."
)
@click.option(
    "--timeout",
    "--for",
    "timeout_s",
    type=Duration(),
    help="Stop waiting after this long, with exit code 4; the same command goes on.",
)
@running_tools
@submitting
@shared("home", "backend", "json", "yes", "lock_wait")
@click.pass_obj
def command(
    invocation: Invocation,
    /,
    *,
    files: tuple[str, ...],
    limit: int | None,
    timeout_s: float | None,
    tools: str | None,
    tool_timeout_s: float,
    home: str | None,
    backend: str | None,
    yes: bool,
    lock_wait_s: float,
    **wishes: Any,
) -> int:
    """Submit job files, wait with progress, write the outputs and report: the whole way.

    Stopped half-way, by Ctrl-C or anything worse, the same command goes on where it was. On a finished job it does nothing and
    ends with the same exit code: 0, or 3 where items failed or were cancelled.
    """
    from batchrun.api import worst_exit_code
    from batchrun.cli.finishing import pass_json
    from batchrun.cli.opening import open_for_files, with_tools
    from batchrun.cli.submitting import Wishes, budget_line, job_line, show_errors, submit_files
    from batchrun.cli.waiting import wait_for

    paths = [Path(file) for file in files]
    batchrun, is_there = open_for_files(
        invocation, paths, home, backend=backend, lock_wait_s=lock_wait_s
    )
    batchrun = with_tools(batchrun, tools, tool_timeout_s)
    prepared, _ = submit_files(batchrun, paths, Wishes(**wishes), yes=yes, limit=limit, send=False)
    code = show_errors(prepared, invocation)
    queued = [job for job in prepared if job.tally is not None]
    if not queued:
        if invocation.is_json:
            put_json(pass_json(batchrun, jobs=(), problems=(), next_at=None))
        return worst_exit_code([code])
    if not invocation.is_json:
        for job in queued:
            tell(job_line(job))
            if (line := budget_line(job)) is not None:
                tell(line)
        if not is_there:
            tell(f"home: {batchrun.home.path}")
    names = [f"{job.job}@{job.profile}" for job in queued]
    return wait_for(invocation, batchrun, names, timeout_s=timeout_s, codes=[code])
