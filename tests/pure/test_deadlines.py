"""Deadlines: which moment is meant, when a job must leave its batches for it, and what the plan makes of that."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from batchrun.jobfile.job import validate_job_line
from batchrun.ledger.states import FINAL_BATCH_STATES, BatchState
from batchrun.planning.actions import (
    Cancel,
    Collect,
    Create,
    Cut,
    Drop,
    Form,
    GoLive,
    Poll,
    Sweep,
    Upload,
    Wait,
)
from batchrun.planning.deadline import (
    CANCEL_S,
    SLACK,
    Measured,
    Pace,
    believed,
    deadline_at,
    live_s,
    switch_at,
    why_late,
)
from batchrun.planning.facts import BatchFacts, JobFacts, Snapshot
from batchrun.planning.plan import plan
from batchrun.planning.policy import FOREVER, UNREACHABLE_S

NOW = 1_000_000
LIVE = "openai:live"
PACE = Pace(profile=LIVE, concurrency=10, answer_s=6.0)
DUE = (
    NOW + CANCEL_S + 90
)  # ten items at once, 6 s each, half as much again, need 9 s; a hundred need 90
BERLIN = ZoneInfo("Europe/Berlin")


def seconds(*when: int) -> int:
    return int(datetime(*when, tzinfo=BERLIN).timestamp())  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("text", "submitted", "expected"),
    [
        ("06:00", (2026, 5, 4, 22, 0), (2026, 5, 5, 6, 0)),
        ("6:00", (2026, 5, 4, 5, 59), (2026, 5, 4, 6, 0)),
        ("06:00", (2026, 5, 4, 6, 0), (2026, 5, 5, 6, 0)),  # now is not the next such moment
        ("23:59", (2026, 12, 31, 23, 59, 30), (2027, 1, 1, 23, 59)),
        ("06:00", (2026, 3, 28, 22, 0), (2026, 3, 29, 6, 0)),  # a night of 23 hours
        ("06:00", (2026, 10, 24, 22, 0), (2026, 10, 25, 6, 0)),  # and one of 25
        ("02:30", (2026, 3, 29, 1, 0), (2026, 3, 29, 3, 30)),  # there is no such time in it
    ],
)
def test_a_time_of_day_is_the_next_such_moment_of_this_machine(
    text: str, submitted: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    assert deadline_at(text, seconds(*submitted), BERLIN) == seconds(*expected)


def test_a_time_that_a_night_has_twice_is_meant_both_times() -> None:
    first = seconds(2026, 10, 25, 2, 30)
    assert deadline_at("02:30", first - 60, BERLIN) == first
    assert deadline_at("02:30", first, BERLIN) == first + 3_600
    assert deadline_at("02:30", first + 3_600, BERLIN) == first + 25 * 3_600


@pytest.mark.parametrize(
    ("text", "length"),
    [("8h", timedelta(hours=8)), ("90m", timedelta(minutes=90)), ("1m", timedelta(minutes=1))],
)
def test_a_duration_counts_from_the_submit(text: str, length: timedelta) -> None:
    assert deadline_at(text, NOW) == NOW + length.total_seconds()


@pytest.mark.parametrize(
    "text", ["6", "24:00", "06:60", "0h", "8 h", "8d", "1h30m", "-8h", "", "06:00Z"]
)
def test_anything_else_is_refused_by_the_job_line_as_by_the_reading(text: str) -> None:
    with pytest.raises(ValueError, match="not a deadline"):
        deadline_at(text, NOW)
    faults = dict(validate_job_line({"job": "a", "deadline": text}))
    assert "time of day such as '06:00'" in faults["deadline"].what


@pytest.mark.parametrize("text", ["06:00", "6:00", "23:59", "8h", "90m"])
def test_what_is_read_is_taken_by_the_job_line(text: str) -> None:
    assert list(validate_job_line({"job": "a", "deadline": text})) == []
    deadline_at(text, NOW)


@pytest.mark.parametrize(
    ("items", "pace", "expected"),
    [
        (0, PACE, 0),
        (1, PACE, 6 * SLACK),
        (10, PACE, 6 * SLACK),
        (11, PACE, 12 * SLACK),
        (1_000, PACE, 600 * SLACK),
        # a limit of the account is slower than the server
        (1_000, Pace(profile=LIVE, concurrency=500, requests_per_minute=100), 600 * SLACK),
        (
            1_000,
            Pace(profile=LIVE, concurrency=1, answer_s=0.5, requests_per_minute=10_000),
            500 * SLACK,
        ),
        (6, Pace(profile=LIVE, concurrency=0, answer_s=1.0), 6 * SLACK),
    ],
)
def test_what_live_answers_take(items: int, pace: Pace, expected: float) -> None:
    assert live_s(items, pace) == expected
    assert switch_at(NOW, items, pace) == NOW - CANCEL_S - expected


def job(**changes: object) -> JobFacts:
    facts: dict[str, object] = {
        "id": 1,
        "profile": "openai",
        "has_open_items": True,
        "is_stale": False,
        "deadline_at": DUE,
        "open_count": 100,
        "pace": PACE,
        **changes,
    }
    return JobFacts(**facts)  # type: ignore[arg-type]


def batch(state: BatchState, **changes: object) -> BatchFacts:
    facts = {"id": 1, "job": 1, "profile": "openai", "model": "m", "state": state, **changes}
    return BatchFacts(**facts)  # type: ignore[arg-type]


RUNNING = batch(BatchState.CREATED, next_at=NOW + 5_000)


def snapshot(one: JobFacts, *batches: BatchFacts, **changes: object) -> Snapshot:
    return Snapshot(jobs=(one,), batches=batches, **changes)  # type: ignore[arg-type]


def test_a_job_goes_live_at_the_last_moment_and_not_before() -> None:
    assert plan(snapshot(job(), RUNNING), NOW - 1) == (Wait(NOW),)
    assert plan(snapshot(job(), RUNNING), NOW) == (GoLive(1, LIVE),)
    assert plan(snapshot(job(), RUNNING), NOW + 50_000)[0] == Poll("openai", (1,))


def test_what_was_answered_meanwhile_makes_the_moment_later() -> None:
    fewer = job(open_count=10)
    assert plan(snapshot(fewer, RUNNING), NOW) == (Wait(NOW + 81),)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"deadline_at": None, "pace": None}, "it has no deadline"),
        ({"pace": None}, "its profile answers line by line anyway"),
        ({"is_paused": True}, "a person has to act first"),
        ({"is_live": True, "diverted_to": LIVE}, "it went already, and its batch was told"),
    ],
)
def test_a_job_stays_where_it_is(changes: dict[str, object], why: str) -> None:
    told = batch(BatchState.CREATED, next_at=NOW + 5_000, cancel_requested=True, cancel_sent=True)
    running = told if "is_live" in changes else RUNNING
    assert plan(snapshot(job(**changes), running), NOW) == (Wait(NOW + 5_000),), why


@pytest.mark.parametrize(
    ("state", "first"),
    [
        (BatchState.CREATED, Poll("openai", (1,))),
        (BatchState.CREATING, Sweep("openai")),
        (BatchState.ENDED, Collect(1)),
    ],
)
def test_a_batch_that_may_have_ended_is_looked_at_before_it_is_cancelled(
    state: BatchState, first: object
) -> None:
    assert plan(snapshot(job(), batch(state)), NOW) == (first,)
    away = snapshot(job(), batch(state), unreachable=frozenset({"openai"}))
    assert plan(away, NOW) == (GoLive(1, LIVE),)


def test_nothing_more_is_sent_to_the_old_place_while_a_job_is_leaving() -> None:
    leaving = job(fresh_files=((7, "m"),), queued_due=1, queued_since=0)
    waiting = (batch(BatchState.PLANNED), batch(BatchState.UPLOADED, id=2))
    assert plan(snapshot(leaving, *waiting), NOW) == (GoLive(1, LIVE),)
    found = plan(snapshot(leaving, *waiting), NOW - 1)
    assert {Form(1, 7), Upload(1), Create(2)} <= set(found)


def test_once_it_is_live_its_batches_are_dropped_or_cancelled_and_the_rest_goes_at_once() -> None:
    live = job(
        is_live=True, diverted_to=LIVE, fresh_files=((7, "m"),), queued_due=1, queued_since=NOW
    )
    batches = (
        batch(BatchState.PLANNED, cancel_requested=True),
        batch(BatchState.CREATED, id=2, cancel_requested=True),
        batch(BatchState.CREATING, id=3, next_at=NOW + 60, cancel_requested=True),
    )
    assert plan(snapshot(live, *batches), NOW) == (
        Drop(1),
        Poll("openai", (2,)),
        Cancel(2),
        Form(1, 7),
        Cut(1),
    )


@pytest.mark.parametrize("state", [s for s in BatchState if s <= BatchState.CREATED])
def test_a_batch_that_comes_back_to_a_live_job_is_told_too(state: BatchState) -> None:
    live = job(is_live=True, diverted_to=LIVE)
    back = batch(state, next_at=NOW + 5_000)
    assert plan(snapshot(live, back), NOW) == (GoLive(1, LIVE),)


@pytest.mark.parametrize("state", sorted(FINAL_BATCH_STATES | {BatchState.ENDED}))
def test_one_that_has_ended_needs_no_telling_nor_one_that_is_live_itself(state: BatchState) -> None:
    live = job(is_live=True, diverted_to=LIVE)
    ended = batch(state, next_at=NOW + 5_000)
    itself = batch(BatchState.CREATED, id=2, profile=LIVE, next_at=NOW + 50)
    assert plan(snapshot(live, ended, itself), NOW) == (Wait(NOW + 50),)


@pytest.mark.parametrize(
    ("changes", "until"),
    [
        ({"holds": ((LIVE, "", NOW + 70),)}, NOW + 70),
        ({"unreachable": frozenset({LIVE})}, NOW + UNREACHABLE_S),
        ({"holds": (("openai", "", FOREVER),)}, NOW + 5_000),
    ],
)
def test_nothing_leaves_its_batch_for_a_place_where_it_could_not_be_asked(
    changes: dict[str, object], until: int
) -> None:
    assert plan(snapshot(job(), RUNNING, **changes), NOW) == (Wait(until),)


def test_a_hold_of_the_batches_alone_is_no_reason_to_stay() -> None:
    held = (("openai", "", NOW + 900), ("openai", "m", NOW + 900))
    assert plan(snapshot(job(), RUNNING, holds=held), NOW) == (GoLive(1, LIVE),)


@pytest.mark.parametrize(
    ("measured", "concurrency", "answer_s"),
    [
        (None, 16, 6.0),  # so many at once nearly every server bears
        (Measured(2.0, 4), 16, 2.0),
        (Measured(2.0, 40), 40, 2.0),
        (Measured(2.0, 400), 64, 2.0),  # the settings allow no more
    ],
)
def test_more_at_once_is_counted_on_only_when_it_was_seen(
    measured: Measured | None, concurrency: int, answer_s: float
) -> None:
    found = believed(Pace(profile=LIVE, concurrency=64, answer_s=6.0), measured)
    assert (found.concurrency, found.answer_s) == (concurrency, answer_s)


def test_a_limit_of_tokens_a_minute_counts_the_tokens_of_a_request() -> None:
    pace = Pace(profile=LIVE, concurrency=500, tokens_per_minute=60_000, tokens_each=300.0)
    assert live_s(1_000, pace) == 300 * SLACK


@pytest.mark.parametrize(
    ("live_since", "cancel_ended_at", "expected"),
    [
        (None, None, "by its own profile to the end"),
        (NOW, None, "after the deadline"),
        (NOW - 600, None, "only 10 min before"),
        (NOW - 9_000, NOW - 1_800, "took 2 h 0 min to end"),
        (NOW - 9_000, NOW - 8_400, "the live answers took 2 h 30 min"),
        (NOW - 9_000, None, "the live answers took 2 h 40 min"),
    ],
)
def test_the_report_says_what_made_a_job_late(
    live_since: int | None, cancel_ended_at: int | None, expected: str
) -> None:
    assert expected in why_late(NOW, live_since, cancel_ended_at, NOW + 600)
