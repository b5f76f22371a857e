"""`batchrun wait`: passes until jobs are done."""

import click

from batchrun.cli.invocation import Invocation
from batchrun.cli.options import Duration, job_names, running_tools, shared
from batchrun.cli.signals import LongRunning


@click.command(cls=LongRunning, short_help="Go on until the jobs are done, with progress.")
@job_names
@click.option(
    "--timeout",
    "--for",
    "timeout_s",
    type=Duration(),
    help="Stop waiting after this long, with exit code 4.",
)
@running_tools
@shared("home", "backend", "json", "lock_wait")
@click.pass_obj
def command(
    invocation: Invocation,
    *,
    jobs: tuple[str, ...],
    timeout_s: float | None,
    tools: str | None,
    tool_timeout_s: float,
    home: str | None,
    backend: str | None,
    lock_wait_s: float,
) -> int:
    """Go on until the named jobs are done, or all of them.

    Every pass serves all jobs of the home. The home is free for other commands while this one sleeps.
    """
    from batchrun.cli.opening import open_batchrun, with_tools
    from batchrun.cli.waiting import wait_for

    batchrun = open_batchrun(invocation, home, backend=backend, lock_wait_s=lock_wait_s)
    batchrun = with_tools(batchrun, tools, tool_timeout_s)
    return wait_for(invocation, batchrun, jobs, timeout_s=timeout_s)
