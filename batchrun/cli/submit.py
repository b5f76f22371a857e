"""`batchrun submit`: queue what is new or changed, send what fits now, return."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from batchrun.cli.invocation import Invocation
from batchrun.cli.options import job_files, shared, submitting, tools
from batchrun.cli.printing import put, put_json, tell
from batchrun.cli.signals import LongRunning

if TYPE_CHECKING:
    from batchrun.api import Batchrun, Prepared
    from batchrun.cli.submitting import Wishes


@click.command(
    cls=LongRunning, short_help="Queue what is new or changed, send what fits now, return."
)
@job_files
@click.option(
    "--dry-run",
    "is_dry_run",
    is_flag=True,
    help="Say what would be queued; change nothing, send nothing.",
)
@tools
@submitting
@shared("home", "backend", "json", "yes", "lock_wait")
@click.pass_obj
def command(
    invocation: Invocation,
    /,
    *,
    files: tuple[str, ...],
    is_dry_run: bool,
    tools: str | None,
    home: str | None,
    backend: str | None,
    yes: bool,
    lock_wait_s: float,
    **wishes: Any,
) -> int:
    """Queue the items of job files that are new or changed, send what fits now, and return.

    Submitting a job again is how a nightly run works: answered items that did not change are not asked again. `tick` or `wait`
    does the rest. At a terminal it asks before it sends over 1,000 items.
    """
    from batchrun.cli.opening import open_for_files, with_tools
    from batchrun.cli.submitting import Wishes

    paths = [Path(file) for file in files]
    batchrun, is_there = open_for_files(
        invocation, paths, home, backend=backend, lock_wait_s=lock_wait_s
    )
    batchrun = with_tools(batchrun, tools)
    if is_dry_run:
        return _dry_run(invocation, batchrun, paths, Wishes(**wishes), is_there=is_there)
    return _submit(invocation, batchrun, paths, Wishes(**wishes), yes=yes)


def _submit(
    invocation: Invocation,
    batchrun: "Batchrun",
    files: list[Path],
    wishes: "Wishes",
    *,
    yes: bool,
) -> int:
    from batchrun.api import worst_exit_code
    from batchrun.cli.errors import error_json
    from batchrun.cli.finishing import goes_on, show_problems
    from batchrun.cli.needing import tell_notices
    from batchrun.cli.opening import home_option
    from batchrun.cli.submitting import budget_line, job_json, job_line, show_errors, submit_files
    from batchrun.clock import rfc3339

    prepared, result = submit_files(batchrun, files, wishes, yes=yes)
    codes = [show_errors(prepared, invocation)]
    problems = () if result is None else result.problems
    if invocation.is_json:
        next_at = None if result is None else result.next_at
        put_json(
            {
                "home": str(batchrun.home.path),
                "dry_run": False,
                "jobs": [job_json(job) for job in prepared],
                "problems": [error_json(problem) for problem in problems],
                "next_at": None if next_at is None else rfc3339(next_at),
                "notices": tell_notices(batchrun, is_json=True),
            }
        )
    queued = [job for job in prepared if job.tally is not None]
    if queued and not invocation.is_json:
        for job in queued:
            put(f"{job_line(job)}. Outputs: {job.outputs}")
            if (line := budget_line(job)) is not None:
                put(line)
        put(f"home: {batchrun.home.path}")
        tell_notices(batchrun, is_json=False)
    codes += show_problems(problems, invocation)
    labels = [f"{job.job}@{job.profile}" for job in queued]
    found = batchrun.status(labels) if queued else ()
    codes += [s.exit_code for s in found if s.has_failed_canary or s.is_stuck]
    paused = [status for status in found if status.is_open and status.paused]
    if queued and result is not None and not invocation.is_json:
        option = home_option(batchrun.home)
        for status in paused:
            tell(f"batchrun: job {status.label} is paused: {status.paused}")
        for status in found:
            if status.short is not None:
                tell(f"batchrun: job {status.label} waits for money: {status.short}")
        stopped = [
            s
            for s in found
            if s.is_open and (s.is_held or s.held_since or s.paused or s.needs_resume)
        ]
        held = [goes_on(status, option) for status in stopped]
        if held or result.next_at is not None:
            tools = _tools_option(batchrun, prepared)
            tell(f"Go on with: {'; '.join(held) or f'batchrun wait{tools}{option}'}")
    # Where nothing is said, the exit code tells of a canary, and of what waits for money, alone.
    is_silent = result is None or invocation.is_json
    batchrun.mark_shortages_told([s.id for s in found if s.is_stuck])
    batchrun.mark_pauses_told([s.id for s in paused if s.has_failed_canary or not is_silent])
    return worst_exit_code(codes)


def _tools_option(batchrun: "Batchrun", prepared: "Sequence[Prepared]") -> str:
    """` --tools FILE` for a command to paste, where answers of these jobs may call its functions."""
    offers = any(job.settings is not None and job.settings.rounds for job in prepared)
    if batchrun.tools is None or not offers:
        return ""
    import shlex

    return f" --tools {shlex.quote(str(batchrun.tools.path))}"


def _dry_run(
    invocation: Invocation,
    batchrun: "Batchrun",
    files: list[Path],
    wishes: "Wishes",
    *,
    is_there: bool,
) -> int:
    from batchrun.cli.submitting import (
        budget_line,
        job_json,
        job_line,
        show_errors,
        stdin_for,
        submit_options,
    )

    options = submit_options(wishes, is_dry_run=True)
    stdin = stdin_for(wishes.items)
    # Without a home everything is new, and a question does not start one.
    prepared: tuple[Prepared, ...]
    if is_there:
        prepared, _ = batchrun.submit(files, options, replace=wishes.replace, stdin=stdin)
    else:
        prepared = batchrun.check(files, options, stdin=stdin)
    code = show_errors(prepared, invocation)
    if invocation.is_json:
        put_json(
            {
                "home": str(batchrun.home.path) if is_there else None,
                "dry_run": True,
                "jobs": [job_json(job) for job in prepared],
                "problems": [],
                "next_at": None,
                "notices": [],
            }
        )
        return code
    for job in prepared:
        if job.tally is not None:
            put(f"{job_line(job)}. Nothing was sent (--dry-run)")
            if (line := budget_line(job)) is not None:
                put(line)
    return code
