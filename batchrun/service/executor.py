"""The part of the service that does something: moves batches through their lifecycle and executes their lines.

As many lines are in flight as the responder wants at that moment. Whatever has been answered is made durable, all of it in one
transaction, before others take its place; and where a call costs money elsewhere, the same transaction says which lines are about to be
sent (lines.py). Whatever is not durable when the process dies is done by the next `work`, but for those lines, and nothing else is.
Everything is begun and recorded inside `work`: there is no daemon here. Where one `work` follows the other, lines stay under way from the
one to the next; else each would wait for its slowest line, with all others done.
"""

import threading

from batchrun.clock import Clock
from batchrun.service.answering import Answering
from batchrun.service.batches import Batches
from batchrun.service.course import Course
from batchrun.service.files import Files
from batchrun.service.lines import Lines
from batchrun.service.moving import Mover
from batchrun.service.options import Options
from batchrun.service.shift import Shift
from batchrun.service.store import Store
from batchrun.service.turns import Place


class Executor:
    """`work` is called by one thread of one process at a time: the service's lock sees to that."""

    def __init__(
        self,
        *,
        store: Store,
        files: Files,
        batches: Batches,
        lines: Lines,
        mover: Mover,
        answering: Answering,
        clock: Clock,
        options: Options,
        course: Course,
    ) -> None:
        self._store = store
        self._files = files
        self._batches = batches
        self._lines = lines
        self._mover = mover
        self._answering = answering
        self._clock = clock
        self._options = options
        self._course = course
        self._places: dict[int, Place] = {}
        self._changed = threading.Event()
        self._shift: Shift | None = None
        self.rests_until: int | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether lines are: the next is a `work`, or `close`, of this very executor."""
        return self._shift is not None

    def work(
        self,
        seconds: float,
        *,
        resting: frozenset[str] = frozenset(),
        goes_on: bool = False,
    ) -> bool:
        """Advance every batch and execute lines until `seconds` have passed, but none of those (ids) in `resting`; True if any has not ended.

        It returns early where nothing can be done in that time; `rests_until` is the moment then before which the responder wants
        nothing (None: it is not the responder that is waited for). Nothing is in flight afterwards, also after Ctrl-C or a broken
        responder: what was answered is recorded first. But where it `goes_on`, another `work` follows at once, or `close`. Raises whatever
        the responder raises besides ServiceError, Postponed and Unanswered.
        """
        self._files.purge()
        shift = self._shift or self._begin()
        try:
            is_left = shift.run(self._clock.now() + seconds, resting=resting, goes_on=goes_on)
        except BaseException:
            self.close()
            raise
        self.rests_until = shift.rests_until
        if not shift.is_under_way:
            self.close()
        return is_left

    def close(self) -> None:
        """Let what is under way arrive, and record it. Idempotent."""
        shift, self._shift = self._shift, None
        if shift is not None:
            shift.close()

    def _begin(self) -> Shift:
        self._lines.give_up_started()
        self._shift = Shift(
            store=self._store,
            batches=self._batches,
            lines=self._lines,
            mover=self._mover,
            answering=self._answering,
            clock=self._clock,
            options=self._options,
            course=self._course,
            places=self._places,
            changed=self._changed,
        )
        return self._shift

    def wake(self) -> None:
        """Something was created or cancelled: `work` looks at all batches again. From any thread."""
        self._changed.set()
        if (shift := self._shift) is not None:
            shift.wake()
