"""The service at the far end, in a process of its own: batchrun's Batch service over HTTP, with a distant service's manners.

Nothing runs there while nobody looks: whenever time has passed, the next call finds the work done, so a run is the same each time. It
also kills: the client of the n-th call from now dies before the call takes effect, after it, or with half of the answer on its way.
"""

import asyncio
import json
import os
import re
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import uvicorn
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from batchrun.clock import Clock
from batchrun.service.http import create_app
from batchrun.service.options import Options
from batchrun.service.refusals import ServiceError, error_body
from batchrun.service.responders.script import Rule
from batchrun.service.responders.scripted import ScriptedResponder
from batchrun.service.service import BatchService
from batchrun.testing import FileClock

FAR_S: Final = 1_000_000.0
VICTIM: Final = "victim.json"  # {"run", "call", "moment", "of"}: which client dies, in which of its calls (of that name), and when
PID: Final = "pid"  # of the client
_CREATE: Final = "POST /v1/batches"
_ONE_FILE: Final = re.compile(r"(GET|DELETE) /v1/files/[^/]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """What network and service do to us; times in seconds of the clock.

    `late`: by how much the n-th create takes effect after it was sent, unanswered; None: it never arrives. `lag_s`: how old a batch
    must be to be listed. `delete_lag_s`: how long a file can be used after its deletion was confirmed. `line_s`: see the service.
    `is_mute`: batches show neither metadata nor input file. `blind_s`: how long from the beginning every listing breaks off before its first
    batch. `hides_files`: an input file that is there is answered with 404. `conflict`: the first create takes effect, and is answered with 409.
    """

    late: tuple[int | None, ...] = ()
    lag_s: int = 0
    delete_lag_s: int = 0
    line_s: int = 0
    is_mute: bool = False
    blind_s: int = 0
    hides_files: bool = False
    conflict: bool = False


def serve(
    folder: Path,
    clock_file: Path,
    key: str,
    listener: socket.socket,
    manners: Manners,
    rules: list[dict[str, Any]],
    is_open: Callable[[], object],
) -> None:
    """Serve for ever; ends only by a signal. `is_open` is called when the service has its database."""
    clock = FileClock(clock_file)
    script = [Rule(**rule) for rule in rules]
    responder = ScriptedResponder(script, clock=clock)
    service = BatchService(folder, responder, clock, options=Options(line_s=manners.line_s))
    is_open()
    front = Distant(create_app(service, key), service, clock, folder.parent, manners)
    config = uvicorn.Config(
        front,
        log_config=None,
        access_log=False,
        date_header=False,
        server_header=False,
        lifespan="off",
    )
    uvicorn.Server(config).run(sockets=[listener])


@dataclass
class Distant:
    """The wire in front of the service's own front."""

    app: ASGIApp
    service: BatchService
    clock: Clock
    folder: Path
    manners: Manners
    creates: int = 0
    calls: int = 0
    victim: dict[str, Any] = field(default_factory=dict)
    worked_at: int = 0
    waiting: list[tuple[int, str, str]] = field(default_factory=list)
    begun_at: int = field(init=False)

    def __post_init__(self) -> None:
        self.begun_at = self.clock.now()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One call."""
        moment = self._moment(f"{scope['method']} {scope['path']}")
        await run_in_threadpool(self._pass_time)
        body = await _whole(receive)
        if moment == "before":
            self._kill()
            return
        answer = await self._answered(scope, body)
        if moment == "after":
            self._kill()
            return
        if moment == "midway":
            await answer.half(send)
            self._kill()
            return
        await answer.whole(send)

    async def _answered(self, scope: Scope, body: bytes) -> "_Answer":
        """What the service says, as far as its manners let it through."""
        answer, call = _Answer(), f"{scope['method']} {scope['path']}"
        if call == _CREATE and self._is_held_back(body):
            answer.lose()
        elif self.manners.hides_files and _ONE_FILE.fullmatch(call):
            await self._ask_for_file(scope, body, answer)
        elif scope["method"] == "DELETE" and self.manners.delete_lag_s:
            await self._delete_later(scope, body, answer)
        else:
            await self.app(scope, _once(body), answer)
        if call == _CREATE and self.creates == 1 and self.manners.conflict:
            answer.refuse(409, "Another request is at work on this. Try again.")
        if call == "GET /v1/batches" and answer.status == 200:
            self._edit_listing(answer)
        if (
            self.manners.is_mute
            and answer.status == 200
            and scope["path"].startswith("/v1/batches")
        ):
            answer.mute()
        return answer

    def _moment(self, call: str) -> str | None:
        path = self.folder / VICTIM
        victim = json.loads(path.read_text()) if path.exists() else {}
        if victim != self.victim:
            self.victim, self.calls = victim, 0
        self.calls += victim.get("of") in {None, call}
        if victim.get("of") not in {None, call}:
            return None
        return str(victim["moment"]) if self.calls == victim.get("call") else None

    def _kill(self) -> None:
        os.kill(int((self.folder / PID).read_text()), signal.SIGKILL)

    def _pass_time(self) -> None:
        """Late calls arrive, each at its time; then the service does all that it can have done by now."""
        now = self.clock.now()
        for due in sorted(due for due in self.waiting if due[0] <= now):
            self.waiting.remove(due)
            _, call, argument = due
            with suppress(ServiceError):
                if call == "create":
                    self.service.create_batch(json.loads(argument))
                else:
                    self.service.delete_file(argument)
        if now > self.worked_at:
            self.service.work(FAR_S)
            self.worked_at = now

    def _is_held_back(self, body: bytes) -> bool:
        """Whether this create takes effect later, or never."""
        number, self.creates = self.creates, self.creates + 1
        delay = self.manners.late[number] if number < len(self.manners.late) else 0
        if delay:
            self.waiting.append((self.clock.now() + delay, "create", body.decode()))
        return delay != 0

    async def _ask_for_file(self, scope: Scope, body: bytes, answer: "_Answer") -> None:
        await self.app({**scope, "method": "GET"}, _once(body), answer)
        if answer.status == 200 and json.loads(answer.body)["purpose"] == "batch":
            answer.refuse(404, "No such File object.")

    async def _delete_later(self, scope: Scope, body: bytes, answer: "_Answer") -> None:
        await self.app({**scope, "method": "GET"}, _once(body), answer)
        if answer.status == 200:
            file_id = json.loads(answer.body)["id"]
            self.waiting.append((self.clock.now() + self.manners.delete_lag_s, "delete", file_id))
            answer.put({"id": file_id, "object": "file", "deleted": True})

    def _edit_listing(self, answer: "_Answer") -> None:
        page, now = json.loads(answer.body), self.clock.now()
        if self.manners.lag_s:
            newest = now - self.manners.lag_s
            page["data"] = [batch for batch in page["data"] if batch["created_at"] < newest]
        if now < self.begun_at + self.manners.blind_s:
            page |= {"data": [], "has_more": True}
        answer.put(page)


class _Answer:
    """The service's answer, held until it is known what becomes of it."""

    def __init__(self) -> None:
        self.status = 0
        self.body = b""
        self._headers: list[tuple[bytes, bytes]] = []

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self._headers = message["status"], list(message["headers"])
        else:
            self.body += message.get("body", b"")

    def put(self, document: dict[str, Any]) -> None:
        """Another body with the same headers."""
        self.body = json.dumps(document).encode()

    def lose(self) -> None:
        """What a gateway says when it has given up on the service: nothing that could be believed."""
        self.status, self.body = 504, b"<html>gateway timeout</html>"
        self._headers = [(b"content-type", b"text/html")]

    def refuse(self, status: int, message: str) -> None:
        """A refusal as the service words it."""
        self.status = status
        self._headers = [(b"content-type", b"application/json")]
        self.put(error_body(message, type="invalid_request_error", param=None, code=None))

    def mute(self) -> None:
        """Of the batches in it, nothing by which to know them."""
        document = json.loads(self.body)
        for batch in document.get("data", [document]):
            batch |= {"metadata": None, "input_file_id": None}
        self.put(document)

    async def whole(self, send: Send) -> None:
        await self._start(send)
        await send({"type": "http.response.body", "body": self.body})

    async def half(self, send: Send) -> None:
        await self._start(send)
        part = self.body[: len(self.body) // 2]
        await send({"type": "http.response.body", "body": part, "more_body": True})

    async def _start(self, send: Send) -> None:
        headers = [pair for pair in self._headers if pair[0].lower() != b"content-length"]
        headers.append((b"content-length", b"%d" % len(self.body)))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})


async def _whole(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(body)


def _once(body: bytes) -> Receive:
    left = [body]

    async def receive() -> Message:
        if not left:
            await (
                asyncio.Event().wait()
            )  # the client stays; who streams an answer listens for its leaving
        return {"type": "http.request", "body": left.pop(), "more_body": False}

    return receive
