"""How fast a server is asked: within every limit, at once as many as it bears, and never standing still. Time is a number here."""

import heapq
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchrun.backends.live.limits import exhausted_s, span_s
from batchrun.backends.live.pace import MOST_PAUSE_S, START_AT_ONCE, Meter, Pace
from batchrun.model import Rates


@dataclass(slots=True, kw_only=True)
class Night:
    """A pace against a server that bears `room` requests at once, takes `takes_s` for each, and has too much otherwise."""

    rates: Rates
    room: int
    takes_s: float
    tokens: int = 100
    retry_after_s: float | None = None
    now: float = 0.0
    begun: list[float] = field(default_factory=list)
    most: int = 0
    answered: int = 0

    def run(self, count: int, *, until_s: float = 1e6) -> Pace:
        """Until so many are answered; fails where that takes longer than `until_s`."""
        pace = Pace(self.rates)
        self.go_on(pace, count, until_s=until_s)
        return pace

    def go_on(self, pace: Pace, count: int, *, until_s: float = 1e6) -> None:
        """More of the same pace."""
        goal = self.answered + count
        under_way: list[tuple[float, int, bool]] = []
        tickets = {}
        while self.answered < goal:
            assert self.now < until_s, f"{self.answered} of {goal} answered: it stands still"
            wait = 0.0
            while len(under_way) < pace.concurrency and not (wait := pace.wait_s(self.now)):
                ticket = pace.begin(self.now, self.tokens)
                tickets[ticket.number] = ticket
                self.begun.append(self.now)
                fits = len(under_way) < self.room
                ends_at = self.now + (self.takes_s if fits else 0.01)
                heapq.heappush(under_way, (ends_at, ticket.number, fits))
                self.most = max(self.most, len(under_way))
            resumes_at = self.now + wait if wait else float("inf")
            if under_way and under_way[0][0] <= resumes_at:
                self.now, number, fits = heapq.heappop(under_way)
                if fits:
                    pace.answered(tickets.pop(number), self.tokens)
                    self.answered += 1
                else:
                    pace.refused(tickets.pop(number), self.now, self.retry_after_s)
            else:
                # As much later as makes a difference to a float of that size.
                self.now = resumes_at + 1e-6

    def most_in_a_minute(self) -> int:
        """How many began within any 60 seconds."""
        first = most = 0
        for last, at in enumerate(self.begun):
            while at - self.begun[first] >= 60:
                first += 1
            most = max(most, last - first + 1)
        return most


@settings(max_examples=40, deadline=None)
@given(
    concurrency=st.integers(1, 64),
    per_minute=st.integers(1, 5_000),
    tokens_per_minute=st.integers(0, 50_000),
    room=st.integers(1, 100),
    takes_s=st.floats(0.01, 30),
    retry_after_s=st.none() | st.floats(0, 20),
)
def test_no_setting_is_ever_exceeded_and_all_is_answered(
    concurrency: int,
    per_minute: int,
    tokens_per_minute: int,
    room: int,
    takes_s: float,
    retry_after_s: float | None,
) -> None:
    night = Night(
        rates=Rates(
            concurrency=concurrency,
            requests_per_minute=per_minute,
            tokens_per_minute=tokens_per_minute,
        ),
        room=room,
        takes_s=takes_s,
        retry_after_s=retry_after_s,
    )
    night.run(150)
    assert night.most <= concurrency
    assert night.most_in_a_minute() <= per_minute
    if tokens_per_minute:
        # The last may begin when there is any room at all.
        assert (night.most_in_a_minute() - 1) * night.tokens <= tokens_per_minute


@pytest.mark.parametrize("per_minute", [1, 7, 60, 3_000])
def test_a_limit_by_the_minute_is_also_used(per_minute: int) -> None:
    night = Night(rates=Rates(requests_per_minute=per_minute), room=100, takes_s=0.5)
    night.run(3 * per_minute)
    assert night.now <= 3 * 63 + 1


def test_it_begins_with_few_and_soon_asks_as_many_as_it_may() -> None:
    assert Pace(Rates()).concurrency == START_AT_ONCE
    assert Pace(Rates(concurrency=2)).concurrency == 2
    night = Night(rates=Rates(concurrency=64), room=100, takes_s=1)
    assert night.run(200).concurrency == 64
    assert night.now <= 8


def test_it_finds_what_the_server_bears_and_stays_near_it() -> None:
    night = Night(rates=Rates(concurrency=64), room=20, takes_s=5)
    pace = night.run(500)
    assert 8 <= pace.concurrency <= 22
    assert len(night.begun) < 1.3 * 500
    assert night.now < 3 * 500 * 5 / 20


def test_it_recovers_when_the_server_bears_more_again() -> None:
    night = Night(rates=Rates(concurrency=32), room=1, takes_s=1)
    pace = night.run(50)
    assert pace.concurrency <= 3
    night.room = 100
    night.go_on(pace, 1_500)
    assert pace.concurrency == 32


def test_what_was_under_way_at_a_refusal_slows_down_only_once() -> None:
    pace = Pace(Rates(concurrency=8))
    first = [pace.begin(0, 1) for _ in range(4)]
    for ticket in first:
        pace.answered(ticket, 1)
    assert pace.concurrency == 8
    flock = [pace.begin(1, 1) for _ in range(8)]
    for ticket in flock:
        pace.refused(ticket, 1, None)
    assert (pace.concurrency, pace.refusals) == (4, 1)
    pace.slow_down(pace.begin(2, 1))
    assert pace.concurrency == 2


def test_pauses_grow_until_an_answer_comes() -> None:
    pace, now, waits = Pace(Rates()), 0.0, []
    for _ in range(8):
        waits.append(pace.refused(pace.begin(now, 1), now, None))
        now += waits[-1]
    assert waits == [1, 2, 4, 8, 16, 32, MOST_PAUSE_S, MOST_PAUSE_S]
    pace.answered(pace.begin(now, 1), 1)
    assert pace.refused(pace.begin(now, 1), now, None) == 1


def test_what_the_server_asks_for_is_kept_unless_it_is_nothing_time_and_again() -> None:
    pace = Pace(Rates())
    assert pace.refused(pace.begin(0, 1), 0, 30.0) == 30.0
    assert pace.wait_s(10.0) == 20.0
    assert pace.refused(pace.begin(10, 1), 10.0, 5.0) == 20.0
    assert pace.wait_s(30.0) == 0.0
    pace = Pace(Rates())
    assert [pace.refused(pace.begin(0, 1), 0, 0.0) for _ in range(3)] == [0.0, 0.0, 4.0]


def test_tokens_are_taken_as_estimated_and_corrected_by_what_the_answer_says() -> None:
    pace = Pace(Rates(tokens_per_minute=6_300))  # with what may be used late: 10 ms a token
    assert pace.wait_s(0.0) == 0.0
    ticket = pace.begin(0.0, 1_000)
    assert pace.wait_s(0.0) == pytest.approx(10.0 - 3.0)
    pace.answered(ticket, 500)
    assert pace.wait_s(0.0) == pytest.approx(5.0 - 3.0)
    assert pace.mean_tokens == 500


def test_a_meter_without_a_limit_never_waits() -> None:
    meter = Meter(0)
    meter.take(0.0, 1e9)
    assert meter.wait_s(0.0) == 0.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(("1s", 1), ("6m0s", 360), ("12ms", 0.012), ("2m59.56s", 179.56), ("1h2m", 3_720)),
        *(("60", 60), ("0.5", 0.5), (" 7.66s ", 7.66), ("1d", 86_400)),
        *(("", None), ("soon", None), ("-1", None), ("1x", None), ("inf", None), ("nan", None)),
        *(("s1", None), ("1s!", None)),
    ],
)
def test_spans_of_time_are_read_as_servers_write_them(text: str, seconds: float | None) -> None:
    assert span_s(text) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({}, 0),
        ({"remaining-requests": "5", "reset-requests": "1s"}, 0),
        ({"remaining-requests": "0", "reset-requests": "6m0s"}, 360),
        ({"remaining-requests": "0", "reset-requests": "60s", "limit-requests": "600"}, 1),
        ({"remaining-requests": "0", "reset-requests": "2s", "limit-requests": "5"}, 2),
        ({"remaining-requests": "0"}, 0),
        ({"remaining-tokens": "90", "reset-tokens": "10s", "limit-tokens": "10090"}, 1),
        ({"remaining-tokens": "150", "reset-tokens": "10s", "limit-tokens": "10000"}, 0),
        ({"remaining-tokens": "many", "reset-tokens": "10s"}, 0),
    ],
)
def test_where_nothing_is_left_of_a_limit_as_long_is_waited_as_ten_requests_need(
    headers: dict[str, str], wait: float
) -> None:
    sent = {f"x-ratelimit-{name}": value for name, value in headers.items()}
    assert exhausted_s(sent, requests=10, tokens=1_000) == pytest.approx(wait)
