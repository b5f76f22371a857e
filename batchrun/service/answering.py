"""The one door to the responder: as many answers at once as it can give, and refusals turned into replies.

The executor and the synchronous endpoints both go through it, so that together they never ask for more than `concurrency`.
"""

import threading
from collections.abc import Callable
from functools import cached_property

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

    @cached_property
    def width(self) -> int:
        """How many answers may be under way at once."""
        return max(1, self.responder.concurrency)

    @cached_property
    def _slots(self) -> threading.BoundedSemaphore:
        return threading.BoundedSemaphore(self.width)

    def answer(self, url: str, body: JsonObject, *, custom_id: str | None) -> Reply:
        """What the responder says, or how it refuses. Raises its other errors: then there is no answer."""
        with self._slots:
            try:
                for file_id in file_ids(url, body):
                    self._find_file(file_id)
                return self.responder.respond(url, body, custom_id=custom_id)
            except ServiceError as refusal:
                return Reply(status_code=refusal.status, body=refusal.body)
