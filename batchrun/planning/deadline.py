"""Deadlines: which moment a job line means, and when what is still open must leave its batch so that live answers come in time. Pure.

A batch has to be cancelled first, and what it has finished is collected, before the rest may be asked live: else it would be paid twice. So the
switch comes before the deadline by the time that a cancel may take and by what the live answers take, both estimated on the long side.
"""

import math
import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from typing import Final, NamedTuple

CANCEL_S: Final = 1_800  # OpenAI's documentation speaks of 10 minutes; what it finishes meanwhile is written, downloaded and settled
ANSWER_S: Final = 10.0  # assumed of one live answer, as long as none were measured
UNPROVEN_CONCURRENCY: Final = (
    16  # answers at once that are counted on before more of them were seen
)
SLACK: Final = 1.5  # what is tried again, and a server that slows down
SHORT_S: Final = 900  # a batch that has less time than this rarely comes to anything

_CLOCK_TIME: Final = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")
_DURATION: Final = re.compile(r"([1-9][0-9]{0,3})([mh])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast the live profile of a job may be asked: so many requests at once, so many of them and of tokens a minute (0: no limit that
    we know of).

    `answer_s`: seconds that one answer takes; `tokens_each`: tokens of one request.
    """

    profile: str
    concurrency: int
    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    answer_s: float = ANSWER_S
    tokens_each: float = 0.0


class Measured(NamedTuple):
    """What was seen of a live profile: seconds that an answer took, with so many of them under way at once."""

    answer_s: float
    concurrency: int


def deadline_at(text: str, submitted_at: int, zone: tzinfo | None = None) -> int:
    """The moment (unix seconds) that `"06:00"` (the next one of this machine's, or of `zone`) or `"8h"`, `"90m"` means after a submit.

    Raises ValueError for anything else.
    """
    if found := _DURATION.fullmatch(text):
        return submitted_at + int(found[1]) * (3_600 if found[2] == "h" else 60)
    found = _CLOCK_TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"not a deadline: {text!r}")
    now = datetime.fromtimestamp(submitted_at, zone)
    today = now.replace(hour=int(found[1]), minute=int(found[2]), second=0, microsecond=0, fold=0)
    # A night may have 23 hours, or 25: then a time comes twice, an hour apart.
    times = (today, today.replace(fold=1), today + timedelta(days=1))
    return next(at for at in (int(time.timestamp()) for time in times) if at > submitted_at)


def believed(pace: Pace, measured: Measured | None) -> Pace:
    """The pace that is counted on: what was measured, and before that no more at once than nearly every server bears."""
    proven = UNPROVEN_CONCURRENCY if measured is None else measured.concurrency
    return replace(
        pace,
        concurrency=min(pace.concurrency, max(UNPROVEN_CONCURRENCY, proven)),
        answer_s=pace.answer_s if measured is None else measured.answer_s,
    )


def live_s(items: int, pace: Pace) -> int:
    """Seconds that so many answers take live, on the long side."""
    if not items:
        return 0
    rounds = math.ceil(items / max(pace.concurrency, 1)) * pace.answer_s
    by_requests = 60 * items / pace.requests_per_minute if pace.requests_per_minute else 0.0
    by_tokens = (
        60 * items * pace.tokens_each / pace.tokens_per_minute if pace.tokens_per_minute else 0.0
    )
    return math.ceil(SLACK * max(rounds, by_requests, by_tokens))


def switch_at(deadline: int, items: int, pace: Pace) -> int:
    """The latest moment at which so many open items can still be taken from their batches and be answered live by the deadline."""
    return deadline - CANCEL_S - live_s(items, pace)


def why_late(
    deadline: int, live_since: int | None, cancel_ended_at: int | None, finished_at: int
) -> str:
    """What made a job that `finished_at` miss its deadline. `cancel_ended_at`: when the last of the batches that it left had ended, if there were any."""
    if live_since is None:
        return "it was answered by its own profile to the end: no pass saw the deadline near, or there is no other way to ask it"
    if live_since > deadline - CANCEL_S:
        if live_since >= deadline:
            return "it went live after the deadline: no pass was made before"
        return f"it went live only {_minutes(deadline - live_since)} before: no pass was made earlier, or the deadline was too near from the start"
    if cancel_ended_at is not None and cancel_ended_at - live_since > CANCEL_S:
        took = _minutes(cancel_ended_at - live_since)
        return f"the batches that it left took {took} to end, and nothing of them is asked twice"
    begun = max(live_since, cancel_ended_at or 0)
    return f"the live answers took {_minutes(finished_at - begun)}"


def _minutes(seconds: int) -> str:
    minutes = max(seconds, 0) // 60
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
