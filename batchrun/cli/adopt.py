"""`batchrun adopt`: batches that other programs made become a job of this home."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from batchrun.cli.invocation import Invocation
from batchrun.cli.options import shared
from batchrun.cli.printing import counted, put, put_json, tell
from batchrun.cli.signals import LongRunning

if TYPE_CHECKING:
    from batchrun.api import Batchrun
    from batchrun.recovery.found import Adopted, FoundBatch


@click.command(cls=LongRunning, short_help="Take in batches that were made elsewhere, as a job.")
@click.argument("batch_ids", nargs=-1, required=True, metavar="BATCH_ID...")
@click.option("--job", required=True, metavar="NAME", help="The job that they become, or join.")
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="FILE",
    help="The input file of the batch, where the service no longer has it: one for each, in their order, or one for all.",
)
@shared("home", "backend", "json", "lock_wait")
@click.pass_obj
def command(
    invocation: Invocation,
    *,
    batch_ids: tuple[str, ...],
    job: str,
    inputs: tuple[str, ...],
    home: str | None,
    backend: str | None,
    lock_wait_s: float,
) -> int:
    """Bring batches that another program, the dashboard or curl has made into a job: collected, written out and retried as any other.

    Each line of their input files becomes an item, named by its custom_id. Nothing is created, cancelled or deleted at the service by
    this command; from then on `tick`, `wait` and `retry` treat the job as if batchrun had sent it. Repeating it is safe.
    """
    from batchrun.cli.opening import open_or_begin
    from batchrun.recovery.adopting import AdoptOptions

    batchrun, is_there = open_or_begin(invocation, home, backend=backend, lock_wait_s=lock_wait_s)
    options = AdoptOptions(job=job, inputs=tuple(Path(file) for file in inputs))
    adopted = batchrun.adopt(batch_ids, options)
    if not is_there and not invocation.is_json:
        tell(f"batchrun: started the home {batchrun.home.path}")
    return _show(invocation, batchrun, adopted)


def _show(invocation: Invocation, batchrun: "Batchrun", adopted: "Adopted") -> int:
    from batchrun.api import worst_exit_code
    from batchrun.cli.errors import error_json
    from batchrun.cli.finishing import show_problems
    from batchrun.cli.opening import home_option
    from batchrun.errors import NotFinished
    from batchrun.recovery.found import Became

    is_waiting = any(batch.became is Became.WAITING for batch in adopted.batches)
    if invocation.is_json:
        put_json(
            {
                "home": str(batchrun.home.path),
                "job": adopted.job,
                "profile": adopted.profile,
                "batches": [_batch_json(batch) for batch in adopted.batches],
                "left": list(adopted.left),
                "counts": dict(adopted.counts),
                "problems": [error_json(problem) for problem in adopted.problems],
            }
        )
    else:
        for batch in adopted.batches:
            put(_batch_line(batch))
        parts = [f"{n:,} {state.replace('_', ' ')}" for state, n in adopted.counts.items() if n]
        label = f"{adopted.job}@{adopted.profile}"
        if parts:
            put(f"{adopted.job} ({adopted.profile}): {', '.join(parts)}")
        if any(adopted.counts.get(name) for name in ("pending", "in_flight")):
            option = home_option(batchrun.home)
            tell(f"batchrun: go on with: batchrun wait {label}{option}")
    codes = show_problems(adopted.problems, invocation)
    if is_waiting:
        codes.append(NotFinished.exit_code)
        if not invocation.is_json:
            then = "the next tick tries again"
            if adopted.left:
                left = ", ".join(adopted.left)
                then = f"{left} can be taken after it, and nothing of the job is sent before. Run the same command again"
            tell(f"batchrun: a batch has ended and cannot be settled yet: {then}")
    return worst_exit_code(codes)


def _batch_line(batch: "FoundBatch") -> str:
    parts = [str(batch.became).replace("_", " ")]
    if batch.batch is not None:
        parts.append(f"{counted(batch.items, 'item')} in our batch {batch.batch}")
    if batch.note:
        parts.append(batch.note)
    status = f" ({batch.status})" if batch.status else ""
    return f"{batch.remote_id}{status}: {'; '.join(parts)}"


def _batch_json(batch: "FoundBatch") -> dict[str, object]:
    keys = ("remote_id", "status", "became", "batch", "items", "note")
    document = batch.to_json()
    return {key: document[key] for key in keys}
