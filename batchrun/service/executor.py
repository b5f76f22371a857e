"""The part of the service that does something: moves batches through their lifecycle and executes their lines.

A line is taken, answered and made durable before another takes its place; as many are in flight as the responder can answer at once.
Whatever is not durable when the process dies is done by the next `work`, and nothing else is. Everything happens inside `work`: there
is no daemon here.
"""

import logging
import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial

import msgspec

from batchrun.clock import Clock
from batchrun.model import JsonObject, Limits
from batchrun.service.answering import Answering
from batchrun.service.batches import Batch, Batches
from batchrun.service.closing import Closer
from batchrun.service.course import Course
from batchrun.service.files import Files
from batchrun.service.inputs import Line, read_lines
from batchrun.service.lifecycle import ENDED, Status
from batchrun.service.options import Options
from batchrun.service.refusals import ServiceError
from batchrun.service.responders.base import Reply
from batchrun.service.results import answered_line, usage_of
from batchrun.service.store import Store, new_id
from batchrun.service.validation import check_input, problem

logger = logging.getLogger(__name__)


class Executor:
    """`work` is called by one thread of one process at a time: the service's lock sees to that."""

    def __init__(
        self,
        *,
        store: Store,
        files: Files,
        batches: Batches,
        answering: Answering,
        clock: Clock,
        limits: Limits,
        options: Options,
        course: Course,
    ) -> None:
        self._store = store
        self._files = files
        self._batches = batches
        self._answering = answering
        self._clock = clock
        self._limits = limits
        self._options = options
        self._course = course
        self._closer = Closer(store, batches, clock, options, course)
        # Where reading goes on in the input of a batch: (line, offset), before which every line is finished.
        self._positions: dict[int, tuple[int, int]] = {}
        self.changed = (
            threading.Event()
        )  # set by whoever creates or cancels; a running slice ends then

    def work(self, seconds: float) -> bool:
        """Advance every batch and execute lines until `seconds` have passed; True if any batch has not ended.

        Raises whatever the responder raises besides ServiceError, after the lines in flight are recorded.
        """
        stop_at = self._clock.now() + seconds
        self._files.purge()
        while True:
            self.changed.clear()
            advanced = map(self._advance, self._batches.live())
            live = [batch for batch in advanced if batch.status not in ENDED]
            ready = next((batch for batch in live if self._has_due_line(batch)), None)
            if ready is None or self._clock.now() >= stop_at:
                return bool(live)
            self._execute(ready, stop_at=stop_at)

    def _advance(self, batch: Batch) -> Batch:
        """Make all moves that are due; the batch as it is then."""
        while (moved := self._next_move(batch)) is not None:
            if moved:
                logger.info("%s: left %s", batch.id, batch.status)
            batch = self._batches.find(batch.id)
        return batch

    def _next_move(self, batch: Batch) -> bool | None:
        """Make one move; None if none is due, False if another had been made meanwhile (by a cancel)."""
        if batch.status in ENDED:
            return None
        # A stall is a later now, for everything that is due by the time.
        now, options = self._clock.now() - self._course.stall_s(batch), self._options
        match batch.status:
            case Status.VALIDATING if now >= batch.created_at + options.validating_s:
                return self._validate(batch)
            case Status.IN_PROGRESS if batch.finished == batch.total:
                return self._batches.move(batch, Status.FINALIZING)
            case Status.IN_PROGRESS if now >= batch.expires_at:
                return self._closer.close(batch, Status.EXPIRED)
            case Status.FINALIZING if now >= batch.since(batch.status) + options.finalizing_s:
                return self._closer.close(batch, Status.COMPLETED)
            case Status.CANCELLING if now >= batch.since(batch.status) + options.cancelling_s:
                return self._closer.close(batch, Status.CANCELLED)
            case _:
                return None

    def _validate(self, batch: Batch) -> bool:
        refusal = self._course.refusal(batch)
        if refusal is not None:
            return self._fail(batch, refusal)
        try:
            size = self._files.get(batch.input_file_id)["bytes"]
        except ServiceError:
            what = f"Cannot find file {batch.input_file_id}: it was deleted or has expired."
            return self._fail(batch, [problem("invalid_request", what, param="input_file_id")])
        with self._store.open_file(batch.input_file_id) as source:
            checked = check_input(
                source,
                endpoint=batch.endpoint,
                size=size,
                limits=self._limits,
                models=self._options.models,
            )
        if checked.problems:
            return self._fail(batch, list(checked.problems))
        limit = self._options.queue_tokens
        if limit is not None:
            queued = self._batches.queued_tokens(besides=batch) + checked.prompt_tokens
            if queued > limit:
                what = (
                    f"Enqueued token limit reached for {checked.model}. Limit: {limit} enqueued tokens. "
                    "Try again once some batches in progress have ended."
                )
                return self._fail(batch, [problem("token_limit_exceeded", what)])
        return self._batches.move(
            batch,
            Status.IN_PROGRESS,
            total=checked.total,
            model=checked.model,
            prompt_tokens=checked.prompt_tokens,
        )

    def _fail(self, batch: Batch, problems: Sequence[JsonObject]) -> bool:
        errors = msgspec.json.encode(problems).decode() if problems else None
        return self._batches.move(batch, Status.FAILED, errors=errors)

    def _has_due_line(self, batch: Batch) -> bool:
        return (
            batch.status is Status.IN_PROGRESS
            and batch.finished < batch.total
            and self._clock.now() >= self._due_at(batch, batch.finished + 1)
        )

    def _due_at(self, batch: Batch, number: int) -> int:
        return batch.since(Status.IN_PROGRESS) + number * self._options.line_s

    def _execute(self, batch: Batch, *, stop_at: float) -> None:
        """Execute due lines of one batch until time is up or something else wants to be looked at.

        Nothing is in flight afterwards, also after Ctrl-C or a broken responder: what was answered is recorded first.
        """
        expires_at = batch.expires_at + self._course.stall_s(batch)
        stop_at = min(stop_at, expires_at, self._clock.now() + self._options.slice_s)
        width = self._answering.width
        in_flight: dict[Future[Reply], Line] = {}
        failures: list[BaseException] = []
        first, offset = self._positions.get(batch.seq, (1, 0))
        with (
            self._store.open_file(batch.input_file_id) as source,
            ThreadPoolExecutor(max_workers=width) as pool,
        ):
            skip = self._batches.finished_lines(batch, beyond=first - 1)
            try:
                for line in read_lines(source, first=first, offset=offset, skip=skip):
                    if len(in_flight) == width:
                        failures += self._record_some(batch, in_flight)
                    if failures or not self._may_take(batch, line, stop_at=stop_at):
                        first, offset = line.number, line.offset
                        break
                    answer = pool.submit(self._answer, batch, line)
                    in_flight[answer] = line
            finally:
                while in_flight:
                    failures += self._record_some(batch, in_flight)
        if failures:
            raise failures[0]
        self._positions[batch.seq] = (first, offset)

    def _answer(self, batch: Batch, line: Line) -> Reply:
        ask = partial(self._answering.answer, line.url, line.body, custom_id=line.custom_id)
        return self._course.answered(batch, line.custom_id, ask)

    def _may_take(self, batch: Batch, line: Line, *, stop_at: float) -> bool:
        now = self._clock.now()
        return (
            now < stop_at
            and now >= self._due_at(batch, line.number)
            and not self.changed.is_set()
            # Another process may have cancelled it.
            and self._batches.find(batch.id).status is Status.IN_PROGRESS
        )

    def _record_some(
        self, batch: Batch, in_flight: dict[Future[Reply], Line]
    ) -> list[BaseException]:
        """Wait for at least one answer and make it durable; returns what went wrong instead of an answer."""
        failures = []
        for answer in wait(in_flight, return_when=FIRST_COMPLETED).done:
            line = in_flight.pop(answer)
            failure = answer.exception()
            if failure is None:
                self._record(batch, line, answer.result())
            else:
                failures.append(failure)
        return failures

    def _record(self, batch: Batch, line: Line, reply: Reply) -> None:
        request_id = new_id("req_")
        line_id = new_id("batch_req_")
        self._batches.record(
            batch,
            line=line.number,
            custom_id=line.custom_id,
            is_success=reply.status_code == 200,
            answer=answered_line(line.custom_id, reply, line_id=line_id, request_id=request_id),
            usage=usage_of(reply.body),
        )
