"""`batchrun hold`: nothing more is sent for now, and nothing that runs is lost."""

import click

from batchrun.cli.invocation import Invocation
from batchrun.cli.options import shared
from batchrun.cli.printing import counted, put, put_json
from batchrun.cli.signals import LongRunning


@click.command(cls=LongRunning, short_help="Send nothing more for now; what runs is collected.")
@click.argument("job", required=False)
@shared("home", "backend", "json")
@click.pass_obj
def command(
    invocation: Invocation, *, job: str | None, home: str | None, backend: str | None
) -> int:
    """Send nothing more of JOB until `resume`, or of the whole home, jobs that are submitted later too.

    What is on the service runs on and is collected; what runs on this machine rests. Needs no lock: a batchrun at work in the home
    sends nothing after it.
    """
    from batchrun.cli.opening import home_option, open_batchrun
    from batchrun.clock import rfc3339

    batchrun = open_batchrun(invocation, home, backend=backend)
    since = batchrun.hold(job)
    jobs = batchrun.status(() if job is None else (job,))
    name = None if job is None else jobs[0].label
    if invocation.is_json:
        put_json({"home": str(batchrun.home.path), "job": name, "held_since": rfc3339(since)})
        return 0
    waiting = sum(found.counts["pending"] for found in jobs)
    in_flight = sum(found.counts["in_flight"] for found in jobs)
    put(
        f"{name or batchrun.home.path}: held since {rfc3339(since)}; {counted(waiting, 'item')} wait, {in_flight:,} in batches. "
        f"Go on with: batchrun resume{'' if name is None else f' {name}'}{home_option(batchrun.home)}"
    )
    return 0
