"""The one door to the responder: as many answers at once as it can give, and refusals turned into replies.

The executor and the synchronous endpoints both go through it, so that together they never ask for more than `concurrency`.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator

from batchrun.model import JsonObject
from batchrun.service.references import file_ids
from batchrun.service.refusals import ServiceError
from batchrun.service.responders.base import Reply, Responder


class Answering:
    """Wraps a responder, which is not touched before the first question: loading a model is slow."""

    def __init__(self, responder: Responder, find_file: Callable[[str], object]) -> None:
        """`find_file` raises ServiceError 404 for a file that is not there."""
        self.responder = responder
        self._find_file = find_file
        self._freed = threading.Condition()
        self._taken = 0

    @property
    def width(self) -> int:
        """How many answers may be under way at once; it changes with what the responder learns."""
        return max(1, self.responder.concurrency)

    def wait_s(self) -> float:
        """Seconds before the responder wants another request."""
        return self.responder.wait_s()

    @property
    def is_billed(self) -> bool:
        """Whether a call costs money elsewhere."""
        return self.responder.is_billed

    def answer(self, url: str, body: JsonObject, *, custom_id: str | None) -> Reply:
        """What the responder says, or how it refuses. Raises its other errors: then there is no answer."""
        with self._slot():
            try:
                # Where another server answers, the files are its own.
                for file_id in () if self.is_billed else file_ids(url, body):
                    self._find_file(file_id)
                return self.responder.respond(url, body, custom_id=custom_id)
            except ServiceError as refusal:
                return Reply(status_code=refusal.status, body=refusal.body)

    @contextlib.contextmanager
    def _slot(self) -> Iterator[None]:
        """One of `width`; where that shrinks, those under way go on, and no more begin."""
        with self._freed:
            while self._taken >= self.width:
                self._freed.wait()
            self._taken += 1
        try:
            yield
        finally:
            with self._freed:
                self._taken -= 1
                self._freed.notify_all()
