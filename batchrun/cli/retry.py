"""`batchrun retry`: failed items once more, with the very request that was sent."""

import click

from batchrun.cli.invocation import Invocation
from batchrun.cli.options import shared
from batchrun.cli.printing import counted, put, put_json, tell
from batchrun.cli.signals import LongRunning


@click.command(cls=LongRunning, short_help="Queue failed items again, as they were sent.")
@click.argument("job")
@click.argument("items", nargs=-1, metavar="[ITEM]...")
@click.option("--cause", metavar="CODE", help="Only the items that failed for this cause.")
@click.option(
    "--redo", is_flag=True, help="Answered items too: they are asked, and paid for, again."
)
@click.option(
    "--rerun-lost",
    is_flag=True,
    help="Also items whose answer was lost by the service and may have been paid for.",
)
@click.option(
    "--rerun-uncertain",
    is_flag=True,
    help="Also items that were sent and may have been executed, and paid for, without an answer.",
)
@shared("home", "backend", "json", "yes")
@click.pass_obj
def command(
    invocation: Invocation,
    *,
    job: str,
    items: tuple[str, ...],
    cause: str | None,
    redo: bool,
    rerun_lost: bool,
    rerun_uncertain: bool,
    home: str | None,
    backend: str | None,
    yes: bool,
) -> int:
    """Queue the failed items of JOB again, all, the named ones or those of a cause, as they were sent; the next pass sends them.

    A corrected prompt or item goes out with `submit` instead. Needs no lock: a batchrun at work in the home takes it up.
    """
    from batchrun.cli.opening import home_option, open_batchrun
    from batchrun.errors import UsageError

    if cause is not None and (items or redo):
        raise UsageError(
            "--cause chooses among all failed items, so neither ITEM nor --redo goes with it. Keep one."
        )
    if redo and not items and not yes:
        raise UsageError(
            "--redo without an ITEM asks, and pays for, every item of the job again. Nothing was changed. "
            "Name items, or add --yes if that is meant."
        )
    batchrun = open_batchrun(invocation, home, backend=backend)
    count = batchrun.retry(
        job,
        items,
        cause=cause,
        redo=redo,
        rerun_lost=rerun_lost,
        rerun_uncertain=rerun_uncertain,
    )
    pruned = batchrun.pruned_count(job) if redo and not items else 0
    left_out = (
        {}
        if items
        else batchrun.left_out(
            job, cause=cause, rerun_lost=rerun_lost, rerun_uncertain=rerun_uncertain
        )
    )
    if invocation.is_json:
        put_json({"job": job, "queued": count, "pruned": pruned, "left_out": left_out})
        return 0
    home_words = home_option(batchrun.home)
    for guarded, option in (("lost_result", "--rerun-lost"), ("uncertain", "--rerun-uncertain")):
        if many := left_out.get(guarded):
            tell(
                f"{counted(many, 'item')} left out ({guarded}): the first request may have been paid for. "
                f"To ask again: batchrun retry {job} --cause {guarded} {option}{home_words}"
            )
    if pruned:
        tell(
            f"{counted(pruned, 'item')} cannot be asked again as they were: their requests were pruned. "
            f"`batchrun forget {job} ITEM` and a new submit ask them as new items; `submit --fresh` asks all."
        )
    if count:
        put(f"{counted(count, 'item')} queued. Go on with: batchrun wait {job}{home_words}")
    else:
        others = "other " if any(left_out.values()) else ""
        put(
            f"no {others}{'items that can be asked again' if redo else 'failed items'}"
            f"{'' if cause is None else f' of cause {cause!r}'} in {job}: nothing to do"
        )
    return 0
