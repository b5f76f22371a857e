"""Every status of a batch and every move between two of them: a pair that is not in the table is a bug.

Source: OpenAI's Batch guide; "failed" is reached from validation only.
"""

from enum import StrEnum

from batchrun.errors import IllegalTransition


class Status(StrEnum):
    """The status of a batch, as the API spells it."""

    VALIDATING = "validating"
    FAILED = "failed"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    EXPIRED = "expired"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"


ENDED = frozenset({Status.FAILED, Status.COMPLETED, Status.EXPIRED, Status.CANCELLED})

MOVES: dict[Status, frozenset[Status]] = {
    Status.VALIDATING: frozenset({Status.IN_PROGRESS, Status.FAILED, Status.CANCELLING}),
    Status.IN_PROGRESS: frozenset({Status.FINALIZING, Status.EXPIRED, Status.CANCELLING}),
    Status.FINALIZING: frozenset({Status.COMPLETED, Status.CANCELLING}),
    Status.CANCELLING: frozenset({Status.CANCELLED}),
    Status.FAILED: frozenset(),
    Status.COMPLETED: frozenset(),
    Status.EXPIRED: frozenset(),
    Status.CANCELLED: frozenset(),
}


def check_move(old: Status, new: Status) -> None:
    """Raise IllegalTransition unless the table has this move."""
    if new not in MOVES[old]:
        raise IllegalTransition(state=old, event=new)


def stamp_of(status: Status) -> str:
    """The name of the timestamp that entering a status sets: `completed_at`; validation begins at `created_at`."""
    return "created_at" if status is Status.VALIDATING else f"{status}_at"
