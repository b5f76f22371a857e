"""Answers by asking the server of a profile, and says of each outcome what it means for its line.

| what came                                        | the line                                                              |
|--------------------------------------------------|-----------------------------------------------------------------------|
| 2xx with a JSON object                           | answered                                                              |
| 2xx with anything else; 408, 504, 524; a 5xx without a typed error | unanswered: it may have been executed               |
| any other typed 4xx or 5xx; 413                  | an error line, retried as the job says                                |
| 404 or 405 of a server without this endpoint     | an error line that says so                                            |
| 429, 503, 529, 425                               | postponed; all others wait too                                        |
| 403, or a 4xx without a typed error, soon after others were answered | an error line: something in between minds what this one says |
| 429 because of the account's quota; 401, 403; 3xx; a 4xx without a typed error | stays open; the profile is left alone   |
| no connection                                    | postponed; after some pauses in a row the profile is left alone       |
| silence or a broken connection after sending     | unanswered                                                            |
"""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec

from batchrun.backends.live.limits import exhausted_s
from batchrun.backends.live.pace import Pace, Ticket
from batchrun.clock import Clock, ticks_of
from batchrun.errors import BackendError, Transient
from batchrun.model import Json, JsonObject, Rates, Usage
from batchrun.service.prompts import VIDEOS
from batchrun.service.refusals import ServiceError, error_body
from batchrun.service.responders.base import Postponed, Reply, Responder, Unanswered
from batchrun.service.results import usage_of

if TYPE_CHECKING:
    from batchrun.backends.openai_errors import Said
    from batchrun.backends.openai_live import Answer, LiveClient

FLEX_TIMEOUT_S: Final = 900  # OpenAI's guide to flex processing: it may take that long
REFUSALS_MOST: Final = 8  # pauses in a row; then the pass had better do something else
UNREACHED_MOST: Final = 3  # pauses in a row because there was no server
BLOCKED_MOST: Final = 3  # refusals between two answers that are taken to be about their lines only

# 529: overloaded, of servers that tell it from 503.
_NOT_NOW: Final = frozenset({425, 429, 503, 529})
# Somebody in between gave up; the model may have gone on.
_TIMED_OUT: Final = frozenset({408, 504, 524})
_QUOTA: Final = frozenset(
    {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}
)
# OpenAI's words for a request that no minute has room for; the code is that of any 429.
_TOO_LARGE: Final = "request too large"
_NO_VIDEOS: Final = "/v1/videos answers before there is a video, so that it cannot be asked line by line. Use a profile with batches."
_BYTES_PER_TOKEN: Final = 4
# Endpoints with tiers, each of another price. What a request does not say, the settings of its project do.
TIERED: Final = frozenset({"/v1/responses", "/v1/chat/completions"})
_TIER: Final = "service_tier"
_UNKNOWN: Final = (
    *("unknown_parameter", "unknown parameter", "unrecognized request argument"),
    "extra inputs are not permitted",
)


class LiveResponder(Responder):
    """`Responder` over the server that `open_client` gives, which is not called before the first question. Threads share it.

    `ticks` are seconds for pauses and limits; without them those of `clock`. Where the server `has_tiers`, a request that says nothing of its tier
    is asked in the default one, so that no setting of a project makes it dearer than it was reckoned.
    """

    def __init__(
        self,
        open_client: "Callable[[], LiveClient]",
        rates: Rates,
        clock: Clock,
        *,
        ticks: Callable[[], float] | None = None,
        has_tiers: bool = False,
    ) -> None:
        self._open_client = open_client
        self._rates = rates
        self._ticks = ticks or ticks_of(clock)
        self._pace = Pace(rates)
        self.has_tiers = has_tiers
        self._lock = threading.Lock()
        self._opened: LiveClient | None = None
        self._blocked = BLOCKED_MOST  # before the first answer, what is refused is about all

    @property
    def is_billed(self) -> bool:
        """Each call is."""
        return True

    @property
    def concurrency(self) -> int:
        """As many as the server seems to bear now."""
        with self._lock:
            return self._pace.concurrency

    def wait_s(self) -> float:
        """Until the limits by the minute and the server's own wishes allow another request; 0.0 lets one go."""
        with self._lock:
            return self._pace.wait_s(self._ticks())

    def respond(self, url: str, body: JsonObject, *, custom_id: str | None) -> Reply:
        """Ask once. Raises Postponed, Unanswered, AuthError and Transient as the table above says."""
        if url == VIDEOS:
            raise ServiceError(status=400, message=_NO_VIDEOS, code="endpoint_not_found")
        client = self._client()
        with_tier = self.has_tiers and url in TIERED and body.get(_TIER) is None
        sent = {**body, _TIER: "default"} if with_tier else body
        content = msgspec.json.encode(sent)
        timeout_s = self._rates.timeout_s
        if body.get(_TIER) == "flex":
            timeout_s = max(timeout_s, FLEX_TIMEOUT_S)
        with self._lock:
            ticket = self._pace.begin(self._ticks(), len(content) / _BYTES_PER_TOKEN)
        try:
            answer = self._post(
                client, url, sent, content, custom_id=custom_id, timeout_s=timeout_s
            )
            if with_tier and _knows_no_tiers(answer):
                self.has_tiers = False
                content = msgspec.json.encode(body)
                answer = self._post(
                    client, url, body, content, custom_id=custom_id, timeout_s=timeout_s
                )
        except Postponed as unsent:
            raise self._unsent(ticket, unsent) from None
        except Unanswered:
            with self._lock:
                self._pace.slow_down(ticket)
            raise
        return self._read(client, url, ticket, answer)

    def _post(
        self,
        client: "LiveClient",
        url: str,
        body: JsonObject,  # noqa: ARG002 - for those who ask otherwise
        content: bytes,
        *,
        custom_id: str | None,  # noqa: ARG002
        timeout_s: float,
    ) -> "Answer":
        """The server's answer to a body, which `content` is in bytes."""
        return client.post(url, content, timeout_s=timeout_s)

    def models(self) -> list[str]:
        """What GET /v1/models lists; nothing where the server has no such listing. Raises AuthError, Transient."""
        client = self._client()
        try:
            answer = client.get("/v1/models")
        except Unanswered as lost:
            raise Transient(lost.message) from None
        if answer.status in {404, 405, 501}:
            return []
        if answer.refusal is not None:
            raise answer.refusal
        listed = _decoded(answer.content)
        data = listed.get("data") if isinstance(listed, dict) else listed
        if not isinstance(data, list):
            raise Transient(
                f"{client.host} answered GET /models with something else. Check base_url: is this the API?"
            )
        names = (one.get("id") for one in data if isinstance(one, dict))
        return sorted(client.printable(name) for name in names if isinstance(name, str))

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    def _client(self) -> "LiveClient":
        with self._lock:
            if self._opened is None:
                self._opened = self._open_client()
            self._opened.open()
            return self._opened

    def _unsent(self, ticket: Ticket, unsent: Postponed) -> Transient:
        """What becomes of a request that found no server."""
        with self._lock:
            wait_s = self._pace.refused(ticket, self._ticks(), None)
            is_hopeless = self._pace.refusals >= UNREACHED_MOST
        if is_hopeless:
            return Transient(unsent.message)
        return Postponed(unsent.message, retry_after_s=wait_s)

    def _read(self, client: "LiveClient", url: str, ticket: Ticket, answer: "Answer") -> Reply:
        """What an answer means. Raises as `respond` does."""
        body = _decoded(answer.content)
        is_success = 200 <= answer.status < 300
        usage = usage_of(body) if is_success and isinstance(body, dict) else Usage()
        with self._lock:
            if is_success:
                self._blocked = 0
                self._pace.answered(ticket, usage.input_tokens + usage.output_tokens)
            elif answer.status not in _NOT_NOW:
                self._pace.heard()
            at_once = self._pace.concurrency
            pause_s = exhausted_s(
                answer.headers, requests=at_once, tokens=at_once * self._pace.mean_tokens
            )
            if pause_s:
                self._pace.pause(self._ticks(), pause_s)
        if is_success:
            if isinstance(body, dict):
                return Reply(status_code=200, body=body)
            start = client.printable(answer.content[:2000].decode("utf-8", "replace"))
            raise Unanswered(
                f"{client.host} answered POST {url} with {answer.status} and no JSON object: {start or 'nothing'}."
            )
        return self._refused(client, url, ticket, answer, body)

    def _refused(
        self,
        client: "LiveClient",
        url: str,
        ticket: Ticket,
        answer: "Answer",
        body: Json,
    ) -> Reply:
        status, said = answer.status, answer.said
        refusal = answer.refusal
        assert refusal is not None
        if status in _NOT_NOW and not (said and said.message.lower().startswith(_TOO_LARGE)):
            raise self._not_now(ticket, refusal)
        if status < 400 or status == 401:
            raise refusal
        if status in {404, 405} and _is_no_endpoint(said):
            message = f"{client.host} has no {url}. Choose another endpoint for this job, or another server."
            return Reply(
                status_code=status,
                body=error_body(message, type="invalid_request_error", code="endpoint_not_found"),
            )
        if status in _TIMED_OUT or (said is None and status >= 500):
            with self._lock:
                self._pace.slow_down(ticket)
            raise Unanswered(refusal.message)
        if (status == 403 or (said is None and status != 413)) and not self._is_about_line():
            raise refusal
        error = (
            body
            if isinstance(body, dict) and said is not None
            else error_body(refusal.message, type="invalid_request_error", code=refusal.code)
        )
        return Reply(status_code=status, body=error)

    def _is_about_line(self) -> bool:
        """Whether a refusal that may be about the key, or be a proxy's, is about what one line says: others were answered just now."""
        with self._lock:
            self._blocked += 1
            return self._blocked <= BLOCKED_MOST

    def _not_now(self, ticket: Ticket, refusal: BackendError) -> BackendError:
        """Too many requests, or no room: all wait."""
        if refusal.code in _QUOTA:
            return refusal
        with self._lock:
            wait_s = self._pace.refused(ticket, self._ticks(), refusal.retry_after_s)
            is_hopeless = self._pace.refusals >= REFUSALS_MOST
        kind = Transient if is_hopeless else Postponed
        return kind(refusal.message, status=refusal.status, code=refusal.code, retry_after_s=wait_s)


def _knows_no_tiers(answer: "Answer") -> bool:
    """Whether a server refuses nothing but our word for the default tier, because it has no such parameter; then it has no tiers either."""
    if answer.status not in {400, 422} or answer.said is None:
        return False
    about = f"{answer.said.code or ''} {answer.said.param or ''} {answer.said.message}".lower()
    return _TIER in about and any(word in about for word in _UNKNOWN)


def _is_no_endpoint(said: "Said | None") -> bool:
    """Whether a 404 is about the address, and not about the model or something else that the body names."""
    if said is None:
        return True
    about = f"{said.code or ''} {said.message}".lower()
    return said.param is None and "model" not in about and "deployment" not in about


def _decoded(content: bytes) -> Json:
    """The JSON of a body; None where it is none."""
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
