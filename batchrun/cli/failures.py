"""`batchrun failures`: what went wrong, by cause, and the command that mends it."""

from typing import TYPE_CHECKING

import click

from batchrun.cli.invocation import Invocation
from batchrun.cli.options import job_names, shared
from batchrun.cli.printing import put, put_json

if TYPE_CHECKING:
    from batchrun.outputs.failures import FailureGroup

_MESSAGE_WIDTH = 300


@click.command(short_help="Show failed items by cause, each with its fix.")
@job_names
@shared("home", "backend", "json")
@click.pass_obj
def command(
    invocation: Invocation, *, jobs: tuple[str, ...], home: str | None, backend: str | None
) -> int:
    """Show the failed items of the named jobs, or of all: grouped by cause, with what to do and the exact command.

    Each single one is in `failures.jsonl` of the job's outputs.
    """
    from batchrun.cli.opening import home_option, open_batchrun

    batchrun = open_batchrun(invocation, home, backend=backend)
    groups = batchrun.failures(jobs)
    option = home_option(batchrun.home)
    if invocation.is_json:
        put_json({"failures": [_json(group, option) for group in groups]})
    elif groups:
        put("\n\n".join(_text(group, option) for group in groups))
    else:
        put("no failed items")
    return 0


def _text(group: "FailureGroup", option: str) -> str:
    from batchrun.outputs.escaping import printable

    more = ", …" if group.count > len(group.examples) else ""
    message = group.message
    if len(message) > _MESSAGE_WIDTH:
        message = message[: _MESSAGE_WIDTH - 1] + "…"
    lines = [
        f"{group.job} ({group.profile}): {group.count:,} x {group.cause}: {group.title}",
        f"  items:   {', '.join(group.examples)}{more}",
        f"  message: {message}",
        f"  to do:   {group.fix}",
        f"  command: {group.command}{option}",
    ]
    return "\n".join(printable(line) for line in lines)


def _json(group: "FailureGroup", option: str) -> dict[str, object]:
    return {
        "job": group.job,
        "profile": group.profile,
        "cause": group.cause,
        "title": group.title,
        "count": group.count,
        "retryable": group.is_retryable,
        "fix": group.fix,
        "command": f"{group.command}{option}",
        "examples": list(group.examples),
        "message": group.message,
    }
