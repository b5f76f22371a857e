"""What looks like a mistake in a whole submission: stopped before it costs anything, unless it is said to be meant."""

from typing import Final

from batchrun.errors import GuardError, JobFileError, Problem
from batchrun.jobfile.problems import shown
from batchrun.ledger.submissions import Tally
from batchrun.model import JobSettings

_REASK_FLOOR: Final = 100  # so many answers, given or on their way, may always be asked for again
_REASK_SHARE: Final = 0.2
_VANISH_SHARE: Final = 0.5


def guard(settings: JobSettings, tally: Tally, *, reask: bool, allow_missing: bool) -> None:
    """Refuse a submission that looks like a mistake; `reask` and `allow_missing` say that two of these are none.

    Raises GuardError for too much to ask, JobFileError for too much that is gone from the data.
    """
    queued = tally.new + tally.changed + tally.requeued
    if settings.max_new is not None and queued > settings.max_new:
        raise GuardError(
            f"{settings.name}: {queued:,} items would be queued, and 'max_new' allows {settings.max_new:,}. "
            "Nothing was sent. Check the data, or raise max_new in the job line."
        )
    twice = tally.reasked + tally.superseded
    if (
        not reask
        and twice > _REASK_FLOOR
        and twice > _REASK_SHARE * (tally.answered + tally.awaited)
    ):
        raise GuardError(
            f"{settings.name}: the request changed: {_paid_twice(tally)}. "
            "Nothing was sent. --reask to do it, --new-only to use it for new items."
        )
    before = tally.known + tally.vanished
    if not allow_missing and tally.vanished > _VANISH_SHARE * before:
        raise JobFileError(
            (
                Problem(
                    path=shown(settings.path),
                    line=settings.line,
                    what=f"{tally.vanished:,} of {before:,} items of job {settings.name!r} are gone from its data. Nothing was sent",
                    fix="--allow-missing if that is meant.",
                ),
            )
        )


def _paid_twice(tally: Tally) -> str:
    parts = []
    if tally.reasked:
        parts.append(f"{tally.reasked:,} answered items would be asked again (and paid again)")
    if tally.superseded:
        parts.append(
            f"{tally.superseded:,} items in flight would be paid and not used, and asked again"
        )
    return ", ".join(parts)
