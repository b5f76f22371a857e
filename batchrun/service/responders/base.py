"""The contract of a responder: one request body in, one HTTP status and body out.

A responder is called by the executor for the lines of a batch, and by the HTTP front for the synchronous endpoints. It holds no
state that matters: what was answered is recorded by the service, durably, before the next line is taken.
"""

from dataclasses import dataclass
from typing import Protocol

from batchrun.errors import Ambiguous, Transient
from batchrun.model import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the API would have answered to this one request: 200 and an object of the endpoint, or >= 400 and an error body."""

    status_code: int
    body: JsonObject


class Postponed(Transient):
    """Not sent, or refused without any effect (too many requests, no room, no connection): the request may be asked again later.

    `retry_after_s` is what the server asked for, if it did; the responder's `wait_s` knows of it.
    """


class Unanswered(Ambiguous):
    """Sent, and no answer came: whether it was executed, and paid for, nobody knows."""


class Responder(Protocol):
    """Answers requests. Subclass it for the defaults of everything but `respond`."""

    @property
    def concurrency(self) -> int:
        """How many `respond` calls may run at once, from threads of the executor; >= 1. It may change with every answer."""
        return 1

    @property
    def is_billed(self) -> bool:
        """Whether a call costs money elsewhere, so that it must be known, durably, that one was about to be made."""
        return False

    def wait_s(self) -> float:
        """Seconds before another request may be asked (0.0: at once), because of limits by time or as the server wishes."""
        return 0.0

    def respond(self, url: str, body: JsonObject, *, custom_id: str | None) -> Reply:
        """Answer one request for `url` (`/v1/responses` …); `custom_id` is None for a synchronous one.

        A refusal is a Reply with its status, or a ServiceError (refusals.py), which the caller turns into one. Raises Postponed and
        Unanswered where the server behind it gave no answer to this one. Any other BatchrunError means that nothing can be answered
        now (no model, no memory, no key): the line stays open, and `work` raises it.
        """
        ...

    def models(self) -> list[str]:
        """The model names of GET /v1/models; empty where any name is accepted."""
        return []

    def close(self) -> None:
        """Free child processes and connections. Idempotent."""
        return
