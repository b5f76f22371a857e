"""Which line is next: the batches that have lines left, each with its place in its input file, and whose turn it is."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final, NamedTuple

from batchrun.service.inputs import Line, read_lines

_PATIENCE_MOST_S: Final = 60


@dataclass(slots=True, eq=False)
class Taken:
    """A line on its way. `tries`: how often it was postponed before. `is_asked`: the responder has it, or will."""

    batch: int
    line: Line
    tries: int = 0
    is_asked: bool = False


class Place(NamedTuple):
    """Where reading goes on: every line before that one is finished."""

    line: int = 1
    offset: int = 0


@dataclass(slots=True)
class _Held:
    taken: Taken
    until: int


class Source:
    """The open lines of one batch, in the order of its file; those that were postponed come first again when their time has come.

    `due_at(number)`: unix seconds before which a line is not to be executed. It owns `file`.
    """

    def __init__(
        self,
        batch: int,
        file: BinaryIO,
        place: Place,
        *,
        is_finished: Callable[[int], bool],
        due_at: Callable[[int], int],
    ) -> None:
        self.batch = batch
        self._file = file
        self._due_at = due_at
        self._lines: Iterator[Line] = read_lines(
            file, first=place.line, offset=place.offset, is_finished=is_finished
        )
        self._next: Line | None = next(self._lines, None)
        self._held: list[_Held] = []

    @property
    def is_empty(self) -> bool:
        """Whether no line is left to take, now or later."""
        return self._next is None and not self._held

    @property
    def place(self) -> Place:
        """Where a later source of the batch goes on, with no line in flight."""
        open_ = [held.taken.line for held in self._held]
        open_ += [] if self._next is None else [self._next]
        first = min(open_, key=lambda line: line.number, default=None)
        return Place() if first is None else Place(first.number, first.offset)

    def is_due(self, now: int) -> bool:
        """Whether `take` has a line."""
        if self._held and any(held.until <= now for held in self._held):
            return True
        return self._next is not None and now >= self._due_at(self._next.number)

    def take(self, now: int) -> Taken:
        """The next line that is due."""
        for held in self._held:
            if held.until <= now:
                self._held.remove(held)
                return held.taken
        assert self._next is not None
        line, self._next = self._next, next(self._lines, None)
        return Taken(self.batch, line)

    def put_back(self, taken: Taken, now: int, retry_after_s: float | None) -> None:
        """Hold a line that was postponed: for what the server asked for, else longer each time; and what it asked for is not believed for ever."""
        patience_s = min(2**taken.tries, _PATIENCE_MOST_S)
        wait_s = patience_s if retry_after_s is None else max(retry_after_s, patience_s // 16)
        again = Taken(taken.batch, taken.line, tries=taken.tries + 1)
        self._held.append(_Held(again, now + math.ceil(wait_s)))

    def held(self, now: int) -> list[int]:
        """Until when each line is held that may not be taken yet."""
        return [held.until for held in self._held if held.until > now]

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Turns:
    """The sources of all batches that take lines, oldest first."""

    def __init__(self) -> None:
        self._sources: dict[int, Source] = {}
        self._last = 0

    def __iter__(self) -> Iterator[int]:
        return iter(list(self._sources))

    def get(self, batch: int) -> Source | None:
        """The source of a batch."""
        return self._sources.get(batch)

    def add(self, source: Source) -> None:
        """One more, younger than all others."""
        self._sources[source.batch] = source

    def drop(self, batch: int) -> Place:
        """Close the source of a batch; where a later one goes on."""
        source = self._sources.pop(batch)
        source.close()
        return source.place

    def due(self, now: int) -> list[Source]:
        """Those that have a line to take."""
        return [source for source in self._sources.values() if source.is_due(now)]

    def next_of(self, due: list[Source]) -> Source:
        """The one of these whose turn it is: each has one line, then it begins anew."""
        chosen = next((source for source in due if source.batch > self._last), due[0])
        self._last = chosen.batch
        return chosen

    def held(self, now: int) -> list[int]:
        """Until when each postponed line of all of them is held."""
        return [until for source in self._sources.values() for until in source.held(now)]
