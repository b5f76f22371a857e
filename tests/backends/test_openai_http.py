"""The minimum rate of a body, on a clock that its stream moves: exact to the second, and no test waits."""

from collections.abc import Iterator

import httpx2
import pytest

from batchrun.backends.openai_http import GRACE_S, SLOWEST_BYTES_PER_S, GuardedClient
from batchrun.testing import ManualClock


class Moving(httpx2.SyncByteStream):
    """`count` pieces of `size` bytes, each of which takes `seconds` to come."""

    def __init__(self, clock: ManualClock, *, count: int, size: int, seconds: int) -> None:
        self.clock, self.count, self.size, self.seconds = clock, count, size, seconds
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        for _ in range(self.count):
            yield b"x" * self.size
            self.clock.advance(self.seconds)

    def close(self) -> None:
        self.closed = True


def client(clock: ManualClock, answer: httpx2.SyncByteStream) -> GuardedClient:
    def handle(request: httpx2.Request) -> httpx2.Response:
        request.read()
        return httpx2.Response(200, stream=answer)

    return GuardedClient(clock=clock, transport=httpx2.MockTransport(handle))


def test_a_body_at_the_minimum_rate_goes_through_however_long_it_takes() -> None:
    clock = ManualClock()
    body = Moving(clock, count=500, size=SLOWEST_BYTES_PER_S, seconds=1)
    with client(clock, body) as guarded:
        assert len(guarded.get("http://x/").content) == 500 * SLOWEST_BYTES_PER_S


def test_a_body_may_start_slowly() -> None:
    clock = ManualClock()
    with client(clock, Moving(clock, count=GRACE_S, size=1, seconds=1)) as guarded:
        assert len(guarded.get("http://x/").content) == GRACE_S


@pytest.mark.fault(17)
def test_a_body_below_the_minimum_rate_is_cut_off_and_its_connection_closed() -> None:
    clock = ManualClock()
    body = Moving(clock, count=500, size=1, seconds=1)
    with client(clock, body) as guarded, pytest.raises(httpx2.ReadTimeout, match="in 121 s"):
        guarded.get("http://x/")
    assert body.closed


def test_a_request_that_is_taken_up_too_slowly_is_given_up() -> None:
    clock = ManualClock()
    sent = Moving(clock, count=500, size=1, seconds=1)
    answer = Moving(clock, count=0, size=0, seconds=0)
    with client(clock, answer) as guarded, pytest.raises(httpx2.WriteTimeout, match="in 121 s"):
        guarded.send(httpx2.Request("POST", "http://x/", stream=sent))


@pytest.mark.fault(29)
def test_a_clock_that_is_set_back_cuts_nothing_off() -> None:
    clock = ManualClock()
    with client(clock, Moving(clock, count=10, size=1, seconds=-3600)) as guarded:
        assert len(guarded.get("http://x/").content) == 10
