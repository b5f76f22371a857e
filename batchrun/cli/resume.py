"""`batchrun resume`: a person lets go what a person held, or what batchrun paused until one looked."""

from typing import TYPE_CHECKING

import click

from batchrun.cli.invocation import Invocation
from batchrun.cli.options import shared
from batchrun.cli.printing import put, put_json, tell
from batchrun.cli.signals import LongRunning
from batchrun.clock import rfc3339

if TYPE_CHECKING:
    from batchrun.ledger.held import Resumed
    from batchrun.looking import JobStatus


@click.command(cls=LongRunning, short_help="Let go what is held or paused.")
@click.argument("job", required=False)
@shared("home", "backend", "json")
@click.pass_obj
def command(
    invocation: Invocation, *, job: str | None, home: str | None, backend: str | None
) -> int:
    """Let JOB go on that was held, or that batchrun paused, and say why it was; the next pass sends.

    Without JOB: the home that was held as a whole. Jobs that are held or paused by themselves stay so; it names them.
    """
    from batchrun.cli.opening import home_option, open_batchrun

    batchrun = open_batchrun(invocation, home, backend=backend)
    before = batchrun.status(() if job is None else (job,))
    resumed = batchrun.resume(job)
    name = None if job is None else before[0].label
    if invocation.is_json:
        put_json(
            {
                "home": str(batchrun.home.path),
                "job": name,
                "was_held_since": _time(resumed.held_at),
                "was_paused": resumed.paused,
                "held_since": _time(resumed.home_held_at),
                "overruns": resumed.overruns,
            }
        )
        return 0
    option = home_option(batchrun.home)
    was = _what_it_was(resumed)
    what = name or str(batchrun.home.path)
    if was:
        put(f"{what}: goes on; it was {was}")
    else:
        put(f"{what}: neither held nor paused{'' if job else ' as a whole'}; nothing to do")
    if resumed.home_held_at is not None:
        tell(f"The whole home is held. Go on with: batchrun resume{option}")
    elif was:
        tell(f"Go on with: batchrun wait{'' if name is None else f' {name}'}{option}")
    for other in batchrun.status() if job is None else ():
        if why := _why_not(other):
            tell(f"{other.label} is {why}. Go on with: batchrun resume {other.label}{option}")
    return 0


def _what_it_was(resumed: "Resumed") -> str:
    parts = []
    if resumed.held_at is not None:
        parts.append(f"held since {rfc3339(resumed.held_at)}")
    if resumed.paused is not None:
        parts.append(f"paused: {resumed.paused}")
    if resumed.overruns:
        batches = f"{resumed.overruns:,} batch{'' if resumed.overruns == 1 else 'es'}"
        parts.append(f"stopped, with its account, by {batches} that cost more than was reserved")
    return ", and ".join(parts)


def _why_not(job: "JobStatus") -> str | None:
    """Why a job sends nothing although its home is not held."""
    if not job.is_open:
        return None
    return "paused" if job.paused else None if job.held_since is None else "held"


def _time(at: int | None) -> str | None:
    return None if at is None else rfc3339(at)
