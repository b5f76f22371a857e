"""The service's face: files, batches, and the work on them, in JSON terms; refusals are ServiceError.

It needs nothing but a folder, a responder and a clock. Several threads may call it, and several processes may open the same folder;
lines are executed by one of them at a time.
"""

import threading
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from batchrun.clock import Clock
from batchrun.model import Json, JsonObject, Limits
from batchrun.service import checks
from batchrun.service.answering import Answering
from batchrun.service.batches import Batches
from batchrun.service.bodies import model_of
from batchrun.service.course import Course
from batchrun.service.executor import Executor
from batchrun.service.files import Files
from batchrun.service.lines import Lines
from batchrun.service.moving import Mover
from batchrun.service.options import Options
from batchrun.service.refusals import ServiceError
from batchrun.service.responders.base import Reply, Responder
from batchrun.service.store import Store

if TYPE_CHECKING:
    from filelock import FileLock


class BatchService:
    """An OpenAI-compatible Batch service over the folder `data`, which is created (0700) where it is missing.

    Whatever a call answered is durable. All calls raise ServiceError for a refusal and LedgerError for the disk.
    """

    def __init__(
        self,
        data: Path,
        responder: Responder,
        clock: Clock,
        *,
        limits: Limits | None = None,
        options: Options | None = None,
        course: Course | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self.options = options or Options()
        self.clock = clock
        self._store = Store(data)
        self._files = Files(self._store, clock, self.options)
        self._batches = Batches(self._store, clock, self.options)
        self._answering = Answering(responder, self._files.get)
        self._lines = Lines(self._store)
        course = course or Course()
        mover = Mover(
            store=self._store,
            files=self._files,
            batches=self._batches,
            lines=self._lines,
            clock=clock,
            limits=self.limits,
            options=self.options,
            course=course,
        )
        self._executor = Executor(
            store=self._store,
            files=self._files,
            batches=self._batches,
            lines=self._lines,
            mover=mover,
            answering=self._answering,
            clock=clock,
            options=self.options,
            course=course,
        )
        self._work_lock = threading.Lock()
        self._rests_until: int | None = None
        self._something_to_do = threading.Event()
        self._something_to_do.set()

    def create_file(
        self, source: BinaryIO, *, filename: str, purpose: str, expires_after: Json = None
    ) -> JsonObject:
        """POST /files: copies the stream. 400 for a name that does not end in .jsonl, 413 for too many bytes."""
        return self._files.create(
            source, filename=filename, purpose=purpose, expires_after=expires_after
        )

    def get_file(self, file_id: str) -> JsonObject:
        """GET /files/{id}; 404 also for a file that has expired."""
        return self._files.get(file_id)

    def delete_file(self, file_id: str) -> JsonObject:
        """DELETE /files/{id}."""
        return self._files.delete(file_id)

    def list_files(
        self,
        *,
        after: str | None = None,
        limit: int = 10_000,
        order: str = "desc",
        purpose: str | None = None,
    ) -> JsonObject:
        """GET /files, newest first."""
        return self._files.page(after=after, limit=limit, order=order, purpose=purpose)

    def open_content(self, file_id: str) -> BinaryIO:
        """GET /files/{id}/content; the caller closes it."""
        return self._files.open(file_id)

    def create_batch(self, params: JsonObject) -> JsonObject:
        """POST /batches: `input_file_id`, `endpoint`, `completion_window`, and `metadata`, `output_expires_after` if wanted."""
        batch = self._batches.create(params)
        self.wake()
        return batch

    def get_batch(self, batch_id: str) -> JsonObject:
        """GET /batches/{id}."""
        return self._batches.find(batch_id).to_json()

    def cancel_batch(self, batch_id: str) -> JsonObject:
        """POST /batches/{id}/cancel; 409 when it has ended."""
        batch = self._batches.cancel(batch_id)
        self.wake()
        return batch

    def list_batches(self, *, after: str | None = None, limit: int = 20) -> JsonObject:
        """GET /batches, newest first."""
        return self._batches.page(after=after, limit=limit)

    def respond(self, url: str, body: Json) -> Reply:
        """POST to a synchronous endpoint: the same answer that a line of a batch would get, at once and unrecorded."""
        checks.one_of({"url": url}, "url", self.options.endpoints)
        if not isinstance(body, dict):
            raise ServiceError(status=400, message="The body of the request must be a JSON object.")
        model = model_of(body)
        if self.options.models is not None and model not in self.options.models:
            raise ServiceError(
                status=404,
                message=f"The model '{model}' does not exist.",
                code="model_not_found",
                param="model",
            )
        if body.get("stream"):
            raise ServiceError(
                status=400,
                message="This service does not stream. Leave 'stream' out.",
                code="unsupported_value",
                param="stream",
            )
        return self._answering.answer(url, body, custom_id=None)

    def models(self) -> list[str]:
        """The names of GET /models."""
        if self.options.models is not None:
            return sorted(self.options.models)
        return self._answering.responder.models()

    def work(
        self,
        seconds: float,
        *,
        resting: frozenset[str] = frozenset(),
        goes_on: bool = False,
    ) -> bool:
        """Move batches on and execute lines for at most `seconds` of the clock; True if a batch has not ended.

        `resting`: batches (ids) of which no line is begun. `goes_on`: another `work` or `close` follows at once, and lines may be under way
        until then; no other process works on the folder in between.

        Where another process does, waits up to `seconds` for it to end. Raises what the responder raises when it cannot answer at all;
        everything that was answered is kept.
        """
        with self._work_lock:
            if not self._folder_lock.is_locked and not self._has_folder(max(0.0, seconds)):
                self._rests_until = self.clock.now() + 1
                return bool(self._batches.live())
            try:
                is_left = self._executor.work(seconds, resting=resting, goes_on=goes_on)
            finally:
                if not self._executor.is_under_way:
                    self._folder_lock.release()
            self._rests_until = self._executor.rests_until
            return is_left

    def _has_folder(self, wait_s: float) -> bool:
        from filelock import Timeout

        try:
            self._folder_lock.acquire(timeout=wait_s)
        except Timeout:
            return False
        return True

    @cached_property
    def _folder_lock(self) -> "FileLock":
        from filelock import FileLock

        return FileLock(self._store.work_lock_path, mode=0o600, thread_local=False)

    @property
    def rests_until(self) -> int | None:
        """Unix seconds before which the last `work` found nothing to do, since the responder wants nothing or another process works here; None
        where it is neither.
        """
        return self._rests_until

    def wait_for_change(self, seconds: float) -> None:
        """Return when a call has made something to do, or after `seconds` of real time: for a thread that repeats `work`."""
        self._something_to_do.wait(seconds)
        self._something_to_do.clear()

    def charges(self) -> Iterator[tuple[str, int]]:
        """(custom_id, how often it was executed, or may have been) over all batches, whatever became of them."""
        return self._lines.charges()

    def truth(self) -> JsonObject:
        """Every batch as it really is, oldest first, with its usage, and how often each custom_id was executed.

        `{"batches": [...], "charges": {custom_id: times}}`: what was billed, whatever a client was told of it.
        """
        return {
            "batches": [batch.to_json() for batch in self._batches.all()],
            "charges": dict(self.charges()),
        }

    def close(self) -> None:
        """Let the responder and the database go, after the work under way. Idempotent."""
        with self._work_lock:
            try:
                self._executor.close()
            finally:
                self._folder_lock.release()
                self._answering.responder.close()
                self._store.close()

    def wake(self) -> None:
        """End a `wait_for_change`, and let `work` look at all batches again."""
        self._executor.wake()
        self._something_to_do.set()
