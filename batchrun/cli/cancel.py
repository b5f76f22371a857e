"""`batchrun cancel`: stop a job, keeping what is paid for."""

import click

from batchrun.cli.invocation import Invocation
from batchrun.cli.options import shared
from batchrun.cli.printing import ask, can_ask, counted, put, put_json, tell
from batchrun.cli.signals import LongRunning


@click.command(cls=LongRunning, short_help="Stop sending and cancel what runs; paid answers stay.")
@click.argument("job")
@shared("home", "backend", "json", "yes")
@click.pass_obj
def command(
    invocation: Invocation, *, job: str, home: str | None, backend: str | None, yes: bool
) -> int:
    """Stop sending items of JOB and cancel its running batches; every answer that was paid for is kept.

    What already ran may still be billed. The items are not asked again until `submit` or `retry` wants them. At a terminal it asks
    first. Needs no lock: a batchrun at work in the home takes it up.
    """
    from batchrun.cli.finishing import show_problems
    from batchrun.cli.opening import home_option, open_batchrun
    from batchrun.cli.standing import status_json
    from batchrun.errors import GuardError
    from batchrun.looking import worst_exit_code

    batchrun = open_batchrun(invocation, home, backend=backend)
    batchrun.job(job)
    if can_ask() and not yes and not ask(f"Cancel {job}?"):
        raise GuardError(f"{job}: not confirmed; nothing was changed.")
    batchrun.cancel(job)
    result = batchrun.tick(work_s=0)
    codes = [] if result is None else show_problems(result.problems, invocation)
    found = batchrun.status((job,))[0]
    if invocation.is_json:
        put_json(status_json(found))
        return worst_exit_code(codes)
    put(f"{found.label}: {counted(found.counts['cancelled'], 'item')} cancelled")
    if found.is_open:
        left = found.counts["pending"] + found.counts["in_flight"]
        tell(
            f"{counted(left, 'item')} in batches that are ending; what they answered is collected by: "
            f"batchrun wait {found.label}{home_option(batchrun.home)}"
        )
    return worst_exit_code(codes)
