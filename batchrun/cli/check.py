"""`batchrun check`: everything that `submit` would refuse or warn of, without a key, the network or a trace."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from batchrun.cli.invocation import Invocation
from batchrun.cli.options import job_files, no_dedupe, shared, tools
from batchrun.cli.printing import counted, put, put_json
from batchrun.cli.signals import LongRunning

if TYPE_CHECKING:
    from batchrun.api import Prepared


@click.command(cls=LongRunning, short_help="Validate job files and their data, offline.")
@job_files
@click.option(
    "--items",
    metavar="PATH|-",
    help="Take the items from this file or glob, or from stdin (-), whatever the job line says.",
)
@no_dedupe
@tools
@shared("home", "backend", "json")
@click.pass_obj
def command(
    invocation: Invocation,
    *,
    files: tuple[str, ...],
    items: str | None,
    no_dedupe: bool,
    tools: str | None,
    home: str | None,
    backend: str | None,
) -> int:
    """Validate job files and their data, offline.

    Every error is told with its file and line, in one go. Nothing is sent and nothing is kept. Exit code 0 means that `submit`
    would take it (the guards apart, `max_new` and asking again: `submit --dry-run` looks at those).
    """
    from batchrun.cli.opening import open_for_files, with_tools
    from batchrun.cli.submitting import (
        Wishes,
        budget_line,
        job_json,
        show_errors,
        stdin_for,
        submit_options,
    )

    paths = [Path(file) for file in files]
    batchrun, _ = open_for_files(invocation, paths, home, backend=backend)
    options = submit_options(Wishes(items=items, no_dedupe=no_dedupe))
    checked = with_tools(batchrun, tools).check(paths, options, stdin=stdin_for(items))
    code = show_errors(checked, invocation)
    if invocation.is_json:
        put_json({"jobs": [{**job_json(job), "advice": _advice(job)} for job in checked]})
        return code
    for job in checked:
        if job.tally is not None:
            bad = f", {job.tally.bad:,} bad ones within its bad_items" if job.tally.bad else ""
            first = job.tally.canary
            canary = f"; {first:,} go first, as a canary" if first else ""
            shared = f"; {_shared(job.tally.shared)}" if job.tally.shared else ""
            put(
                f"{job.job} ({job.profile}): ok, {counted(job.tally.items, 'item')}{bad}{shared}{canary}"
            )
        if (line := budget_line(job)) is not None:
            put(line)
        for line in _advice(job):
            put(f"  advice: {line}")
    return code


def _advice(job: "Prepared") -> list[str]:
    """What would cost less, as far as the job line alone tells it: to count tokens takes more time than all the rest of a check."""
    from batchrun.estimating.advice import advice_at_sight

    if job.tally is None or job.settings is None:
        return []
    return list(advice_at_sight(job.settings, job.tally.items - job.tally.bad))


def _shared(count: int) -> str:
    if count == 1:
        return "1 asks what another asks, and is not asked"
    return f"{count:,} ask what others ask, and are not asked"
