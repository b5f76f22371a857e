"""What the tests of faults share: short faults, the official SDK over a socket, and a raw look at what the socket carries."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import openai
from servicekit import Desk

from batchrun.model import JsonObject
from batchrun.service.faults.fault import Fault
from batchrun.service.running import running

KEY: Final = "a key for tests"


def fault(at: str | list[str], what: str, **details: Any) -> Fault:
    """A fault as a script words it."""
    return msgspec.convert({"at": at, "what": what, **details}, Fault)


@contextmanager
def connected(desk: Desk) -> Iterator[openai.OpenAI]:
    """The SDK at the service of a desk, whose lines are executed by the test; it tries everything once."""
    with (
        running(desk.service, api_key=KEY, works=False) as base_url,
        openai.OpenAI(base_url=base_url, api_key=KEY, max_retries=0) as client,
    ):
        yield client


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """What came over the connection until its end, taken apart where it is asked for."""

    raw: bytes
    was_reset: bool

    @property
    def head(self) -> bytes:
        return self.raw.partition(b"\r\n\r\n")[0]

    @property
    def body(self) -> bytes:
        return self.raw.partition(b"\r\n\r\n")[2]

    @property
    def status(self) -> int:
        return int(self.head.split()[1])

    @property
    def headers(self) -> dict[str, str]:
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    client: openai.OpenAI, method: str, path: str, body: JsonObject | None = None, *, key: str = KEY
) -> Carried:
    """One call on a connection of its own, byte for byte."""
    sent = b"" if body is None else json.dumps(body).encode()
    host, port = client.base_url.host, client.base_url.port
    assert port is not None
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(sent)}\r\nConnection: close\r\n\r\n"
    )
    raw = bytearray()
    with socket.create_connection((host, port), timeout=30) as connection:
        connection.sendall(head.encode() + sent)
        try:
            while chunk := connection.recv(65_536):
                raw += chunk
        except ConnectionResetError:
            return Carried(raw=bytes(raw), was_reset=True)
    return Carried(raw=bytes(raw), was_reset=False)


def truth(client: openai.OpenAI) -> Any:
    """What was really done and billed."""
    return ask(client, "GET", "/truth").json
