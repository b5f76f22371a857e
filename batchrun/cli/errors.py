"""How an error looks: one line (a line per problem of a job file) on stderr, or one JSON object a line; and which exit code it has."""

import sys
from typing import Final

import click

from batchrun.cli.invocation import Invocation
from batchrun.cli.printing import tell, tell_json
from batchrun.errors import BatchrunError, JobFileError, LedgerError, Problem, Unexpected

USAGE: Final = 2
UNEXPECTED: Final = 1


def show_error(error: Exception, invocation: Invocation) -> int:
    """Print what went wrong; returns the exit code. What nobody expected asks for a report, and has a traceback under -v only."""
    match error:
        case JobFileError():
            return _show(
                invocation,
                error.exit_code,
                str(error),
                problems=[problem_json(problem) for problem in error.problems],
            )
        case Unexpected():
            return _show_unexpected(error.found, invocation, f", in job {error.job_name!r}")
        case BatchrunError():
            return _show(invocation, error.exit_code, error.placed)
        case click.exceptions.NoArgsIsHelpError():
            tell(error.format_message())
            return USAGE
        case click.UsageError():
            return _show(invocation, USAGE, _usage_message(error, is_json=invocation.is_json))
        case click.ClickException():
            return _show(invocation, error.exit_code, error.format_message())
        case OSError():
            where = f"{error.filename}: " if error.filename is not None else ""
            what = error.strerror or type(error).__name__
            fix = "Free disk space, or make the place writable, and run the same command again."
            return _show(
                invocation, LedgerError.exit_code, f"{where}{what}. {fix} Nothing is lost."
            )
        case _:
            return _show_unexpected(error, invocation)


def error_json(error: BatchrunError) -> dict[str, object]:
    """An error inside a JSON document (`jobs[].error`, `problems[]`)."""
    found: dict[str, object] = {"code": error.exit_code, "message": error.placed}
    if isinstance(error, JobFileError):
        found["problems"] = [problem_json(problem) for problem in error.problems]
    return found


def problem_json(problem: Problem) -> dict[str, object]:
    """One problem or warning of a job file."""
    return {
        "path": problem.path,
        "line": problem.line,
        "message": problem.what,
        "fix": problem.fix,
    }


def show_warnings(problems: tuple[Problem, ...], invocation: Invocation) -> None:
    """Warnings stand beside the result: they change no exit code."""
    for problem in problems:
        if invocation.is_json:
            tell_json({"type": "warning", **problem_json(problem)})
        else:
            tell(f"{problem} (warning)")


def show_warning(message: str, invocation: Invocation) -> None:
    """A warning about the home itself, beside the result: it changes no exit code."""
    if invocation.is_json:
        tell_json({"type": "warning", "message": message})
    else:
        tell(f"batchrun: warning: {message}")


def _show(invocation: Invocation, code: int, message: str, **more: object) -> int:
    if invocation.is_json:
        tell_json({"type": "error", "code": code, "message": message, **more})
    elif "problems" in more:
        tell(message)  # each line begins with its place, so that editors find it
    else:
        tell(f"batchrun: {message}")
    return code


def _usage_message(error: click.UsageError, *, is_json: bool) -> str:
    message = error.format_message()
    if is_json or error.ctx is None:
        return message
    return f"{message}\nTry `{error.ctx.command_path} --help`."


def _show_unexpected(error: Exception, invocation: Invocation, where: str = "") -> int:
    sqlite = sys.modules.get("sqlite3")
    if sqlite is not None and isinstance(error, sqlite.DatabaseError):
        fix = "Run the same command again; if it stays, please report it."
        return _show(invocation, LedgerError.exit_code, f"the ledger: {error}. {fix}")
    if invocation.verbosity:
        import traceback

        tell("".join(traceback.format_exception(error)).rstrip())
        hint = "Please report it, with the lines above."
    else:
        hint = "Please report it, with what the same command prints with -v."
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return _show(
        invocation, UNEXPECTED, f"a bug in batchrun{where}: {what}. {hint} Nothing is lost."
    )
