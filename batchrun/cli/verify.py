"""`batchrun verify`: prove that ledger, spool and outputs are what they must be."""

from typing import TYPE_CHECKING

import click

from batchrun.cli.invocation import Invocation
from batchrun.cli.options import shared
from batchrun.cli.printing import counted, put, put_json

if TYPE_CHECKING:
    from batchrun.verifying.invariant import Outcome
    from batchrun.verifying.verify import Verification


@click.command(short_help="Prove that ledger, spool and outputs are in order.")
@click.option(
    "--quick",
    is_flag=True,
    help="Leave out what needs the files read through: hashes, requests, answers, outputs.",
)
@shared("home", "json", "lock_wait")
@click.pass_obj
def command(invocation: Invocation, *, quick: bool, home: str | None, lock_wait_s: float) -> int:
    """Check every invariant over ledger, spool and outputs, offline; exit with 7 where one is broken.

    Nothing is changed or repaired. The home's lock is held meanwhile, so that nothing moves: a tick that meets it leaves at once. A
    million items take minutes, the --quick form seconds.
    """
    from batchrun.cli.opening import open_batchrun
    from batchrun.errors import LedgerError

    batchrun = open_batchrun(invocation, home, lock_wait_s=lock_wait_s)
    found = batchrun.verify(is_quick=quick)
    if invocation.is_json:
        put_json(_document(str(batchrun.home.path), found))
    else:
        _show(str(batchrun.home.path), found)
    return LedgerError.exit_code if found.broken else 0


def _show(home: str, found: "Verification") -> None:
    for outcome in found.outcomes:
        if outcome.holds:
            put(f"ok      {outcome.name}")
            continue
        put(f"BROKEN  {outcome.name}: {outcome.rule}")
        for finding in outcome.findings:
            put(f"          {finding}")
        if outcome.count > len(outcome.findings):
            put(f"          … and {outcome.count - len(outcome.findings):,} more")
        put(f"          What to do: {outcome.fix}")
    for leftover in found.leftovers:
        put(f"note    left by a process that was ended, for the next one to clear away: {leftover}")
    word = "hold" if not found.broken else f"checked, {len(found.broken)} broken"
    form = " (quick form)" if found.is_quick else ""
    put(
        f"{home}: {counted(found.items, 'item')}, {found.batches:,} batches; "
        f"{len(found.outcomes)} invariants {word}{form}"
    )


def _document(home: str, found: "Verification") -> dict[str, object]:
    return {
        "home": home,
        "holds": not found.broken,
        "quick": found.is_quick,
        "items": found.items,
        "batches": found.batches,
        "invariants": [_invariant(outcome) for outcome in found.outcomes],
        "leftovers": list(found.leftovers),
    }


def _invariant(outcome: "Outcome") -> dict[str, object]:
    return {
        "name": outcome.name,
        "rule": outcome.rule,
        "holds": outcome.holds,
        "count": outcome.count,
        "findings": list(outcome.findings),
        "fix": outcome.fix,
    }
