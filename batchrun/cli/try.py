"""`batchrun try`: a few answers now, before the night's batch."""

# ruff: noqa: N999 - a command and its file have one name
from pathlib import Path

import click

from batchrun.cli.invocation import Invocation
from batchrun.cli.options import running_tools, shared
from batchrun.cli.printing import is_terminal, put_json, tell
from batchrun.cli.signals import LongRunning


@click.command(
    cls=LongRunning, short_help="Ask a few items live, and see what the whole job would take."
)
@click.argument("file", metavar="FILE")
@click.option("--job", metavar="NAME", help="Only this job of the file (default: each of them).")
@click.option(
    "-n",
    "count",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="So many items: the first, or with --sample drawn ones.",
)
@click.option(
    "--ids",
    multiple=True,
    metavar="ID[,ID]...",
    help="These items instead of the first; one without an id is named FILE:LINE.",
)
@click.option(
    "--sample",
    "seed",
    type=int,
    is_flag=False,
    flag_value=-1,
    metavar="[SEED]",
    help="Draw the items; the same seed draws the same.",
)
@click.option(
    "--keep",
    "is_kept",
    is_flag=True,
    help="Make these answers part of the job: a later `run` asks the rest only.",
)
@running_tools
@shared("home", "backend", "json", "lock_wait")
@click.pass_obj
def command(
    invocation: Invocation,
    *,
    file: str,
    job: str | None,
    count: int,
    ids: tuple[str, ...],
    seed: int | None,
    is_kept: bool,
    tools: str | None,
    tool_timeout_s: float,
    home: str | None,
    backend: str | None,
    lock_wait_s: float,
) -> int:
    """Ask a few items of each job of FILE live, show the answers as they come, and say what the whole job would take.

    Everything is as in a run, but that the server is asked line by line, at its price for that. Without --keep nothing of it stays.
    With -v the requests are shown too, with -vv what happens besides.
    """
    import dataclasses
    import sys

    from batchrun.cli.opening import open_for_files, with_tools
    from batchrun.cli.trying import Screen, exit_code, go_on_line, mark_ends_told, told_json
    from batchrun.errors import UsageError
    from batchrun.trying import TryOptions, choice_of

    named = tuple(name for words in ids for name in words.split(",") if name)
    if named and seed is not None:
        raise UsageError("--ids and --sample contradict each other. Keep one.")
    if seed == -1:
        seed = invocation.clock.now()
        if not invocation.is_json:
            tell(f"--sample {seed} draws these items again.")
    if invocation.verbosity == 1:
        invocation.close()  # steps of the pass would stand amid the answers; -vv shows them
    path = Path(file)
    batchrun, is_there = open_for_files(
        invocation, [path], home, backend=backend, lock_wait_s=lock_wait_s
    )
    is_watched = is_terminal(sys.stdout) and not invocation.is_json
    screen = Screen(invocation, is_watched=is_watched, is_kept=is_kept)
    batchrun = dataclasses.replace(
        with_tools(batchrun, tools, tool_timeout_s),
        observer=screen,
        on_delta=screen.delta if is_watched else None,
    )
    options = TryOptions(
        count=count,
        choice=choice_of(named, count, seed),
        job=job,
        is_kept=is_kept,
        is_one_by_one=is_watched,
    )
    try:
        jobs, problems = batchrun.try_out(path, options, screen)
    except KeyboardInterrupt:
        if is_kept:
            invocation.goes_on = go_on_line(batchrun, screen.begun)
        raise
    if invocation.is_json:
        put_json(told_json(batchrun, jobs, problems, is_kept=is_kept, seed=seed))
    elif is_kept and not is_there:
        tell(f"home: {batchrun.home.path}")
    code = exit_code(batchrun, jobs, problems, invocation, is_kept=is_kept)
    if is_kept:
        mark_ends_told(batchrun, jobs)
    return code
