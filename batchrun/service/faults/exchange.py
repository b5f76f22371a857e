"""One call on its way through the server, and everything that can be done to it: answered otherwise, or its connection ended.

Raw bytes go straight to the connection, past the HTTP library, which would refuse to write what is wrong on purpose.
"""

import asyncio
import contextlib
import socket
import struct
from asyncio import Transport
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass, replace
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, Final, TypeAlias

import msgspec

from batchrun.clock import Clock
from batchrun.model import JsonObject
from batchrun.service.faults.words import Place
from batchrun.service.refusals import ServiceError

Message: TypeAlias = MutableMapping[str, Any]
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers: TypeAlias = tuple[tuple[bytes, bytes], ...]

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # SO_LINGER of no time
_SLICE_S: Final = 5  # of a wait, so that a server that is told to stop stops


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer, in memory: faulty downloads are the one place where the service holds a file whole."""

    status: int = 200
    headers: Headers
    body: bytes

    def with_header(self, name: bytes, value: bytes | None) -> "Answer":
        """With this header instead of any other of the name; None takes it away."""
        headers = tuple(header for header in self.headers if header[0].lower() != name)
        if value is not None:
            headers += ((name, value),)
        return replace(self, headers=headers)

    def with_body(self, body: bytes) -> "Answer":
        """With another body; its Content-Length is not touched."""
        return replace(self, body=body)

    def cut_to(self, size: int | None) -> bytes:
        """The first so many bytes of the body; half of it where nothing is said."""
        return self.body[: len(self.body) // 2 if size is None else size]


class Exchange:
    """A request, the application that would answer it, and the connection under both."""

    def __init__(
        self,
        app: App,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        place: Place,
        object_id: str,
        transport: Transport,
        clock: Clock,
    ) -> None:
        self.place = place
        self.object_id = object_id
        self._app = app
        self._scope = scope
        self._receive = receive
        self._send = send
        self._transport = transport
        self._clock = clock
        self._read: bytes | None = None

    async def body(self, most: int | None = None) -> bytes:
        """The body of the request, whole, or once at least `most` bytes of it are there. May be asked again."""
        if self._read is None:
            read, is_more = bytearray(), True
            # Beyond the limit of the server there is nothing that a fault could need.
            with contextlib.suppress(ServiceError):
                while is_more and (most is None or len(read) < most):
                    message = await self._receive()
                    read += message.get("body", b"")
                    is_more = message.get("more_body", False)
            self._read = bytes(read)
        return self._read

    async def effect(self) -> Answer:
        """Let the application take the call, and keep its answer from the client."""
        start: Message = {}
        body = bytearray()

        async def keep(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                body.extend(message.get("body", b""))

        await self.through(keep)
        headers = tuple((name, value) for name, value in start["headers"])
        return Answer(status=start["status"], headers=headers, body=bytes(body))

    async def through(self, send: Send | None = None) -> None:
        """Let the application take the call and answer it; the body of the request is gone then."""
        receive = self._receive_again()
        self._read = b""
        await self._app(self._scope, receive, send or self._send)

    async def reply(self, answer: Answer) -> None:
        """Answer, after the request was read: a client that is answered while it sends may never see it."""
        await self.body()
        await self._send(
            {
                "type": "http.response.start",
                "status": answer.status,
                "headers": list(_sized(answer).headers),
            }
        )
        await self._send({"type": "http.response.body", "body": answer.body})

    async def reply_slowly(self, answer: Answer, *, size: int, seconds: int) -> None:
        """Answer in pieces, with a wait before each; ends with the connection."""
        await self.body()
        headers = list(_sized(answer).headers)
        start = {"type": "http.response.start", "status": answer.status, "headers": headers}
        await self._send(start)
        for at in range(0, len(answer.body), size):
            await self.wait(seconds)
            if self._transport.is_closing():
                return
            piece = answer.body[at : at + size]
            await self._send({"type": "http.response.body", "body": piece, "more_body": True})
        await self._send({"type": "http.response.body", "body": b""})

    async def write(self, answer: Answer) -> None:
        """Write an answer as it is, right or wrong, and end the connection."""
        await self.body()
        await self.end(self.head_of(answer) + answer.body)

    def head_of(self, answer: Answer) -> bytes:
        """Status line and headers, up to the body."""
        date = formatdate(self._clock.now(), usegmt=True).encode()
        lines = [
            b"HTTP/1.1 %d %s" % (answer.status, HTTPStatus(answer.status).phrase.encode()),
            *(b"%s: %s" % header for header in answer.with_header(b"date", date).headers),
        ]
        return b"\r\n".join(lines) + b"\r\n\r\n"

    async def end(self, written: bytes = b"") -> None:
        """Write bytes, whatever they are, and close the connection."""
        self._transport.write(written)
        self._transport.close()
        await self._until_gone()

    async def reset(self, written: bytes = b"") -> None:
        """Write bytes, and reset the connection: what has not arrived yet may never do so."""
        self._transport.write(written)
        opened: socket.socket | None = self._transport.get_extra_info("socket")
        if opened is not None:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._transport.abort()
        await self._until_gone()

    async def wait(self, seconds: int) -> None:
        """Let time pass on the service's clock."""
        until = self._clock.now() + seconds
        while (now := self._clock.now()) < until:
            await asyncio.to_thread(self._clock.sleep_until, min(until, now + _SLICE_S))

    async def _until_gone(self) -> None:
        # The server takes an application that ends without an answer for broken, unless the connection has ended before.
        with contextlib.suppress(ServiceError):
            while (await self._receive())["type"] != "http.disconnect":
                pass

    def _receive_again(self) -> Receive:
        """What `body` has read stands before everything that is still to come."""
        read = self._read
        if read is None:
            return self._receive
        kept: list[Message] = [{"type": "http.request", "body": read, "more_body": False}]

        async def receive() -> Message:
            return kept.pop() if kept else await self._receive()

        return receive


def json_answer(
    body: JsonObject, *, status: int, headers: Sequence[tuple[bytes, bytes]] = ()
) -> Answer:
    """An answer of the API's own kind."""
    kind = (b"content-type", b"application/json")
    return Answer(status=status, headers=(kind, *headers), body=msgspec.json.encode(body))


def _sized(answer: Answer) -> Answer:
    return answer.with_header(b"content-length", b"%d" % len(answer.body))
