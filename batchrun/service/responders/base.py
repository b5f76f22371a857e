"""The contract of a responder: one request body in, one HTTP status and body out.

A responder is called by the executor for the lines of a batch, and by the HTTP front for the synchronous endpoints. It holds no
state that matters: what was answered is recorded by the service, durably, before the next line is taken.
"""

from dataclasses import dataclass
from typing import Protocol

from batchrun.model import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the API would have answered to this one request: 200 and an object of the endpoint, or >= 400 and an error body."""

    status_code: int
    body: JsonObject


class Responder(Protocol):
    """Answers requests. Subclass it for the defaults of everything but `respond`."""

    @property
    def concurrency(self) -> int:
        """How many `respond` calls may run at once, from threads of the executor; >= 1."""
        return 1

    def respond(self, url: str, body: JsonObject, *, custom_id: str | None) -> Reply:
        """Answer one request for `url` (`/v1/responses` …); `custom_id` is None for a synchronous one.

        A refusal is a Reply with its status, or a ServiceError (refusals.py), which the caller turns into one. Any other
        BatchrunError means that nothing can be answered now (no model, no memory): the line stays open, and `work` raises it.
        """
        ...

    def models(self) -> list[str]:
        """The model names of GET /v1/models; empty where any name is accepted."""
        return []

    def close(self) -> None:
        """Free child processes and connections. Idempotent."""
        return
