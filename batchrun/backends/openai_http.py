"""The HTTP client under the SDK: no redirects, short timeouts, and bounds on how slowly and how much a peer may send.

A read timeout only bounds the gap between two bytes: a server that drips one byte every ten seconds would hold a pass for days. Every
body, sent or received, must keep up a minimum rate here. This module imports the HTTP library, so import it inside functions only.
"""

import ssl
from collections.abc import Iterator
from functools import cache
from typing import Any, cast

import httpx2

from batchrun.clock import Clock

GRACE_S = 120  # a body may take this long whatever its size
SLOWEST_BYTES_PER_S = 32_000  # 200 MB in an hour and three quarters: slower than any line in use
ANSWER_LIMIT_BYTES = (
    64_000_000  # an answer other than a file's content; a page of 100 batches is about 0.2 MB
)

# Shorter than servers keep a connection (gunicorn 2 s, uvicorn, Node.js and cpp-httplib 5 s): one that is closed while a request is on its
# way looks like a lost answer.
IDLE_S = 1.0

TIMEOUT = httpx2.Timeout(connect=10.0, read=60.0, write=60.0, pool=10.0)


def http_client(
    clock: Clock, *, keep_alive: bool, trust_env: bool, connections: int = 10, **settings: Any
) -> "GuardedClient":
    """A client that follows no redirect: a 307 would take the key, the project and the whole body to another host.

    `keep_alive`: reuse connections, of which there are `connections` at most. `trust_env`: use the proxies of the environment; never for
    this machine itself.
    """
    return GuardedClient(
        clock=clock,
        timeout=TIMEOUT,
        follow_redirects=False,
        trust_env=trust_env,
        verify=_tls(trust_env=trust_env),
        limits=httpx2.Limits(
            max_connections=connections,
            max_keepalive_connections=connections if keep_alive else 0,
            keepalive_expiry=IDLE_S,
        ),
        **settings,
    )


@cache
def _tls(*, trust_env: bool) -> ssl.SSLContext:
    """Whom to trust, read once a process: reading the system's certificates takes longer than a request to this machine."""
    return httpx2.create_ssl_context(trust_env=trust_env)


class GuardedClient(httpx2.Client):
    """A client whose bodies raise a timeout when they crawl, and a protocol error when an answer is absurdly large."""

    def __init__(self, *, clock: Clock, **settings: Any) -> None:
        super().__init__(**settings)
        self._clock = clock

    def send(
        self, request: httpx2.Request, *, stream: bool = False, **rest: Any
    ) -> httpx2.Response:
        """Send one request with both bodies under guard."""
        request.stream = _Guarded(request.stream, self._clock, httpx2.WriteTimeout)
        response = super().send(request, stream=True, **rest)
        is_content = request.url.path.endswith("/content")
        limit_bytes = None if is_content else ANSWER_LIMIT_BYTES
        response.stream = _Guarded(response.stream, self._clock, httpx2.ReadTimeout, limit_bytes)
        if not stream:
            try:
                response.read()
            except BaseException:
                response.close()
                raise
        return response


class _Guarded(httpx2.SyncByteStream):
    """The chunks of another stream, as long as they come at the minimum rate and within the limit."""

    def __init__(
        self,
        stream: httpx2.SyncByteStream | httpx2.AsyncByteStream,
        clock: Clock,
        too_slow: type[httpx2.TimeoutException],
        limit_bytes: int | None = None,
    ) -> None:
        self._stream = cast("httpx2.SyncByteStream", stream)  # a sync client makes no other
        self._clock = clock
        self._too_slow = too_slow
        self._limit_bytes = limit_bytes

    def __iter__(self) -> Iterator[bytes]:
        started_at = self._clock.now()
        moved_bytes = 0
        for chunk in self._stream:
            moved_bytes += len(chunk)
            if self._limit_bytes is not None and moved_bytes > self._limit_bytes:
                raise httpx2.RemoteProtocolError(f"the answer exceeds {self._limit_bytes:,} bytes")
            yield chunk
            elapsed_s = self._clock.now() - started_at
            if elapsed_s > GRACE_S + moved_bytes / SLOWEST_BYTES_PER_S:
                raise self._too_slow(f"only {moved_bytes:,} bytes in {elapsed_s} s")

    def close(self) -> None:
        self._stream.close()
