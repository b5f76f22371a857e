"""`batchrun forget`: personal data, out of every place that batchrun knows of."""

from typing import TYPE_CHECKING

import click

from batchrun.cli.invocation import Invocation
from batchrun.cli.options import Duration, shared
from batchrun.cli.printing import ask, can_ask, counted, put, put_json, tell
from batchrun.cli.signals import LongRunning

if TYPE_CHECKING:
    from batchrun.keeping.forgetting import Forgotten


@click.command(
    cls=LongRunning, short_help="Remove items, or a whole job, from everywhere: personal data."
)
@click.argument("job", required=False)
@click.argument("items", nargs=-1, metavar="[ITEM]...")
@click.option(
    "--older-than",
    "older_than_s",
    type=Duration(),
    help="The settled items that were answered, and last submitted, this long ago, as 30d.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be forgotten, and forget nothing.")
@shared("home", "backend", "json", "yes", "lock_wait")
@click.pass_obj
def command(
    invocation: Invocation,
    *,
    job: str | None,
    items: tuple[str, ...],
    older_than_s: float | None,
    dry_run: bool,
    home: str | None,
    backend: str | None,
    yes: bool,
    lock_wait_s: float,
) -> int:
    """Remove ITEMs of JOB, or all of JOB, for good: rows, requests, answers, outputs, files at the service, copies of the ledger.

    Counts and money stay. The data and the job file are yours and stay too: an item that is still in them is asked, and paid for, anew
    by the next submit. Without JOB it finishes what an earlier forget could not, as when the service was away.
    """
    from batchrun.cli.finishing import show_problems
    from batchrun.cli.opening import open_batchrun
    from batchrun.errors import GuardError, UsageError
    from batchrun.looking import worst_exit_code

    if items and older_than_s is not None:
        raise UsageError("name items, or say --older-than, not both. Nothing was forgotten.")
    batchrun = open_batchrun(invocation, home, backend=backend, lock_wait_s=lock_wait_s)
    age_s = None if older_than_s is None else int(older_than_s)
    if job is not None and not dry_run and not yes:
        # A name that means nothing is told before anything is asked.
        would = batchrun.forget(job, items, older_than_s=age_s, is_dry_run=True)
        if not can_ask():
            raise UsageError(
                f"forgetting {_what(would)} cannot be undone. Nothing was forgotten. Add --yes if that is meant."
            )
        if not ask(f"Forget {_what(would)} for good?"):
            raise GuardError(f"{job}: not confirmed; nothing was forgotten.")
    found = batchrun.forget(job, items, older_than_s=age_s, is_dry_run=dry_run)
    if invocation.is_json:
        put_json({"home": str(batchrun.home.path), "dry_run": dry_run, **_document(found)})
    else:
        _show(found, is_dry_run=dry_run)
    return worst_exit_code(show_problems(found.problems, invocation))


def _document(found: "Forgotten") -> dict[str, object]:
    from batchrun.cli.errors import error_json

    return {
        "job": found.job,
        "profile": found.profile,
        "whole": found.is_whole,
        "items": found.item_count,
        "open": found.open_count,
        "also_in": list(found.also_in),
        "left": list(found.left),
        "remote_deleted": found.remote_deleted,
        "remote_left": found.remote_left,
        "problems": [error_json(problem) for problem in found.problems],
    }


def _what(found: "Forgotten") -> str:
    items = counted(found.item_count, "item")
    name = f"{found.job} ({found.profile})"
    return f"all of {name}, {items}" if found.is_whole else f"{items} of {name}"


def _show(found: "Forgotten", *, is_dry_run: bool) -> None:
    if found.job is not None:
        put(f"{_what(found)}: {'would be forgotten' if is_dry_run else 'forgotten'}")
    elif not is_dry_run:
        put("nothing is left to forget" if not found.remote_left else "forgotten in this home")
    if found.open_count:
        tell(f"{counted(found.open_count, 'item')} still open: left alone")
    if is_dry_run:
        put(f"{counted(found.remote_left, 'file')} at the service would be deleted")
        return
    if found.remote_deleted:
        put(f"{counted(found.remote_deleted, 'file')} at the service deleted")
    if found.remote_left:
        tell(
            f"{counted(found.remote_left, 'file')} at the service not deleted yet. Go on with: batchrun forget"
        )
    for text in found.left:
        tell(text)
    if found.also_in:
        tell(f"the same id is also in: {', '.join(found.also_in)}")
