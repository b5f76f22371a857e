"""`batchrun estimate`: what a submit would cost, before anything is sent."""

from pathlib import Path

import click

from batchrun.cli.invocation import Invocation
from batchrun.cli.options import job_files, no_dedupe, shared, tools
from batchrun.cli.printing import put, put_json
from batchrun.cli.signals import LongRunning


@click.command(
    cls=LongRunning, short_help="Say what a submit would cost, and how long it may take."
)
@job_files
@click.option(
    "--compare",
    metavar="MODEL,…",
    help="Say what the same would cost with these models, as a table.",
)
@click.option(
    "--instead",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False),
    help="Say what this text would save in place of the instructions that every request repeats.",
)
@click.option(
    "--items",
    metavar="PATH|-",
    help="Take the items from this file or glob, or from stdin (-), whatever the job line says.",
)
@no_dedupe
@tools
@shared("home", "backend", "json", "lock_wait")
@click.pass_obj
def command(
    invocation: Invocation,
    *,
    files: tuple[str, ...],
    compare: str | None,
    instead: str | None,
    items: str | None,
    no_dedupe: bool,
    tools: str | None,
    home: str | None,
    backend: str | None,
    lock_wait_s: float,
) -> int:
    """Say what a submit of these files would cost, and how long it may take.

    Counts the tokens of every request that would be new, offline, and prices them by batch, flex and live. Items that are answered and did
    not change cost nothing. Says what would cost less, with figures. Nothing is sent and nothing is kept. Where a price is not known it says how to give one, and ends with 8.
    """
    from batchrun.api import worst_exit_code
    from batchrun.cli.errors import show_error
    from batchrun.cli.estimates import estimate_json, estimate_text, total_json, total_text
    from batchrun.cli.opening import open_for_files, with_tools
    from batchrun.cli.submitting import Wishes, show_errors, stdin_for, submit_options
    from batchrun.clock import rfc3339
    from batchrun.errors import GuardError

    paths = [Path(file) for file in files]
    batchrun, _ = open_for_files(invocation, paths, home, backend=backend, lock_wait_s=lock_wait_s)
    others = tuple(dict.fromkeys(m.strip() for m in (compare or "").split(",") if m.strip()))
    found = with_tools(batchrun, tools).estimate(
        paths,
        submit_options(Wishes(items=items, no_dedupe=no_dedupe)),
        compare=others,
        instead=None if instead is None else (instead, _text_of(instead)),
        stdin=stdin_for(items),
    )
    codes = [show_errors([one.prepared for one in found], invocation)]
    whole = [one for one in found if one.prepared.tally is not None]
    if invocation.is_json:
        jobs = [estimate_json(one) for one in found]
        at = rfc3339(batchrun.clock.now())
        put_json({"at": at, "jobs": jobs, "total": total_json(whole)})
    else:
        for one in whole:
            put(estimate_text(one))
        if len(whole) > 1:
            put(total_text(whole))
    for one in whole:
        if one.unpriced:
            error = GuardError(f"{one.prepared.job}: {one.unpriced}")
            codes.append(show_error(error, invocation))
        elif (found_budget := one.prepared.affordable) is not None and found_budget.why_not:
            error = GuardError(f"{one.prepared.job}: {found_budget.why_not}")
            codes.append(show_error(error, invocation))
    return worst_exit_code(codes)


def _text_of(file: str) -> str:
    """The text of --instead, as it would stand in the job line."""
    from batchrun.errors import UsageError

    try:
        return Path(file).read_text("utf-8").strip()
    except UnicodeDecodeError as exc:
        raise UsageError(f"{file}: is no text in UTF-8.") from exc
    except OSError as exc:
        raise UsageError(f"{file}: cannot be read: {exc.strerror}.") from exc
