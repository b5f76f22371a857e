"""The threads that wait for answers: lines go in, what became of them comes out, in the order of arrival."""

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Final, NamedTuple

from batchrun.service.responders.base import Reply
from batchrun.service.turns import Taken

MOST: Final = 1_024  # threads; each waits for one answer


class Arrival(NamedTuple):
    """The end of one line: its reply, or what was raised instead."""

    taken: Taken
    reply: Reply | None
    failure: BaseException | None = None


class Crew:
    """As many threads as there were lines under way at once; `answer` is called in them. (An executor of the standard library makes a
    future with a lock of its own for every line, which costs more than the rest of this.)
    """

    def __init__(self, answer: Callable[[Taken], Reply]) -> None:
        self._answer = answer
        self._asked: SimpleQueue[Taken | None] = SimpleQueue()
        self._arrived: SimpleQueue[Arrival | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._under_way = 0

    def ask(self, taken: Taken) -> None:
        """Have a line answered."""
        self._asked.put(taken)
        self._under_way += 1
        if self._under_way > len(self._threads):
            thread = threading.Thread(target=self._run, name="batchrun-line")
            self._threads.append(thread)
            thread.start()

    def wake(self) -> None:
        """End a wait for arrivals. From any thread."""
        self._arrived.put(None)

    def arrivals(self, wait_s: float) -> list[Arrival]:
        """All that have arrived; where none has, the first within `wait_s`, and those that came with it."""
        found: list[Arrival | None] = []
        try:
            found.append(self._arrived.get(block=wait_s > 0, timeout=wait_s or None))
            while True:
                found.append(self._arrived.get_nowait())
        except Empty:
            arrivals = [arrival for arrival in found if arrival is not None]
        self._under_way -= len(arrivals)
        return arrivals

    def dismiss(self) -> None:
        """Each thread ends after what it has to do. No more may be asked."""
        for _ in self._threads:
            self._asked.put(None)

    @property
    def is_at_work(self) -> bool:
        """Whether any thread has not ended."""
        return any(thread.is_alive() for thread in self._threads)

    def close(self) -> None:
        """Wait for the threads, which were dismissed; `arrivals` has all that was asked."""
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while (taken := self._asked.get()) is not None:
            try:
                arrival = Arrival(taken, self._answer(taken))
            except BaseException as failure:  # noqa: BLE001 - it is raised where the answers are waited for
                arrival = Arrival(taken, None, failure)
            self._arrived.put(arrival)
