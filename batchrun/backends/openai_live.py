"""Single requests to any server that speaks OpenAI's API, made once each, over connections that are kept.

The SDK is not needed for this: a line already is the body of a request, and its answer is stored as it comes. What is said in
`openai_http.py` and `openai_errors.py` holds here too: no redirects, bounds on slowness and size, and no key in any message.
"""

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from batchrun import __version__
from batchrun.backends.accounts import key_of
from batchrun.backends.credentials import host_of, is_loopback
from batchrun.backends.openai_errors import (
    Call,
    Fate,
    Said,
    Server,
    fate_of,
    http_fates,
    refusal_of,
    said_in,
)
from batchrun.backends.reading import blotted, printable
from batchrun.clock import Clock
from batchrun.errors import BackendError
from batchrun.profiles import Profile
from batchrun.service.responders.base import Postponed, Unanswered

if TYPE_CHECKING:
    import httpx2

    from batchrun.backends.openai_http import GuardedClient

_PREFIX: Final = "/v1"  # of an endpoint; the base_url of a profile ends with it, or with what the server has instead
_CONNECT_S: Final = 10.0
_WRITE_S: Final = 60.0
_EVENTS: Final = "text/event-stream"

ReadEvents = Callable[[Iterable[bytes]], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An HTTP answer, whatever its status; `headers` are read by any case.

    From 300 on, `refusal` is the error of ours for it, and `said` the typed error in its body, if there is one.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes
    refusal: BackendError | None = None
    said: Said | None = None


class LiveClient:
    """A server, a key, and as many connections as the profile allows at once; made by the first call. Threads share it."""

    def __init__(self, profile: Profile, *, clock: Clock) -> None:
        self._profile = profile
        self._clock = clock
        self._host = host_of(profile.base_url)
        self._opened: GuardedClient | None = None
        self._addresses: dict[str, httpx2.URL] = {}

    def __repr__(self) -> str:
        return f"LiveClient({self._profile.base_url!r})"

    @property
    def host(self) -> str:
        """What messages call the server."""
        return self._host

    def open(self) -> None:
        """Make ready what all calls share. Raises AuthError where there is no key; idempotent, but not safe to share between threads."""
        if self._opened is None:
            self._opened = self._client()

    def post(
        self,
        url: str,
        content: bytes,
        *,
        timeout_s: float,
        read_events: ReadEvents | None = None,
    ) -> Answer:
        """POST a JSON body to an endpoint (`/v1/responses` …); the whole answer, whatever its status.

        `timeout_s` bounds each silence of the server. `read_events` makes the content of a successful answer that comes as server-sent
        events out of their bytes, while they come. Raises Postponed where the request provably did not get there, Unanswered where it may
        have, and what `read_events` raises.
        """
        return self._send(
            "POST", url, timeout_s=timeout_s, content=content, read_events=read_events
        )

    def get(self, url: str) -> Answer:
        """GET something that costs nothing; raises as `post` does."""
        return self._send("GET", url, timeout_s=_WRITE_S)

    def printable(self, text: str) -> str:
        """Words of the server made fit for a message: short, on one line, and without the key."""
        return printable(text, secrets=self._server.secrets, limit=120)

    def close(self) -> None:
        """Close the connections. Idempotent."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _send(
        self,
        method: str,
        url: str,
        *,
        timeout_s: float,
        content: bytes | None = None,
        read_events: ReadEvents | None = None,
    ) -> Answer:
        self.open()
        assert self._opened is not None
        request = self._request(method, url, content, timeout_s=timeout_s)
        if read_events is not None:
            request.headers["Accept"] = f"{_EVENTS}, application/json"
        try:
            with contextlib.closing(self._opened.send(request, stream=True)) as response:
                is_events = response.headers.get("content-type", "").startswith(_EVENTS)
                if read_events is not None and is_events and response.status_code < 300:
                    received = read_events(response.iter_bytes())
                else:
                    received = response.read()
        except tuple(http_fates()) as error:
            raise self._lost(error, f"{method} {url}") from None
        answer = Answer(status=response.status_code, headers=response.headers, content=received)
        if answer.status < 300:
            return answer
        call = Call(name=f"{method} {url}", on_id=False)
        return replace(
            answer,
            # It becomes a line of a result file as it is, and some repeat the key.
            content=blotted(answer.content, secrets=self._server.secrets),
            refusal=refusal_of(response, call, self._server, now=self._clock.now()),
            said=said_in(response.text, self._server),
        )

    def _request(
        self, method: str, url: str, content: bytes | None, *, timeout_s: float
    ) -> "httpx2.Request":
        """Put together without the client's help, which reads the same address and merges the same headers for every line."""
        import httpx2

        assert self._opened is not None
        if (address := self._addresses.get(url)) is None:
            address = httpx2.URL(self._profile.base_url.rstrip("/") + url.removeprefix(_PREFIX))
            self._addresses[url] = address
        waits = {"connect": _CONNECT_S, "read": timeout_s, "write": _WRITE_S, "pool": _CONNECT_S}
        return httpx2.Request(
            method,
            address,
            headers=self._opened.headers,
            content=content,
            extensions={"timeout": waits},
        )

    def _lost(self, error: Exception, name: str) -> Postponed | Unanswered:
        reason = printable(str(error), secrets=self._server.secrets).rstrip(".")
        reason = reason or type(error).__name__  # some of theirs have no words
        if fate_of(error, http_fates()) is Fate.UNSENT:
            return Postponed(
                f"{self._host} cannot be reached: {reason}. Check base_url and the network."
            )
        return Unanswered(f"{self._host} did not answer {name}: {reason}.")

    @property
    def _server(self) -> Server:
        return Server(
            host=self._host,
            key_source=self._profile.key.describe(),
            refusals_final=True,
            secrets=(self._profile.key.reveal(),),
        )

    def _client(self) -> "GuardedClient":
        key = key_of(self._profile)
        from batchrun.backends.openai_http import http_client

        headers = {
            "Authorization": f"Bearer {key}",
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"batchrun/{__version__}",
        }
        if self._profile.organization:
            headers["OpenAI-Organization"] = self._profile.organization
        if self._profile.project:
            headers["OpenAI-Project"] = self._profile.project
        return http_client(
            self._clock,
            keep_alive=True,
            trust_env=not is_loopback(self._profile.base_url),
            connections=self._profile.rates.concurrency,
            headers=headers,
        )
