"""A real HTTP server on loopback that answers each request as the next line of a script says, badly where it is told to."""

import json
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import cast

import pytest

from batchrun.model import Json

DATE = "Mon, 21 Sep 2026 14:13:20 GMT"
DATE_AT = 1_790_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A request as it arrived; header names in lower case, `port` that of the client."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    port: int


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle_any(self) -> None:
        server = cast("Server", self.server)
        if self.headers.get("transfer-encoding"):
            raise AssertionError("uploads have a known length")
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        server.seen.append(
            Seen(
                method=self.command,
                path=self.path,
                headers={name.lower(): value for name, value in self.headers.items()},
                body=body,
                port=self.client_address[1],
            )
        )
        server.script.popleft()(self)

    do_GET = do_POST = do_DELETE = handle_any  # noqa: N815  # http.server's names

    def log_message(self, *args: object) -> None:
        """Keep quiet."""

    def date_time_string(self, timestamp: float | None = None) -> str:
        return DATE


Step = Callable[[Handler], None]


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: deque[Step] = deque()
        self.seen: list[Seen] = []

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def then(self, *steps: Step) -> None:
        self.script.extend(steps)

    def handle_error(self, request: object, client_address: object) -> None:
        """The client may hang up whenever it likes."""


@contextmanager
def serving() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    """A server on loopback that answers as it is told."""
    with serving() as running:
        yield running


def answer(body: Json | bytes = b"", status: int = 200, **headers: str) -> Step:
    """A well-formed answer; a body that is not bytes is sent as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"

    def step(handler: Handler) -> None:
        handler.send_response(status)
        sent = {"content-type": kind, "content-length": str(len(content))}
        sent.update({name.replace("_", "-"): value for name, value in headers.items()})
        for name, value in sent.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(content)

    return step


def refusal(status: int, code: str | None = None, message: str = "No.", **headers: str) -> Step:
    """An error as OpenAI types it."""
    error = {"message": message, "type": "some_error", "param": None, "code": code}
    return answer({"error": error}, status, **headers)


def page(status: int) -> Step:
    """An error page of a proxy."""
    return answer(b"<html><h1>nginx</h1></html>", status, content_type="text/html")


def hang_up(handler: Handler) -> None:
    """Close the connection without an answer."""
    handler.close_connection = True


def reset(handler: Handler) -> None:
    """Reset the connection."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


def garbage(handler: Handler) -> None:
    """What is no HTTP."""
    handler.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")
    handler.close_connection = True


def cut(body: bytes, *, announced: int) -> Step:
    """A body that ends before its announced length."""

    def step(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-length", str(announced))
        handler.end_headers()
        handler.wfile.write(body)
        handler.close_connection = True

    return step


def chunked(*chunks: bytes, ended: bool = True, before: Callable[[], None] = lambda: None) -> Step:
    """A body of unknown length, with `before` called before each chunk; `ended` sends the last, empty one."""

    def step(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("content-type", "application/octet-stream")
        handler.send_header("transfer-encoding", "chunked")
        handler.end_headers()
        for chunk in chunks:
            before()
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            handler.wfile.flush()
        if ended:
            handler.wfile.write(b"0\r\n\r\n")
        handler.close_connection = not ended

    return step


def silence(until: threading.Event) -> Step:
    """No answer before `until` is set (the test's end)."""

    def step(handler: Handler) -> None:
        until.wait(30)
        handler.close_connection = True

    return step


def batch(**changes: Json) -> dict[str, Json]:
    """A batch as OpenAI shows it."""
    shown: dict[str, Json] = {
        "id": "batch_1",
        "object": "batch",
        "endpoint": "/v1/responses",
        "errors": None,
        "input_file_id": "file-in",
        "completion_window": "24h",
        "status": "validating",
        "output_file_id": None,
        "error_file_id": None,
        "created_at": 1_790_000_000,
        "in_progress_at": None,
        "expires_at": 1_790_086_400,
        "request_counts": {"total": 0, "completed": 0, "failed": 0},
        "metadata": {"batchrun": "br-1"},
    }
    return shown | changes


def file(**changes: Json) -> dict[str, Json]:
    """A file as OpenAI shows it."""
    shown: dict[str, Json] = {
        "id": "file-1",
        "object": "file",
        "bytes": 12,
        "created_at": 1_790_000_000,
        "filename": "br-1.jsonl",
        "purpose": "batch",
    }
    return shown | changes
