"""What one settled attempt means for its item: the retry policy, as tables and small functions. Pure."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from batchrun.ledger.states import ItemEvent
from batchrun.planning.classify import Outcome

RUNS_PER_ATTEMPT: Final = 3  # releases are free, but an item that is sent for ever is not worth it
# Back-off after the 1st, 2nd, … refusal for enqueued tokens. While a queue is full each try is an upload in vain: in the end one an hour.
TOKEN_HOLD_S: Final = (60, 180, 420, 900, 1_800, 3_600)
SHRINK_AFTER_REFUSALS: Final = 3
# … of what is so small that others must be filling the queue: about a day.
PATIENT_REFUSALS: Final = 24
PAUSE_AFTER_RELEASES: Final = 5
FILE_RETRIES: Final = 3  # uploads of one batch whose file the validator could not find
POLL_SHARE: Final = 10  # a batch is polled again after a tenth of its age …
POLL_MOST_S: Final = 600  # … but at least every ten minutes
ERROR_DELAYS_S: Final = (10, 30, 60, 300, 900)  # after the 1st, 2nd, … pass in which a step failed
INTENT_MOST_S: Final = 7 * 86_400  # an older intent is never proven absent
LOST_LOOK_S: Final = 86_400  # between two looks for a batch that was given up as lost …
LOST_MOST_S: Final = 30 * 86_400  # … while it is younger than this: its results live no longer
TIDY_MOST_S: Final = 86_400  # files on a service are tidied when nothing is open, and once a day where something always is
UNREACHABLE_S: Final = 10  # a profile that failed is left alone for this long at least
FOREVER: Final = 2**40  # unix seconds; a hold until then ends by what a person does
LATE_FILES_S: Final = 600  # a completed batch may show its file ids late


class Settlement(NamedTuple):
    """The event for the item, and its attempts spent after it."""

    event: ItemEvent
    attempts: int


def settle(
    outcome: Outcome,
    *,
    attempts: int,
    attempts_limit: int,
    runs: int,
    is_cancelled: bool,
    is_superseded: bool,
    goes_on: ItemEvent | None = None,
) -> Settlement:
    """The event that an outcome is for an item which has spent `attempts` before, in a batch that is its `runs`-th that may have run.

    Batches that were refused do not count as runs: however often the service had no room, the item keeps its attempts.
    `is_cancelled`: nobody wants it sent again (its job was cancelled, or the item vanished from the data). `goes_on`: by REPAIR or
    CALLED, the answer is followed by another request of the same conversation; a call that nobody waits for is not run.
    """
    spent = attempts if outcome == Outcome.RELEASED else attempts + 1
    if is_superseded:
        return Settlement(ItemEvent.SUPERSEDED, 0)
    if goes_on is not None and not is_cancelled:
        return Settlement(goes_on, spent)
    if goes_on == ItemEvent.CALLED:
        return Settlement(ItemEvent.CANCELLED, spent)
    if outcome == Outcome.SUCCEEDED:
        return Settlement(ItemEvent.SUCCEEDED, spent)
    if outcome == Outcome.FAILED:
        return Settlement(ItemEvent.GAVE_UP, spent)
    if is_cancelled:
        return Settlement(ItemEvent.CANCELLED, spent)
    if spent >= attempts_limit or runs >= RUNS_PER_ATTEMPT * attempts_limit:
        return Settlement(ItemEvent.GAVE_UP, spent)
    if outcome == Outcome.RELEASED:
        return Settlement(ItemEvent.RELEASED, spent)
    return Settlement(ItemEvent.RETRY, spent)


def may_have_run(
    *, is_counted: bool, completed: int, failed: int, came_back: int, never_ran: int
) -> bool:
    """Whether a request of a cancelled batch may have been executed although no line came back for it.

    `completed` and `failed` are the service's own counts (`is_counted`: it gives some); `came_back`: lines of requests, among which
    `never_ran` say that theirs was not executed. Some services count these as failed, and some do not.
    """
    return not is_counted or completed > came_back - never_ran or completed + failed > came_back


def retry_delay_s(attempts: int, delays_s: Sequence[int]) -> int:
    """Seconds before an item that has spent `attempts` (>= 1) is sent again to a service with these delays."""
    return delays_s[min(attempts, len(delays_s)) - 1]


def error_delay_s(errors: int, retry_after_s: float | None) -> int:
    """Seconds before a step is tried again that failed in `errors` passes in a row (>= 1), or what the service asked for, up to an hour."""
    delay = ERROR_DELAYS_S[min(errors, len(ERROR_DELAYS_S)) - 1]
    return max(delay, min(int(retry_after_s or 0) + 1, 3_600) if retry_after_s else 0)


def poll_delay_s(age_s: int, poll_s: int) -> int:
    """Seconds until a batch of this age is polled again; `poll_s` is the profile's shortest interval, 0 for in-process services."""
    if poll_s == 0:
        return 0
    return max(poll_s, min(age_s // POLL_SHARE, POLL_MOST_S))


def token_hold_s(refusals: int) -> int:
    """Seconds until something that may not fit the service's queue of tokens is tried again, after `refusals` (>= 1) in a row."""
    return TOKEN_HOLD_S[min(refusals, len(TOKEN_HOLD_S)) - 1]


def is_suspicious(unreadable: int, lines: int) -> bool:
    """Whether a result file of `lines` lines, of which so many cannot be read, is not to be believed: more than 1 %.

    A single broken line among readable ones is an incident of its item, however short the file.
    """
    return unreadable * 100 > lines and (unreadable > 1 or unreadable == lines)
