"""A server with a tongue of its own: a small HTTP front that passes every call to batchrun's Batch service and retells its answers."""

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import cast
from urllib.parse import urlsplit

from batchrun.model import Json, JsonObject


def unchanged(value: JsonObject) -> JsonObject:
    return value


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How a server tells what OpenAI tells another way. `file`: of its metadata; `created`: around a created batch; `listed`: of a page.

    `merges`: failures stand in the output file, and there is no other. `lacks_newline`: files do not end with one. `purpose`: of input files.
    """

    batch: Callable[[JsonObject], JsonObject] = unchanged
    file: Callable[[JsonObject], JsonObject] = unchanged
    created: Callable[[JsonObject], Json] = unchanged
    listed: Callable[[JsonObject], Json] = unchanged
    line: Callable[[JsonObject], JsonObject] = unchanged
    merges: bool = False
    lacks_newline: bool = False
    purpose: str = "batch"


@dataclass
class Front:
    """What the handler needs: the service's address, the dialect, and which error file belongs to which output file."""

    inner: str
    dialect: Dialect
    errors: dict[str, str] = field(default_factory=dict)

    def call(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, bytes]:
        parts = urlsplit(self.inner)
        connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=30)
        try:
            connection.request(method, path, body or None, headers)
            got = connection.getresponse()
            return got.status, got.read()
        finally:
            connection.close()

    def answer(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, bytes]:
        """The service's answer, retold."""
        wanted = f'name="purpose"\r\n\r\n{self.dialect.purpose}\r\n'.encode()
        if (method, path) == ("POST", "/v1/files"):
            assert wanted in body
            body = body.replace(wanted, b'name="purpose"\r\n\r\nbatch\r\n')
        status, content = self.call(method, path, headers, body)
        if status != 200:
            return status, content
        what = path.partition("?")[0].removeprefix("/v1/").split("/")
        if what[-1] == "content":
            return status, self._content(what[1], headers, content)
        told = json.loads(content)
        if what[0] == "files":
            return status, json.dumps(self._file(told)).encode()
        if what == ["batches"] and method == "GET":
            page = {**told, "data": [self._batch(batch) for batch in told["data"]]}
            return status, json.dumps(self.dialect.listed(page)).encode()
        batch = self._batch(told)
        if what == ["batches"]:
            return 201, json.dumps(self.dialect.created(batch)).encode()
        return status, json.dumps(batch).encode()

    def _batch(self, batch: JsonObject) -> JsonObject:
        if self.dialect.merges and batch["output_file_id"] and batch["error_file_id"]:
            self.errors[batch["output_file_id"]] = batch["error_file_id"]
            batch = {**batch, "error_file_id": ""}
        return self.dialect.batch(batch)

    def _file(self, file: JsonObject) -> JsonObject:
        # What is retold is of another size; who retells it does not know it in advance.
        is_result = file.get("purpose") == "batch_output"
        return self.dialect.file({**file, "bytes": None} if is_result else file)

    def _content(self, file_id: str, headers: dict[str, str], content: bytes) -> bytes:
        if file_id in self.errors:
            _, more = self.call("GET", f"/v1/files/{self.errors[file_id]}/content", headers, b"")
            content += more
        lines = [self.dialect.line(json.loads(line)) for line in content.splitlines()]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        return (text.rstrip("\n") if self.dialect.lacks_newline else text).encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one segment: nothing waits for an acknowledgement

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        kept = {"authorization", "content-type"}
        headers = {name: value for name, value in self.headers.items() if name.lower() in kept}
        front = cast("_Server", self.server).front
        status, content = front.answer(self.command, self.path, headers, body)
        self.send_response_only(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_DELETE = handle_any  # noqa: N815  # http.server's names

    def log_message(self, *args: object) -> None:
        """Keep quiet."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    front: Front


@contextmanager
def speaking(dialect: Dialect, inner: str) -> Iterator[str]:
    """The base_url of a server that speaks `dialect` for the service at `inner`."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.front = Front(inner, dialect)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
            thread.join()
