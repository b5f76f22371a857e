"""The executing of lines: takes those of all batches, records what came of them, and leaves nothing in flight when it is closed."""

import math
import random
import secrets
import threading
from functools import partial
from typing import Final

from batchrun.clock import Clock
from batchrun.errors import BatchrunError
from batchrun.service.answering import Answering
from batchrun.service.batches import Batch, Batches
from batchrun.service.course import Course
from batchrun.service.crew import MOST, Arrival, Crew
from batchrun.service.lifecycle import ENDED, Status
from batchrun.service.lines import Finished, Key, Lines, Started, uncertain
from batchrun.service.moving import Mover
from batchrun.service.options import Options
from batchrun.service.responders.base import Postponed, Reply, Unanswered
from batchrun.service.results import answered_line, usage_of
from batchrun.service.store import Store
from batchrun.service.turns import Place, Source, Taken, Turns

_SOURCES_MOST: Final = 64  # batches whose input files are open at once
_LOOK_S: Final = 1.0  # between two looks at what other processes did


class Shift:
    """`run` any number of times, then `close`, which must be next where `run` raised."""

    def __init__(
        self,
        *,
        store: Store,
        batches: Batches,
        lines: Lines,
        mover: Mover,
        answering: Answering,
        clock: Clock,
        options: Options,
        course: Course,
        places: dict[int, Place],
        changed: threading.Event,
    ) -> None:
        """`places`: where reading goes on in the input of each batch; kept for the next shift. `changed`: look at all batches again."""
        self._store = store
        self._batches = batches
        self._lines = lines
        self._mover = mover
        self._answering = answering
        self._clock = clock
        self._options = options
        self._course = course
        self._places = places
        self._changed = changed
        # The system's own random bytes cost more than all else that is done for a line, and these are names, no secrets.
        self._dice = random.Random(secrets.randbits(128))  # noqa: S311
        self._resting: frozenset[str] = frozenset()
        self._crew = Crew(self._answer)
        self._turns = Turns()
        self._live: dict[int, Batch] = {}
        self._looked_at = -1
        self._on_the_way: dict[Key, Taken] = {}
        # What came of lines and is not durable yet.
        self._finished: list[Finished] = []
        self._opened: list[Key] = []
        self._failures: list[BaseException] = []
        self.rests_until: int | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether the end of any line is still to come, or to be recorded."""
        return bool(self._on_the_way or self._finished or self._opened)

    def run(self, stop_at: float, *, resting: frozenset[str], goes_on: bool) -> bool:
        """Work until `stop_at`, or until nothing can be done before; True if any batch has not ended.

        `resting`: ids of batches of which no line is begun. `goes_on`: another `run` follows at once, so that lines may stay under way.
        """
        self._resting, self.rests_until = resting, None
        self._looked_at = -1
        while True:
            if self._is_look_due():
                self._commit([])  # a batch is finished when its lines are
                self._look()
            now = self._clock.now()
            is_over = bool(self._failures) or now >= stop_at
            taken, wait_s = ([], 0.0) if is_over else self._take()
            self._commit(taken)
            if self._is_look_due():
                continue
            if self._on_the_way and is_over and goes_on and not self._failures:
                return True
            if self._on_the_way:
                self._settle(self._crew.arrivals(min(wait_s or _LOOK_S, _LOOK_S)))
            elif self._failures:
                raise self._failures[0]
            elif is_over or not wait_s:
                return bool(self._live)
            elif self._clock.now() + wait_s >= stop_at:
                self.rests_until = self._clock.now() + math.ceil(wait_s)
                return True
            else:
                self._pause(wait_s)

    def close(self) -> None:
        """Let what is in flight arrive, and record it."""
        self._crew.dismiss()
        try:
            while self._crew.is_at_work and any(one.is_asked for one in self._on_the_way.values()):
                self._settle(self._crew.arrivals(_LOOK_S))
                self._record_rest()
        finally:
            self._crew.close()
            self._settle(self._crew.arrivals(0.0))
            # Those that were about to be asked when something came in between. What was asked and is here still has lost its answer to
            # a signal: it stays started.
            left = {key: one.is_asked for key, one in self._on_the_way.items()}
            self._on_the_way.clear()
            self._opened += [key for key, is_asked in left.items() if not is_asked]
            for batch in self._turns:
                place = self._turns.drop(batch)
                self._places[batch] = Place() if left else place
        self._record_rest()

    def wake(self) -> None:
        """End a wait. From any thread."""
        self._crew.wake()

    # -- batches --------------------------------------------------------------------------------------------------------------

    def _is_look_due(self) -> bool:
        return self._changed.is_set() or self._clock.now() != self._looked_at

    def _look(self) -> None:
        """Make every move that is due, and see which batches take lines."""
        self._changed.clear()
        self._looked_at = self._clock.now()
        flying = {taken.batch for taken in self._on_the_way.values()}
        found = [
            batch if batch.seq in flying else self._mover.advance(batch)
            for batch in self._batches.live()
        ]
        self._live = {batch.seq: batch for batch in found if batch.status not in ENDED}
        taking = [
            batch
            for batch in self._live.values()
            if batch.id not in self._resting and self._mover.takes_lines(batch)
        ]
        for seq in {*self._turns} - {batch.seq for batch in taking}:
            self._turns.drop(seq)
            self._places.pop(seq, None)
        for batch in taking[:_SOURCES_MOST]:
            # What is in flight is not finished: it would be read, and asked, once more.
            if self._turns.get(batch.seq) is None and batch.seq not in flying:
                self._turns.add(self._source(batch))
        for seq in self._places.keys() - self._live.keys():
            del self._places[seq]

    def _source(self, batch: Batch) -> Source:
        begun_at, line_s = batch.since(Status.IN_PROGRESS), self._options.line_s
        return Source(
            batch.seq,
            self._store.open_file(batch.input_file_id),
            self._places.get(batch.seq, Place()),
            is_finished=self._lines.finished_of(batch.seq),
            due_at=lambda number: begun_at + number * line_s,
        )

    # -- lines ----------------------------------------------------------------------------------------------------------------

    def _take(self) -> tuple[list[Taken], float]:
        """Lines for which there is room now, and seconds after which there may be more for another reason than an arrival (0.0: none)."""
        now = self._clock.now()
        held = self._turns.held(now)
        wait_s = float(min(held) - now) if held else 0.0
        taken: list[Taken] = []
        while due := self._turns.due(now):
            # A line that is held keeps its place: refused by the hundred, lines would pile up otherwise.
            if len(self._on_the_way) + len(held) >= min(self._answering.width, MOST):
                break
            if (asked_s := self._answering.wait_s()) > 0:
                wait_s = asked_s
                break
            # A model of our own keeps the beginning of its last prompt: it has one batch after the other.
            source = self._turns.next_of(due) if self._answering.is_billed else due[0]
            one = source.take(now)
            self._on_the_way[one.batch, one.line.number] = one
            taken.append(one)
        return taken, wait_s

    def _commit(self, taken: list[Taken]) -> None:
        """Make durable what has arrived and what is about to be asked, in one transaction; then ask."""
        if not (taken or self._finished or self._opened):
            return
        is_billed = bool(taken) and self._answering.is_billed
        started = [Started(one.batch, one.line.number, one.line.custom_id) for one in taken]
        taking = self._lines.record(
            self._finished,
            opened=self._opened,
            started=started if is_billed else (),
            wanted={one.batch for one in taken},
        )
        self._recorded()
        for one in taken:
            if one.batch in taking:
                self._crew.ask(one)
                one.is_asked = True
            else:  # it was cancelled by another process
                del self._on_the_way[one.batch, one.line.number]
                self._looked_at = -1

    def _settle(self, arrivals: list[Arrival]) -> None:
        """See what became of lines; `_commit` makes it durable."""
        for taken, reply, failure in arrivals:
            key = taken.batch, taken.line.number
            self._on_the_way.pop(key, None)
            if reply is not None:
                self._finished.append(
                    _answered(taken, reply, f"{self._dice.getrandbits(128):032x}")
                )
            elif isinstance(failure, Unanswered):
                self._finished.append(uncertain(*key, taken.line.custom_id, message=str(failure)))
            else:
                self._put_back(taken, failure)
            source = self._turns.get(taken.batch)
            if (source is None or source.is_empty) and not self._is_flying(taken.batch):
                self._looked_at = -1

    def _put_back(self, taken: Taken, failure: BaseException | None) -> None:
        """The line stays open. Only an error that says that nothing was sent takes back that it was started."""
        if isinstance(failure, BatchrunError):
            self._opened.append((taken.batch, taken.line.number))
        retry_after_s: float | None = 0.0
        if isinstance(failure, Postponed):
            retry_after_s = failure.retry_after_s
        elif failure is not None:
            self._failures.append(failure)
        if (source := self._turns.get(taken.batch)) is not None:
            source.put_back(taken, self._clock.now(), retry_after_s)

    def _is_flying(self, batch: int) -> bool:
        return any(one.batch == batch for one in self._on_the_way.values())

    def _recorded(self) -> None:
        self._finished.clear()
        self._opened.clear()

    def _record_rest(self) -> None:
        """As `_commit`, where what is not known to be recorded may be: Ctrl-C comes after a commit as well as before it."""
        self._finished = [
            one for one in self._finished if not self._lines.is_finished((one.batch, one.line))
        ]
        if self._finished or self._opened:
            self._lines.record(self._finished, opened=self._opened)
            self._recorded()

    def _answer(self, taken: Taken) -> Reply:
        """Called in the threads of the crew."""
        line = taken.line
        ask = partial(self._answering.answer, line.url, line.body, custom_id=line.custom_id)
        return self._course.answered(self._live[taken.batch], line.custom_id, ask)

    def _pause(self, wait_s: float) -> None:
        """Wait with nothing in flight: parts of a second in real time, more by the clock, which a test may move."""
        if wait_s < 1:
            self._changed.wait(wait_s)
        else:
            self._clock.sleep_until(self._clock.now() + 1)


def _answered(taken: Taken, reply: Reply, ident: str) -> Finished:
    line = taken.line
    answer = answered_line(
        line.custom_id, reply, line_id=f"batch_req_{ident}", request_id=f"req_{ident}"
    )
    return Finished(
        batch=taken.batch,
        line=line.number,
        custom_id=line.custom_id,
        is_success=reply.status_code == 200,
        answer=answer,
        usage=usage_of(reply.body),
    )
