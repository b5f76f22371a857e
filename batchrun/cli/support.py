"""`batchrun support`: one file for a service's support, with nothing in it that is the user's own."""

from pathlib import Path

import click

from batchrun.cli.invocation import Invocation
from batchrun.cli.options import shared
from batchrun.cli.printing import put, put_json, put_part


@click.command(short_help="Write what a service's support asks for, and nothing else.")
@click.argument("job")
@click.option(
    "--to",
    metavar="FILE|-",
    help="Write it here (default: support-JOB.md in the current folder); - prints it.",
)
@shared("home", "backend", "json", "yes")
@click.pass_obj
def command(
    invocation: Invocation,
    *,
    job: str,
    to: str | None,
    home: str | None,
    backend: str | None,
    yes: bool,
) -> int:
    """Write one file about JOB for a service's support: times, ids of requests, batches and files, statuses, counts, errors, tokens.

    No prompts, no answers, no items, and of the key its last four characters at most. Read it before you send it. With --json it is
    printed as JSON. A file that exists is only replaced with --yes.
    """
    from batchrun.cli.opening import open_batchrun
    from batchrun.errors import UsageError

    if invocation.is_json and to is not None:
        raise UsageError("--json prints the document. Leave out --to, or --json.")
    batchrun = open_batchrun(invocation, home, backend=backend)
    found = batchrun.support(job)
    if invocation.is_json:
        put_json(found)
        return 0
    from batchrun.supporting.writing import support_markdown

    text = support_markdown(found)
    if to == "-":
        put_part(text)
        return 0
    path = Path(to) if to is not None else Path(f"support-{batchrun.job(job).name}.md")
    try:
        with path.open("w" if yes else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{path}: exists already. --yes replaces it.") from None
    except OSError as exc:
        raise UsageError(f"{path}: cannot be written: {exc.strerror}.") from exc
    put(f"Wrote {path}. Read it before you send it.")
    return 0
