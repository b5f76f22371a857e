"""`batchrun recover --take-over`: let a copied or restored home send."""

import click

from batchrun.cli.invocation import Invocation
from batchrun.cli.options import shared
from batchrun.cli.printing import put, put_json
from batchrun.cli.signals import LongRunning


@click.command(cls=LongRunning, short_help="Let a copied or restored home send again.")
@click.option(
    "--take-over",
    is_flag=True,
    required=True,
    help="The original home is gone for good: this one sends from now on.",
)
@shared("home", "json", "lock_wait")
@click.pass_obj
def command(
    invocation: Invocation, *, take_over: bool, home: str | None, lock_wait_s: float
) -> int:
    """Let a copied or restored home send again.

    batchrun notices that a home is a copy, and sends nothing from it: the original may be sending the same. With --take-over this home
    becomes the one that sends. Batches that exist on the service are found and collected as before; never do this while the
    original is still in use.
    """
    from batchrun.cli.opening import open_batchrun

    assert take_over
    batchrun = open_batchrun(invocation, home, lock_wait_s=lock_wait_s)
    renewed = batchrun.take_over()
    if invocation.is_json:
        put_json({"home": str(batchrun.home.path), "renewed_batches": renewed})
    else:
        put(
            f"{batchrun.home.path}: this home sends from now on; {renewed} unsent batches start anew"
        )
    return 0
