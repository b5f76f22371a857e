"""`batchrun recover`: rebuild a ledger from what the service still has; and let a copied or restored home send."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from batchrun.cli.invocation import Invocation
from batchrun.cli.options import shared, tools
from batchrun.cli.printing import counted, put, put_json, tell
from batchrun.cli.signals import LongRunning

if TYPE_CHECKING:
    from batchrun.api import Batchrun
    from batchrun.recovery.found import FoundBatch, Recovered
    from batchrun.recovery.recovering import RecoverOptions


@click.command(cls=LongRunning, short_help="Rebuild a lost or older ledger from the service.")
@click.argument("files", nargs=-1, metavar="[FILE]...")
@click.option(
    "--ledger",
    "ledgers",
    multiple=True,
    metavar="ID",
    help="Take the batches of this ledger too (as their metadata name it). May be repeated.",
)
@click.option(
    "--items", metavar="PATH", help="Take the items from this file or glob, as submit did."
)
@click.option(
    "--by-id",
    "is_by_id",
    is_flag=True,
    help="Where the service no longer has what a batch asked, take its answers by the items' ids alone.",
)
@click.option(
    "--allow-missing",
    is_flag=True,
    help="Allow that more than half of the items of the older ledger are gone.",
)
@click.option(
    "--reask",
    is_flag=True,
    help="Allow that many items that the older ledger has answers of are other questions now.",
)
@click.option(
    "--dry-run",
    "is_dry_run",
    is_flag=True,
    help="List the batches and what would become of them; change nothing.",
)
@click.option(
    "--no-wait",
    "is_hasty",
    is_flag=True,
    help="Do not wait for the second look; run recover again for it.",
)
@click.option(
    "--take-over",
    is_flag=True,
    help="The original home is gone for good: this one sends from now on. Without FILE nothing else is done.",
)
@tools
@shared("home", "backend", "json", "lock_wait")
@click.pass_obj
def command(
    invocation: Invocation,
    /,
    *,
    files: tuple[str, ...],
    ledgers: tuple[str, ...],
    items: str | None,
    is_by_id: bool,
    allow_missing: bool,
    reask: bool,
    is_dry_run: bool,
    is_hasty: bool,
    take_over: bool,
    tools: str | None,
    home: str | None,
    backend: str | None,
    lock_wait_s: float,
) -> int:
    """Rebuild a ledger that is lost, older than the service, or copied, from what the service still has.

    The answers of its batches are mapped to the items of the job FILEs (none: of the jobs that the ledger knows). Nothing is created or
    cancelled, and nothing is sent before a second look at the service, which comes some time after the first. Repeating it is safe.
    """
    from batchrun.cli.opening import open_batchrun, open_for_files, with_tools
    from batchrun.recovery.recovering import RecoverOptions

    paths = [Path(file) for file in files]
    if paths:
        batchrun, _ = open_for_files(
            invocation, paths, home, backend=backend, lock_wait_s=lock_wait_s
        )
    else:
        batchrun = open_batchrun(invocation, home, backend=backend, lock_wait_s=lock_wait_s)
    batchrun = with_tools(batchrun, tools)
    options = RecoverOptions(
        ledgers=ledgers,
        items=None if items is None else str(Path(items).absolute()),
        takes_unproven=is_by_id,
        allow_missing=allow_missing,
        reask=reask,
        is_dry_run=is_dry_run,
        waits=not is_hasty,
    )
    is_only_taken_over = take_over and not (paths or ledgers or is_dry_run)
    recovered = None if is_only_taken_over else _recover(invocation, batchrun, paths, options)
    renewed = batchrun.take_over() if take_over and _has_ended(recovered) else None
    return _show(invocation, batchrun, recovered, renewed)


def _recover(
    invocation: Invocation, batchrun: "Batchrun", files: list[Path], options: "RecoverOptions"
) -> "Recovered":
    import dataclasses

    from batchrun.clock import rfc3339

    def tell_waiting(event: str, **facts: object) -> None:
        if event == "sleeping" and not invocation.is_json:
            until = facts["until"]
            assert isinstance(until, int)
            tell(
                f"batchrun: looking once more at {rfc3339(until)}: what was created last may not be listed yet. "
                "Ctrl-C is fine; the same command goes on"
            )

    return dataclasses.replace(batchrun, observer=tell_waiting).recover(files, options)


def _has_ended(recovered: "Recovered | None") -> bool:
    """Whether nothing stands in the way of sending: then, and not before, a home may be taken over."""
    if recovered is None:
        return True
    has_errors = any(job.error is not None for job in recovered.prepared)
    return not (has_errors or recovered.is_dry_run or recovered.look_again_at is not None)


def _show(
    invocation: Invocation,
    batchrun: "Batchrun",
    recovered: "Recovered | None",
    renewed: int | None,
) -> int:
    from batchrun.api import worst_exit_code
    from batchrun.cli.errors import error_json
    from batchrun.cli.finishing import show_problems
    from batchrun.cli.submitting import job_json, show_errors
    from batchrun.clock import rfc3339
    from batchrun.errors import NotFinished
    from batchrun.recovery.found import Recovered

    found = recovered or Recovered()
    codes = [show_errors(found.prepared, invocation)]
    again = None if found.look_again_at is None else rfc3339(found.look_again_at)
    if invocation.is_json:
        put_json(
            {
                "home": str(batchrun.home.path),
                "dry_run": found.is_dry_run,
                "ledgers": list(found.ledgers),
                "jobs": [job_json(job) for job in found.prepared],
                "batches": [batch.to_json() for batch in found.batches],
                "standing": [job.to_json() for job in found.jobs],
                "held": list(found.held),
                "problems": [error_json(problem) for problem in found.problems],
                "look_again_at": again,
                "renewed_batches": renewed,
            }
        )
    else:
        _print(found)
        if renewed is not None:
            put(
                f"{batchrun.home.path}: this home sends from now on; {renewed} unsent batches start anew"
            )
        for profile in found.held:
            tell(
                f"batchrun: nothing is sent with profile {profile!r} before it was looked at too, since the lost ledger may have used it: "
                f"batchrun recover FILE... --backend {profile}"
            )
    codes += show_problems(found.problems, invocation)
    if any(job.error is not None for job in found.prepared) and not invocation.is_json:
        tell(
            "batchrun: nothing was recovered, and nothing is sent before recover has come to its end"
        )
    if again is not None:
        codes.append(NotFinished.exit_code)
        if not invocation.is_json:
            tell(f"batchrun: nothing is sent yet. Run the same command again after {again}")
    return worst_exit_code(codes)


def _print(found: "Recovered") -> None:
    foreign = [batch for batch in found.batches if batch.became == "foreign"]
    for batch in found.batches:
        if batch not in foreign:
            put(_batch_line(batch))
    if foreign:
        ledgers = sorted({batch.ledger for batch in foreign if batch.ledger})
        named = f" ({', '.join(ledgers)}): --ledger ID takes them" if ledgers else ""
        put(f"left alone, of others: {len(foreign):,}{named}")
    for job in found.jobs:
        parts = [f"{n:,} {state.replace('_', ' ')}" for state, n in job.counts.items() if n]
        line = f"{job.name} ({job.profile}): {', '.join(parts) or 'no items'}"
        if job.is_paused:
            line += ". Submit its job file again to ask what is pending"
        put(line)


def _batch_line(batch: "FoundBatch") -> str:
    parts = [f"{batch.remote_id} ({batch.job or 'no job'}, {batch.status})"]
    parts.append(str(batch.became).replace("_", " "))
    if batch.items:
        parts.append(f"{counted(batch.items, 'item')} in our batch {batch.batch}")
    if batch.folder:
        many = counted(batch.unplaced, "answer") if batch.unplaced else "answers"
        parts.append(f"{many} of no item: {batch.folder}")
    if batch.note:
        parts.append(batch.note)
    return f"{parts[0]}: {'; '.join(parts[1:])}"
