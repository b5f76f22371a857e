"""The group of all commands, and the one place where errors and signals become messages and exit codes.

Names and one-line helps stand here, so that `batchrun --help` imports none of the commands; a test holds them against the commands.
"""

import gc
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Final

import click

from batchrun import __version__
from batchrun.cli.invocation import Invocation
from batchrun.cli.printing import tell, tell_json

if TYPE_CHECKING:
    from batchrun.cli.signals import Stopped
    from batchrun.clock import Clock

COMMANDS: Final = {
    "check": "Validate job files and their data, offline.",
    "try": "Ask a few items live, and see what the whole job would take.",
    "estimate": "Say what a submit would cost, and how long it may take.",
    "run": "Submit, wait, write the outputs, report: the whole way.",
    "submit": "Queue what is new or changed, send what fits now, return.",
    "tick": "One pass over everything in the home; made for cron.",
    "wait": "Go on until the jobs are done, with progress.",
    "status": "Show where every job stands.",
    "results": "Print items and answers, in input order.",
    "failures": "Show failed items by cause, each with its fix.",
    "explain": "Show the life of one item: request, attempts, answers.",
    "spend": "Show what was spent, and what limits leave.",
    "support": "Write what a service's support asks for, and nothing else.",
    "retry": "Queue failed items again, as they were sent.",
    "cancel": "Stop sending and cancel what runs; paid answers stay.",
    "hold": "Send nothing more for now; what runs is collected.",
    "resume": "Let go what is held or paused.",
    "prune": "Free the disk of what no item needs any more.",
    "forget": "Remove items, or a whole job, from everywhere: personal data.",
    "resolve": "Say what became of a batch that batchrun cannot find.",
    "adopt": "Take in batches that were made elsewhere, as a job.",
    "recover": "Rebuild a lost or older ledger from the service.",
    "verify": "Prove that ledger, spool and outputs are in order.",
    "doctor": "Find what keeps batchrun from working, with the fix.",
    "webhook": "Receive a service's webhooks: what they speak of is collected at once.",
    "serve": "Serve the Batch API on this machine, for rehearsals.",
    "new": "Write a job file for a data file.",
    "schema": "Print the JSON Schema of the job line.",
}
INTERRUPTED: Final = 130


class _Commands(click.Group):
    """Knows its commands by name and imports one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """In the order in which one meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import `batchrun.cli.<name>` and take its `command`."""
        if cmd_name not in COMMANDS:
            return None
        found: click.Command = import_module(f"batchrun.cli.{cmd_name}").command
        if not gc.isenabled():  # as batchrun.cli.main left it
            gc.freeze()
            gc.enable()
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click, but a mistyped name does not import every command to find the nearest."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            import difflib

            near = difflib.get_close_matches(name, COMMANDS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"There is no command {name!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The list of commands, from the table above."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(
    cls=_Commands,
    name="batchrun",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="A first run, without a key: batchrun run --backend local jobs/reviews.jsonl",
)
@click.version_option(__version__, prog_name="batchrun")
def batchrun() -> None:
    """Run large piles of work through OpenAI's Batch API.

    A job file becomes batches; their answers become one output per item. Whatever stops a command, the same command goes on:
    nothing is paid twice and no answer is lost.
    """


def run(arguments: Sequence[str], *, clock: "Clock | None" = None) -> int:
    """One call of the command line; returns its exit code. Prints every error itself and raises none. `clock`: for tests."""
    invocation = Invocation(arguments, clock)
    try:
        code = batchrun.main(
            list(arguments), prog_name="batchrun", standalone_mode=False, obj=invocation
        )
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED  # a command that only looks, or before one had begun
    except SystemExit as exc:  # shell completion
        return exc.code if isinstance(exc.code, int) else 0
    except Exception as exc:  # noqa: BLE001 - the one handler: nothing may reach the user as a traceback
        return _show(exc, invocation)
    finally:
        invocation.close()
    return code if isinstance(code, int) else 0


def _show(error: Exception, invocation: Invocation) -> int:
    from batchrun.cli.errors import show_error
    from batchrun.cli.signals import Stopped

    if isinstance(error, Stopped):
        return _show_stopped(error, invocation)
    return show_error(error, invocation)


def _show_stopped(stopped: "Stopped", invocation: Invocation) -> int:
    code, goes_on = stopped.exit_code, invocation.command_line
    word = "interrupted" if code == INTERRUPTED else "stopped"
    message = f"{word}; nothing is lost. Go on with: {goes_on}"
    if invocation.is_json:
        tell_json({"type": "error", "code": code, "message": message, "command": goes_on})
    else:
        tell(f"batchrun: {message}")
    return code
