"""Options that several commands share, defined once so that they read and mean the same everywhere."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from batchrun.cli.invocation import Invocation

_Command = TypeVar("_Command", bound=Callable[..., Any])


class Duration(click.ParamType[float]):
    """`90`, `90s`, `15m`, `1h`, `2d` -> seconds."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Seconds; what is a number already stays as it is."""
        if isinstance(value, int | float):
            return float(value)
        from batchrun.clock import duration_s

        seconds = duration_s(value)
        if seconds is None:
            self.fail(f"{value!r} is no duration. Write 90s, 15m, 1h or 2d.", param, ctx)
        return seconds


def _verbose(ctx: click.Context, _param: click.Parameter, count: int) -> None:
    if count:
        ctx.ensure_object(Invocation).log(count)


_SHARED: Final[dict[str, Callable[[Any], Any]]] = {
    "home": click.option(
        "--home",
        metavar="DIR",
        help="The home folder (default: BATCHRUN_HOME, else the nearest .batchrun upwards).",
    ),
    "backend": click.option(
        "--backend",
        metavar="NAME",
        help="Backend or profile: openai, local, direct, or one of batchrun.toml (default: BATCHRUN_BACKEND, else the job's own).",
    ),
    "json": click.option(
        "--json",
        is_flag=True,
        expose_value=False,  # Invocation.is_json knows it before anything is parsed
        help="Print JSON; errors are JSON on stderr.",
    ),
    "yes": click.option("--yes", is_flag=True, help="Do not ask."),
    "lock_wait": click.option(
        "--lock-wait",
        "lock_wait_s",
        type=Duration(),
        default="10m",
        show_default=True,
        help="Wait this long for another batchrun in the same home.",
    ),
    "verbose": click.option(
        "-v",
        "--verbose",
        count=True,
        expose_value=False,
        callback=_verbose,
        help="Log to stderr what happens (-vv: in detail).",
    ),
}


def shared(*names: str) -> Callable[[_Command], _Command]:
    """Add these options, and -v, below the command's own; the command gets home, backend, yes, lock_wait_s."""

    def decorate(command: _Command) -> _Command:
        for name in reversed((*names, "verbose")):
            command = _SHARED[name](command)
        return command

    return decorate


_TOOLS: Final = click.option(
    "--tools",
    metavar="FILE.py",
    type=click.Path(exists=True, dir_okay=False),
    help="Offer the functions of this Python file to jobs with 'rounds'. The file is run, and so is what a model calls.",
)
_TOOL_TIMEOUT: Final = click.option(
    "--tool-timeout",
    "tool_timeout_s",
    type=Duration(),
    default="60s",
    show_default=True,
    help="Stop a function that takes longer; the model is told so.",
)


def tools(command: _Command) -> _Command:
    """--tools, for commands that read job files; see `opening.with_tools`."""
    return _TOOLS(command)


def running_tools(command: _Command) -> _Command:
    """--tools and --tool-timeout, for commands that run what was called."""
    return _TOOLS(_TOOL_TIMEOUT(command))


job_files = click.argument("files", nargs=-1, required=True, metavar="FILE...")
job_names = click.argument("jobs", nargs=-1, metavar="[JOB]...")

no_dedupe = click.option(
    "--no-dedupe",
    is_flag=True,
    help="Ask every item, also those whose request is equal to another's.",
)

_SUBMITTING: Final = (
    click.option(
        "--items",
        metavar="PATH|-",
        help="Take the items from this file or glob, or from stdin (-), whatever the job line says.",
    ),
    click.option(
        "--reask",
        is_flag=True,
        help="Allow that many answered items are asked again because prompt, model or schema changed.",
    ),
    click.option(
        "--new-only",
        is_flag=True,
        help="Use a changed prompt, model or schema for new items only; answered ones keep their answers.",
    ),
    click.option(
        "--allow-missing", is_flag=True, help="Allow that more than half of the items are gone."
    ),
    no_dedupe,
    click.option(
        "--replace", is_flag=True, help="Take over a job of this name from another job file."
    ),
    click.option(
        "--fresh",
        is_flag=True,
        help="Set the job aside under another name and start over; everything is asked and paid again. Needs --yes.",
    ),
)


def submitting(command: _Command) -> _Command:
    """The options of everything that submits; the command passes them on as `submitting.Wishes`."""
    for option in reversed(_SUBMITTING):
        command = option(command)
    return command
