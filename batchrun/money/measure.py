"""A request file measured before it is sent: its worst case, and how much of it fits into what is left of a limit.

Requests stream by, so memory stays flat; what is measured of one does not hang on the others, so that a prefix costs exactly what it is
measured to cost here when it is a file of its own.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import msgspec

from batchrun.errors import Unbounded
from batchrun.money.asked import Asked
from batchrun.money.counted import Look, Sums
from batchrun.money.counting import CHUNK, RequestCounter
from batchrun.money.price import Ceiling, Price
from batchrun.money.worst import Bound


class _Body(msgspec.Struct, gc=False):
    model: Any = ""


class _Line(msgspec.Struct, gc=False):
    body: _Body


_TEXT: Final = frozenset({"hosted tools"})  # of what is not in a request: what surely is text
_model_of: Final = msgspec.json.Decoder(_Line).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Requests to one model, all of them. Amounts are picodollars.

    `reserved` is the worst case of all, `largest` that of the dearest; of `reserved`, `fees` are for tools that the service runs, which no usage will tell.
    `fitting` counts those from the first on that fit into the room that there is. `is_seen`: all that the model is shown is known here, but for what its
    tools find: then no sound is in what it will say that it took.
    """

    requests: int
    reserved: int
    largest: int
    fees: int
    fitting: int
    is_seen: bool


def measure(
    lines: Iterable[bytes],
    url: str,
    price: Price,
    ceiling: Ceiling,
    fees: Mapping[str, int],
    *,
    room: int | None = None,
    look: Look = lambda _: None,
) -> Measured:
    """Request lines of one model, such as an open request file. `room` is in picodollars; None: all fits.

    `fees` are picodollars of a call of a hosted tool, by its type. Raises Unbounded where nothing bounds what a request costs. `look` knows how
    large the images are that requests only name.
    """
    bound = Bound(url=url, price=price, ceiling=ceiling, fees=fees)
    scale = _Scale(url, bound, look)
    begun, fitting = scale.weight, None
    for chunk in _chunks(lines):
        scale.take(chunk)
        if fitting is None and room is not None and scale.weight.reserved > room:
            left = room - begun.reserved
            fitting = begun.requests + _prefix(chunk, lambda: _Scale(url, bound, look), left)
        begun = scale.weight
    total = scale.weight
    return Measured(
        requests=total.requests,
        reserved=total.reserved,
        largest=total.largest,
        fees=total.fees,
        fitting=total.requests if fitting is None else fitting,
        is_seen=total.is_seen,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Weight:
    """Requests that were weighed so far."""

    requests: int
    reserved: int
    largest: int
    fees: int
    is_seen: bool


class _Scale:
    """Weighs requests as they are counted."""

    def __init__(self, url: str, bound: Bound, look: Look) -> None:
        self._bound = bound
        self._counter = RequestCounter(url, watch=self._watch, look=look)
        self._reserved = 0
        self._largest = 0
        self._fees = 0

    def take(self, lines: Sequence[bytes]) -> None:
        self._counter.take(lines)
        if len(self._counter.own) > 1:
            names = ", ".join(repr(model) for model in self._counter.own)
            raise Unbounded(
                f"requests of one batch ask several models: {names}. Give each model a job of its own.",
                model=min(self._counter.own),
                reason="they ask several models",
            )

    @property
    def weight(self) -> _Weight:
        sums = [one.sums for one in self._counter.own.values()]
        return _Weight(
            requests=sum(one.requests for one in sums),
            reserved=self._reserved,
            largest=self._largest,
            fees=self._fees,
            is_seen=not any(one.unseen.keys() - _TEXT for one in sums),
        )

    def _watch(self, found: Asked, one: Sums, more: Sequence[int]) -> None:
        bound, most = self._bound, max(more)
        dearest = bound.worst(found, one, most)
        self._largest = max(self._largest, dearest)
        self._fees += len(more) * bound.fees_of(found)
        if bound.is_even(one, most):
            least = bound.worst(found, one)
            a_token = (dearest - least) // most if most else 0
            self._reserved += len(more) * least + sum(more) * a_token
        else:
            self._reserved += sum(bound.worst(found, one, count) for count in more)


class Meter:
    """The worst case of requests to whatever models, as they stream by. `bound_of` gives what binds those to one, and raises UnknownPrice."""

    def __init__(self, url: str, bound_of: Callable[[str], Bound], look: Look) -> None:
        self._url, self._bound_of, self._look = url, bound_of, look
        self._scales: dict[str, _Scale] = {}

    def take(self, lines: Iterable[bytes]) -> None:
        """Some request lines, as for `measure`. Raises UnknownPrice, Unbounded."""
        asking: dict[str, list[bytes]] = {}
        for line in lines:
            model = _model_of(line).body.model
            asking.setdefault(model if isinstance(model, str) else "", []).append(line)
        for model, chunk in asking.items():
            if model not in self._scales:
                self._scales[model] = _Scale(self._url, self._bound_of(model), self._look)
            self._scales[model].take(chunk)

    @property
    def requests(self) -> int:
        """How many went by."""
        return sum(scale.weight.requests for scale in self._scales.values())

    @property
    def reserved(self) -> int:
        """The worst case of all of them, in picodollars."""
        return sum(scale.weight.reserved for scale in self._scales.values())


def _prefix(chunk: Sequence[bytes], new_scale: Callable[[], _Scale], room: int) -> int:
    """How many requests of a chunk that does not fit whole still do."""

    def is_too_much(count: int) -> bool:
        scale = new_scale()
        scale.take(chunk[:count])
        return scale.weight.reserved > room

    return bisect_left(range(1, len(chunk) + 1), True, key=is_too_much)


def _chunks(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    stream = iter(lines)
    while chunk := list(islice(stream, CHUNK)):
        yield chunk
