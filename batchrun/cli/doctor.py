"""`batchrun doctor`: what keeps batchrun from working here, and the fix."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from batchrun.cli.invocation import Invocation
from batchrun.cli.options import shared
from batchrun.cli.printing import is_terminal, put, put_json

if TYPE_CHECKING:
    from batchrun.doctoring.diagnosis import Diagnosis

_COLOURS: Final = {"ok": "green", "warn": "yellow", "fail": "red", "unknown": None}
_NAME_AT: Final = 8  # columns of the table
_WHAT_AT: Final = 23


@click.command(short_help="Find what keeps batchrun from working, with the fix.")
@click.option("--offline", is_flag=True, help="Ask no service.")
@click.option(
    "--write",
    is_flag=True,
    help="Also upload a file of one line, and delete it again. Costs nothing.",
)
@shared("home", "backend", "json")
@click.pass_obj
def command(
    invocation: Invocation, *, offline: bool, write: bool, home: str | None, backend: str | None
) -> int:
    """Look at machine, home, settings and service, and say for each thing that is wrong how to mend it.

    The service is asked for what changes nothing and costs nothing; the key is never shown. Without --backend every profile is examined
    that jobs of the home use. Ends with 6 where a service or a key fails, with 7 where home or disk do; warnings end with 0.
    """
    from batchrun.cli.opening import find_for_doctor, wanted_profile
    from batchrun.doctoring.doctor import Examination, examine, exit_code
    from batchrun.running.purse import Purse

    found_home, folder, config = find_for_doctor(home)
    wanted = wanted_profile(backend)
    examination = Examination(
        home=found_home,
        folder=folder,
        config=config,
        clock=invocation.clock,
        environ=os.environ,
        profiles=(wanted,) if wanted else (),
        means_of=Purse(config=config).means,
        is_offline=offline,
        is_writing=write,
    )
    found = []
    for diagnosis in examine(examination):
        found.append(diagnosis)
        if not invocation.is_json:
            _show(diagnosis)
    code = exit_code(found)
    if invocation.is_json:
        put_json(_document(found_home.path if found_home else None, found, code))
    return code


def _show(found: "Diagnosis") -> None:
    """Line by line, as it is found: some answers take a while."""
    name = found.name if found.profile is None else f"{found.profile} {found.name}"
    is_table = is_terminal(sys.stdout)
    level = found.level.ljust(_NAME_AT)
    if is_table:
        put(
            f"{name.ljust(_WHAT_AT)}{found.what}",
            over=click.style(level, fg=_COLOURS[found.level]),
        )
    else:
        put(f"{level}{name}: {found.what}")
    if found.fix:
        put(f"{' ' * (_NAME_AT + _WHAT_AT if is_table else _NAME_AT)}fix: {found.fix}")


def _document(home: Path | None, found: "list[Diagnosis]", code: int) -> dict[str, object]:
    return {
        "home": None if home is None else str(home),
        "exit_code": code,
        "checks": [
            {
                "area": str(diagnosis.area),
                "name": diagnosis.name,
                "profile": diagnosis.profile,
                "level": str(diagnosis.level),
                "what": diagnosis.what,
                "fix": diagnosis.fix or None,
            }
            for diagnosis in found
        ],
    }
