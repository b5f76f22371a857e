"""How fast a server may be asked: as many requests at once as it bears, and no more by the minute than it or the user allows.

Pure: `now` is passed in, in seconds that never go back. Two ideas work together. The number at once grows while all goes well, doubling
in the beginning, then by one with each round of answers, and is halved where the server has too much, once for all that was under way then.
The limits by the minute are meters that let requests start evenly; whatever the server itself says (Retry-After, `x-ratelimit-*`) is a
pause for all.
"""

from collections import deque
from dataclasses import dataclass

from batchrun.model import Rates

START_AT_ONCE = 4
LEAST_PAUSE_S = 1.0
MOST_PAUSE_S = 60.0  # of our own, where a server that has too much does not say how long
_CATCH_UP_S = 3.0  # of a limit by the minute that was not used may be used late
_BELIEVED = 2  # pauses in a row that are as short as a server says
_MINUTE_S = 60.0
_WEIGHT_OF_NEW = 0.1  # in the mean size of a request, of the newest one


class Meter:
    """A limit by the minute: what starts within any 60 seconds stays within it, but for what is too large for it alone; 0: no limit."""

    def __init__(self, per_minute: int) -> None:
        # What was not used is used late, and so could come on top of a whole minute: the minute is a little longer for that.
        self._each_s = (_MINUTE_S + _CATCH_UP_S) / per_minute if per_minute else 0.0
        self._ready_at = float("-inf")

    def wait_s(self, now: float) -> float:
        """Seconds until something may start."""
        return max(0.0, self._ready_at - now)

    def take(self, now: float, amount: float) -> None:
        """Something of this size starts."""
        self._ready_at = max(self._ready_at, now - _CATCH_UP_S) + amount * self._each_s

    def correct(self, difference: float) -> None:
        """What started was larger by so much, or smaller where it is negative."""
        self._ready_at += difference * self._each_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A request under way: the how-manieth it is, and how many tokens it was taken for."""

    number: int
    tokens: float


class Pace:
    """The one pace of all requests to a server with a key. Not safe to share between threads: its owner locks."""

    def __init__(self, rates: Rates) -> None:
        self._most = rates.concurrency
        self._at_once = float(min(START_AT_ONCE, rates.concurrency))
        self._is_growing_fast = True
        self._requests = Meter(rates.requests_per_minute)
        self._tokens = Meter(rates.tokens_per_minute)
        self._mean_tokens = 0.0
        self._let_go: deque[float] = (
            deque()
        )  # allowed by `wait_s`, not begun yet: for how many tokens
        self._begun = 0
        self._slowed_at = 0  # the number of the newest request when it was last slowed down
        self._resumes_at = float("-inf")
        self._refusals = 0

    @property
    def concurrency(self) -> int:
        """How many may be under way at once; at least 1."""
        return int(self._at_once)

    @property
    def mean_tokens(self) -> float:
        """The tokens of a usual request."""
        return self._mean_tokens

    def wait_s(self, now: float) -> float:
        """Seconds until the next request may begin; 0.0 lets one go, which counts from then on."""
        wait = max(
            self._resumes_at - now, self._requests.wait_s(now), self._tokens.wait_s(now), 0.0
        )
        if wait == 0.0:
            self._let_go.append(self._mean_tokens)
            self._requests.take(now, 1)
            self._tokens.take(now, self._mean_tokens)
        return wait

    def begin(self, now: float, tokens: float) -> Ticket:
        """A request begins, of about so many tokens; one that nobody let go (it was asked apart from the others) counts like the rest."""
        if self._let_go:
            self._tokens.correct(tokens - self._let_go.popleft())
        else:
            self._requests.take(now, 1)
            self._tokens.take(now, tokens)
        self._begun += 1
        return Ticket(number=self._begun, tokens=tokens)

    def answered(self, ticket: Ticket, tokens: int) -> None:
        """An answer came, which says that it took so many tokens (0: it does not say)."""
        used = tokens or ticket.tokens
        self._tokens.correct(used - ticket.tokens)
        weight = _WEIGHT_OF_NEW if self._mean_tokens else 1.0
        self._mean_tokens += (used - self._mean_tokens) * weight
        self.heard()
        grown = self._at_once + (1.0 if self._is_growing_fast else 1.0 / self._at_once)
        self._at_once = min(grown, float(self._most))

    def heard(self) -> None:
        """The server said something else than that it has too much."""
        self._refusals = 0

    @property
    def refusals(self) -> int:
        """Pauses in a row, with nothing heard between them."""
        return self._refusals

    def refused(self, ticket: Ticket, now: float, retry_after_s: float | None) -> float:
        """The server has too much, or is not there; how long all wait now: what it asks for, else longer with each pause in a row.

        A server that asks for too little, again and again, is not asked as often as it says.
        """
        self.slow_down(ticket)
        if now >= self._resumes_at:  # else it was under way when the pause began, and is no news
            self._refusals += 1
            if retry_after_s is None or self._refusals > _BELIEVED:
                own_s = min(LEAST_PAUSE_S * 2.0 ** (self._refusals - 1), MOST_PAUSE_S)
                retry_after_s = max(own_s, retry_after_s or 0.0)
        self.pause(now, retry_after_s or 0.0)
        return self._resumes_at - now

    def slow_down(self, ticket: Ticket) -> None:
        """Half as many at once; what was under way when it was last halved says nothing new."""
        if ticket.number > self._slowed_at:
            self._slowed_at = self._begun
            self._is_growing_fast = False
            self._at_once = max(1.0, self._at_once / 2)

    def pause(self, now: float, seconds: float) -> None:
        """Nothing begins for so long."""
        self._resumes_at = max(self._resumes_at, now + seconds)
