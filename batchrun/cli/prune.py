"""`batchrun prune`: free the disk of spool files that no item needs any more."""

from typing import TYPE_CHECKING

import click

from batchrun.cli.invocation import Invocation
from batchrun.cli.options import Duration, job_names, shared
from batchrun.cli.printing import counted, put, put_json, tell
from batchrun.cli.signals import LongRunning

if TYPE_CHECKING:
    from batchrun.keeping.pruning import Pruned


@click.command(cls=LongRunning, short_help="Free the disk of what no item needs any more.")
@job_names
@click.option(
    "--older-than",
    "older_than_s",
    type=Duration(),
    help="Only what was last of use this long ago, as 30d; default: all of it.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be freed, and free nothing.")
@shared("home", "backend", "json", "lock_wait")
@click.pass_obj
def command(
    invocation: Invocation,
    *,
    jobs: tuple[str, ...],
    older_than_s: float | None,
    dry_run: bool,
    home: str | None,
    backend: str | None,
    lock_wait_s: float,
) -> int:
    """Remove the spool files of the named JOBs (none: all) that nothing needs any more: requests whose items are all answered, and result
    files that are collected, both only once the job's outputs are written.

    No answer goes, and a later submit still finds every item unchanged. What goes is the evidence: `explain` cannot show requests and raw
    lines any more, and `retry --redo` cannot ask such an item again as it was.
    """
    from batchrun.cli.opening import open_batchrun

    batchrun = open_batchrun(invocation, home, backend=backend, lock_wait_s=lock_wait_s)
    found = batchrun.prune(jobs, older_than_s=int(older_than_s or 0), is_dry_run=dry_run)
    if invocation.is_json:
        put_json(
            {
                "home": str(batchrun.home.path),
                "dry_run": dry_run,
                "jobs": [
                    {
                        "job": job.job,
                        "profile": job.profile,
                        "files": job.file_count,
                        "bytes": job.bytes,
                        "kept": job.kept,
                    }
                    for job in found
                ],
            }
        )
        return 0
    for job in found:
        if job.kept is None:
            put(_line(job, is_dry_run=dry_run))
        else:
            tell(f"{job.job} ({job.profile}): nothing, since {job.kept}")
    return 0


def _line(job: "Pruned", *, is_dry_run: bool) -> str:
    what = f"{job.bytes:,} bytes in {counted(job.file_count, 'file')}"
    return f"{job.job} ({job.profile}): {what} {'would be freed' if is_dry_run else 'freed'}"
