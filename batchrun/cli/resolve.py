"""`batchrun resolve`: what a person found out about a batch whose creation went unanswered."""

import click

from batchrun.cli.invocation import Invocation
from batchrun.cli.options import shared
from batchrun.cli.printing import put, put_json
from batchrun.cli.signals import LongRunning


@click.command(cls=LongRunning, short_help="Say what became of a batch that batchrun cannot find.")
@click.argument("batch")
@click.option(
    "--is",
    "remote_id",
    metavar="BATCH_ID",
    help="It exists: this is its id on the service. It is compared, then adopted.",
)
@click.option(
    "--absent",
    "is_absent",
    is_flag=True,
    help="It does not exist on the service: send it again.",
)
@click.option(
    "--as-is",
    "is_as_is",
    is_flag=True,
    help="Its result file cannot be read: settle it by the lines that can.",
)
@shared("home", "json", "lock_wait")
@click.pass_obj
def command(
    invocation: Invocation,
    *,
    batch: str,
    remote_id: str | None,
    is_absent: bool,
    is_as_is: bool,
    home: str | None,
    lock_wait_s: float,
) -> int:
    """Say what became of BATCH, whose creation went unanswered, where batchrun cannot find out by itself; or what to do with its results.

    BATCH is its number, which `status` and `tick` name with this command, or what the service calls it: its id, its input file, or the token in its
    metadata. Before --absent look at the service's own list of batches first: what is declared absent and
    exists all the same is paid for twice.
    """
    from batchrun.cli.opening import home_option, open_batchrun
    from batchrun.errors import UsageError

    if (remote_id is not None) + is_absent + is_as_is != 1:
        raise UsageError("Say one of --is BATCH_ID, --absent and --as-is. Nothing was changed.")
    batchrun = open_batchrun(invocation, home, lock_wait_s=lock_wait_s)
    resolved = batchrun.resolve(batch, remote_id=remote_id, is_as_is=is_as_is)
    if invocation.is_json:
        put_json(
            {
                "batch": resolved.batch,
                "job": resolved.job,
                "state": resolved.state,
                "remote_id": resolved.remote_id,
                "remote_status": resolved.remote_status,
            }
        )
        return 0
    if is_as_is:
        what = "it is settled by the lines that can be read"
    elif resolved.remote_id is None:
        what = "it is sent again"
    else:
        what = f"it is {resolved.remote_id} ({resolved.remote_status})"
    put(
        f"batch {resolved.batch}: {what}. Go on with: batchrun wait {resolved.job}{home_option(batchrun.home)}"
    )
    return 0
