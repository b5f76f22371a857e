"""The canary: a few items of a submission go first, and what becomes of them says whether the rest is sent. Pure.

An item counts by what it comes to in the end: one whose attempt failed and is asked again is undecided. So a busy service pauses nothing,
and no verdict needs all of them: it falls as soon as the undecided ones can no longer change it.
"""

from enum import StrEnum
from typing import Final, NamedTuple

_CUT: Final = "length"  # the cause of an answer that was cut at its cap
_NEARLY: Final = 1e-9  # 0.29 * 100 is a little less than 29


class Verdict(StrEnum):
    """What is known of a canary."""

    OPEN = "open"  # the undecided items may still turn it either way
    PASSED = "passed"
    FAILED = "failed"


class Canary(NamedTuple):  # not a dataclass: `status` loads it, see looking.py
    """What became of the items that went first. Cancelled ones are in no count, and vanished ones are none of it any more; `causes` are those of failed items, with their number."""

    succeeded: int
    undecided: int
    causes: tuple[tuple[str, int], ...]
    max_failed: float
    max_truncated: float

    @property
    def truncated(self) -> int:
        """Failed items whose answer was cut at its cap."""
        return sum(count for cause, count in self.causes if cause == _CUT)

    @property
    def failed(self) -> int:
        """Items that failed for any other reason."""
        return sum(count for cause, count in self.causes if cause != _CUT)

    @property
    def items(self) -> int:
        """All that count."""
        return self.succeeded + self.undecided + self.failed + self.truncated


def judge(canary: Canary) -> Verdict:
    """Whether the rest may be sent. A canary of which nothing is left has proven nothing, and fails."""
    failed_most = canary.max_failed * canary.items + _NEARLY
    truncated_most = canary.max_truncated * canary.items + _NEARLY
    if not canary.items or canary.failed > failed_most or canary.truncated > truncated_most:
        return Verdict.FAILED
    is_sure = (
        canary.failed + canary.undecided <= failed_most
        and canary.truncated + canary.undecided <= truncated_most
    )
    return Verdict.PASSED if is_sure else Verdict.OPEN


def failure(canary: Canary) -> str | None:
    """Why a canary failed and what a person can do, in words; None for one that did not."""
    if judge(canary) is not Verdict.FAILED:
        return None
    parts = []
    if canary.failed > canary.max_failed * canary.items + _NEARLY:
        causes = ", ".join(f"{count:,} {cause}" for cause, count in canary.causes if cause != _CUT)
        most = f"at most {_percent(canary.max_failed)} may"
        parts.append(f"{canary.failed:,} of {canary.items:,} items failed ({causes}; {most})")
    if canary.truncated > canary.max_truncated * canary.items + _NEARLY:
        most = f"at most {_percent(canary.max_truncated)} may be"
        parts.append(f"{canary.truncated:,} of {canary.items:,} answers were cut ({most})")
    what = " and ".join(parts) or "none of its items is left"
    return (
        f"canary: {what}. The rest is not sent. `batchrun resume` sends it as it is; a corrected job file that is submitted "
        "begins with a new canary"
    )


def _percent(share: float) -> str:
    return f"{round(share * 100, 2):g} %"
