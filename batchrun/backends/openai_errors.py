"""What the SDK and its HTTP library raise, turned into our errors: one table, one function, nothing else translates.

The question behind every line is whether the call may have taken effect. Four fates answer it: UNSENT (provably not), LOST (perhaps),
ANSWERED (the status and the body decide) and UNREADABLE (it did, and we cannot tell what). The SDK wraps some of the HTTP library's
errors and lets others escape, raw, from a stream; both ways lead through the same table.

Our errors are raised without a cause: theirs holds the request, key included, and the server's words unescaped.
"""

import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING

from batchrun.backends.reading import UnreadableError, printable, read_date
from batchrun.errors import (
    Ambiguous,
    AuthError,
    BackendError,
    NotFound,
    Refused,
    Transient,
)
from batchrun.model import Json

if TYPE_CHECKING:
    import httpx2

# The typed answers that prove that a create made no batch; any other leaves it open (docs/backends.md).
FINAL_REFUSALS = frozenset({400, 401, 403, 404, 413, 422, 429})

# Answers of a server that has nothing at this address.
NO_ROUTE = frozenset({404, 405, 501})

# Answers that say "not now" to a call that may be repeated.
_NOT_NOW = frozenset({408, 409, 425, 429})

_UNKNOWN = (
    "Whether the batch exists is not known: batchrun looks for it before it sends anything again."
)


class Fate(StrEnum):
    """What became of a call that raised."""

    UNSENT = "unsent"  # no connection: the server never saw the request
    LOST = "lost"  # the request may have arrived; no whole answer did
    ANSWERED = "answered"  # an HTTP status of 300 or more
    UNREADABLE = "unreadable"  # a 2xx whose body is not what it should be
    WRAPPED = "wrapped"  # the SDK's wrapper: the fate of its cause


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One kind of call. `on_id`: it names a file or a batch, so a 404 is about that one and not about the API."""

    name: str
    on_id: bool = True
    costs_money: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """What a message needs to know of the server. `host` is that of base_url; `key_source` says where the key comes from.

    `without_batches`: what to do if it has no Batch API; "" for a server that needs none.
    """

    host: str
    key_source: str
    refusals_final: bool
    secrets: tuple[str, ...]
    without_batches: str = ""

    def __repr__(self) -> str:
        return f"Server(host={self.host!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """The typed error in an answer's body, made printable."""

    message: str
    code: str | None
    param: str | None


@cache
def http_fates() -> Mapping[type[Exception], Fate]:
    """The part of the table that needs no SDK. Built on first use, since it imports the HTTP library."""
    import httpx2

    return {
        # The HTTP library, before anything is sent. Its ConnectError covers DNS and TLS, its ProxyError the tunnel.
        httpx2.ConnectError: Fate.UNSENT,
        httpx2.ConnectTimeout: Fate.UNSENT,
        httpx2.PoolTimeout: Fate.UNSENT,
        httpx2.ProxyError: Fate.UNSENT,
        httpx2.UnsupportedProtocol: Fate.UNSENT,
        httpx2.InvalidURL: Fate.UNSENT,
        # The HTTP library, once bytes may have left.
        httpx2.ReadTimeout: Fate.LOST,
        httpx2.WriteTimeout: Fate.LOST,
        httpx2.TimeoutException: Fate.LOST,
        httpx2.ReadError: Fate.LOST,
        httpx2.WriteError: Fate.LOST,
        httpx2.CloseError: Fate.LOST,
        httpx2.NetworkError: Fate.LOST,
        httpx2.RemoteProtocolError: Fate.LOST,
        httpx2.LocalProtocolError: Fate.LOST,
        httpx2.ProtocolError: Fate.LOST,
        httpx2.TransportError: Fate.LOST,
        httpx2.TooManyRedirects: Fate.LOST,
        httpx2.SSEError: Fate.LOST,
        httpx2.RequestError: Fate.LOST,
        httpx2.HTTPError: Fate.LOST,
        httpx2.CookieConflict: Fate.LOST,
        httpx2.StreamConsumed: Fate.LOST,
        httpx2.StreamClosed: Fate.LOST,
        httpx2.ResponseNotRead: Fate.LOST,
        httpx2.RequestNotRead: Fate.LOST,
        httpx2.StreamError: Fate.LOST,
        httpx2.HTTPStatusError: Fate.ANSWERED,
        httpx2.DecodingError: Fate.UNREADABLE,
        # The SDK lists this one beside the HTTP library's errors: TLS failures that reach it unmapped, at any moment.
        ssl.SSLError: Fate.LOST,
        # Our own reading of a 2xx.
        UnreadableError: Fate.UNREADABLE,
    }


@cache
def fates() -> Mapping[type[Exception], Fate]:
    """The table: the most specific class of an exception decides. Built on first use, since it imports the SDK."""
    import openai

    return {
        **http_fates(),
        # The SDK.
        openai.APITimeoutError: Fate.WRAPPED,
        openai.APIConnectionError: Fate.WRAPPED,
        openai.BadRequestError: Fate.ANSWERED,
        openai.AuthenticationError: Fate.ANSWERED,
        openai.OAuthError: Fate.ANSWERED,
        openai.PermissionDeniedError: Fate.ANSWERED,
        openai.NotFoundError: Fate.ANSWERED,
        openai.ConflictError: Fate.ANSWERED,
        openai.UnprocessableEntityError: Fate.ANSWERED,
        openai.RateLimitError: Fate.ANSWERED,
        openai.InternalServerError: Fate.ANSWERED,
        openai.APIStatusError: Fate.ANSWERED,
        openai.APIResponseValidationError: Fate.UNREADABLE,
        openai.APIError: Fate.LOST,
        # Of features that batchrun does not use. Should one turn up all the same, nothing is known of the call.
        openai.LengthFinishReasonError: Fate.LOST,
        openai.ContentFilterFinishReasonError: Fate.LOST,
        openai.InvalidWebhookSignatureError: Fate.LOST,
        openai.WebSocketConnectionClosedError: Fate.LOST,
        openai.WebSocketQueueFullError: Fate.LOST,
        openai.OpenAIError: Fate.LOST,
    }


@contextmanager
def translated(call: Call, server: Server, *, now: int) -> Iterator[None]:
    """Run one call of the SDK; whatever of the table it raises leaves as one of our errors."""
    try:
        yield
    except tuple(fates()) as error:
        raise translate(error, call, server, now=now) from None


def translate(error: Exception, call: Call, server: Server, *, now: int) -> BackendError:
    """The error of ours for one of theirs. `now` serves a Retry-After date where the answer has no date of its own."""
    fate = fate_of(error, fates())
    while fate is Fate.WRAPPED:
        cause = error.__cause__
        if not isinstance(cause, Exception):
            fate = Fate.LOST
            break
        error, fate = cause, fate_of(cause, fates())
    if fate is Fate.ANSWERED:
        return refusal_of(error.response, call, server, now=now)  # type: ignore[attr-defined]  # each of this fate has one
    reason = (
        printable(str(error), secrets=server.secrets).rstrip(".") or type(error).__name__
    )  # some of theirs have no words
    if fate is Fate.UNSENT:
        return Transient(
            f"{server.host} cannot be reached: {reason}. Check base_url and the network."
        )
    if fate is Fate.UNREADABLE:
        what = f"{server.host} answered {call.name} with something else: {reason}."
    else:
        what = f"{server.host} did not answer {call.name}: {reason}."
    if call.costs_money:
        return Ambiguous(f"{what} {_UNKNOWN}")
    hint = " Check base_url: is this the API?" if fate is Fate.UNREADABLE else ""
    return Transient(what + hint)


def fate_of(error: Exception, table: Mapping[type[Exception], Fate]) -> Fate:
    """What became of the call, by the most specific class of the table."""
    for kind in type(error).__mro__:
        if kind in table:
            return table[kind]
    return Fate.LOST


def refusal_of(
    response: "httpx2.Response", call: Call, server: Server, *, now: int
) -> BackendError:
    """The error of ours for an answer with a status of 300 or more."""
    status = response.status_code
    said = said_in(response.text, server)
    refused = said is not None and status in FINAL_REFUSALS and server.refusals_final
    kind: type[BackendError]
    if call.costs_money and not refused:
        kind = Ambiguous
    elif status in {401, 403}:
        kind = AuthError
    elif status in _NOT_NOW or not 400 <= status < 500:
        kind = Transient
    elif said is None:  # an error page of a proxy; only "too large" will be as true the next time
        kind = Refused if status == 413 else Transient
    else:
        kind = NotFound if status == 404 else Refused
    words = said.message if said is not None else _first_words(response.text, server)
    code = f" {said.code}" if said is not None and said.code else ""
    hint = _hint(response, call, server, said)
    if kind is Ambiguous:
        hint = f"{hint} {_UNKNOWN}".lstrip()
    message = f"{server.host} answered {call.name} with {status}{code}"
    message += f": {words.rstrip('.')}." if words else "."
    return kind(
        message=f"{message} {hint}".rstrip(),
        status=status,
        code=said.code if said is not None else None,
        param=said.param if said is not None else None,
        retry_after_s=_retry_after_s(response.headers, now=now),
        request_id=printable(
            response.headers.get("x-request-id", ""), secrets=server.secrets, limit=100
        )
        or None,
    )


def _hint(response: "httpx2.Response", call: Call, server: Server, said: Said | None) -> str:
    """What to do about a status."""
    status = response.status_code
    if 300 <= status < 400:
        to = printable(
            response.headers.get("location", "nowhere"), secrets=server.secrets, limit=200
        )
        return f"It redirects to {to}; batchrun follows no redirect, for the key would go along. Set base_url to the final address."
    if status == 401:
        return f"Check the key from {server.key_source}, and that it belongs to this server."
    if status == 403:
        return f"The key from {server.key_source} may not do this: check its permissions, the project and the region."
    if status == 404 and call.on_id:
        return "It was deleted, has expired, or belongs to another project or account."
    if status in NO_ROUTE and not call.on_id:
        return f"Check base_url (it usually ends in /v1). {server.without_batches}".rstrip()
    if status == 413:
        return "Set smaller [limits] for this profile in batchrun.toml."
    if status == 429 and said is not None and said.code == "insufficient_quota":
        return "Check the plan and the billing of this account."
    if said is None and 400 <= status < 500:
        return "This is no error of the API: check base_url, and for a proxy in between."
    return ""


def said_in(text: str, server: Server) -> Said | None:
    """The typed error in a body, in the shapes that servers use; None where the body is no error of an API.

    OpenAI nests an object under "error"; others put a string there, vLLM has it at the top, FastAPI says "detail".
    """
    try:
        body: Json = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict):
        return None
    error = body.get("error")
    if isinstance(error, str):
        error = {"message": error, "code": body.get("code")}
    elif error is None and isinstance(body.get("message"), str):
        error = body if body.keys() & {"code", "type", "object"} else None
    elif error is None and body.get("detail"):
        detail = body["detail"]
        error = {"message": detail if isinstance(detail, str) else json.dumps(detail)}
    if not isinstance(error, dict):
        return None

    def field(*names: str) -> str:
        found = next((error[name] for name in names if error.get(name) not in {None, ""}), "")
        return printable(str(found), secrets=server.secrets)

    said = Said(
        message=field("message"), code=field("code", "type") or None, param=field("param") or None
    )
    return said if said.message or said.code else None


def _first_words(text: str, server: Server) -> str:
    """The start of a body that is no typed error, so that an error page of a proxy can be recognised."""
    return printable(text[:2000], secrets=server.secrets, limit=120)


def _retry_after_s(headers: Mapping[str, str], *, now: int) -> float | None:
    """Seconds to wait as the server asks, whatever their number; None where it does not or cannot be understood."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * unit
        except ValueError:
            continue
        if 0 <= seconds < float("inf"):
            return seconds
    at = read_date(headers.get("retry-after"))
    if at is None:
        return None
    sent_at = read_date(headers.get("date"))
    return float(max(0, at - (now if sent_at is None else sent_at)))
