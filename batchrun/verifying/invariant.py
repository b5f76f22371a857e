"""One invariant: its name, its rule, what to do where it is broken, and the check that finds out.

A check yields one sentence for each thing that breaks the rule, lazily: what it reads streams by, and only the first few sentences are kept.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from batchrun.errors import LedgerError
from batchrun.ledger.connection import Ledger

FINDINGS_SHOWN: Final = 5

Check = Callable[[Ledger], Iterable[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Invariant:
    """`name` is kebab-case and never changes its meaning; `rule` is one sentence; `is_quick`: needs no reading of file contents."""

    name: str
    rule: str
    fix: str
    check: Check
    is_quick: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one invariant: `count` things break it, `findings` are the first FINDINGS_SHOWN of them."""

    name: str
    rule: str
    fix: str
    count: int
    findings: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing breaks it."""
        return not self.count


def outcome_of(invariant: Invariant, ledger: Ledger) -> Outcome:
    """Check one invariant. What cannot be read counts as one finding more: nobody knows that it holds."""
    count = 0
    findings: list[str] = []
    try:
        with ledger.translated():
            for finding in invariant.check(ledger):
                count += 1
                if len(findings) < FINDINGS_SHOWN:
                    findings.append(finding)
    except LedgerError as exc:
        count += 1
        findings.append(f"could not be checked to its end: {exc}")
    return Outcome(
        name=invariant.name,
        rule=invariant.rule,
        fix=invariant.fix,
        count=count,
        findings=tuple(findings),
    )
