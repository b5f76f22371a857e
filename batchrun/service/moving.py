"""The moves of a batch through its lifecycle that time and its lines bring about: validated, finalized, ended. No line is executed here."""

import logging
from collections.abc import Sequence

import msgspec

from batchrun.clock import Clock
from batchrun.model import JsonObject, Limits
from batchrun.service.batches import Batch, Batches
from batchrun.service.closing import Closer
from batchrun.service.course import Course
from batchrun.service.files import Files
from batchrun.service.lifecycle import ENDED, Status
from batchrun.service.lines import Lines
from batchrun.service.options import Options
from batchrun.service.refusals import ServiceError
from batchrun.service.store import Store
from batchrun.service.validation import check_input, problem

logger = logging.getLogger(__name__)


class Mover:
    """Moves batches. Only the holder of the work lock may call it, with no line of the batch in flight."""

    def __init__(
        self,
        *,
        store: Store,
        files: Files,
        batches: Batches,
        lines: Lines,
        clock: Clock,
        limits: Limits,
        options: Options,
        course: Course,
    ) -> None:
        self._store = store
        self._files = files
        self._batches = batches
        self._clock = clock
        self._limits = limits
        self._options = options
        self._course = course
        self._closer = Closer(store, lines, clock, options, course)

    def takes_lines(self, batch: Batch) -> bool:
        """Whether lines of it may still be executed: its window is open, and there are some."""
        return (
            batch.status is Status.IN_PROGRESS
            and batch.finished < batch.total
            and self._clock.now() < batch.expires_at + self._course.stall_s(batch)
        )

    def advance(self, batch: Batch) -> Batch:
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
            queued = (
                self._batches.queued_tokens(checked.model, besides=batch) + checked.prompt_tokens
            )
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
