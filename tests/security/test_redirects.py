"""The key and the data go to the address that was configured, and nowhere else: seen at the socket of the one who waits for them."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from clikit import Desk
from misbehaving import Server, answer, batch, file, serving

CANARY = "sk-canary-7f3Zq0WbX9LmT2"
SECRET = "the text of an item"


class Listener:
    """A bare socket on loopback: everything that anybody sends it, byte for byte."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.connections = 0
        self.heard = b""
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.socket.getsockname()[1]}/v1"

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            with connection:
                connection.settimeout(5)
                self.heard += connection.recv(65_536)


@contextmanager
def listening() -> Iterator[Listener]:
    listener = Listener()
    try:
        yield listener
    finally:
        listener.socket.close()


def configure(desk: Desk, monkeypatch: pytest.MonkeyPatch, base_url: str) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", base_url)
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    monkeypatch.setenv("OPENAI_ORG_ID", "org-canary")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-canary")
    desk.job("faq", SECRET)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("served", [0, 1, 2], ids=["upload", "create", "poll"])
@pytest.mark.fault(20)
def test_no_call_follows_a_redirect_to_another_origin(
    desk: Desk, server: Server, monkeypatch: pytest.MonkeyPatch, status: int, served: int
) -> None:
    """The first calls are answered, every later one is sent elsewhere."""
    configure(desk, monkeypatch, server.base_url)
    with listening() as thief:
        good = (answer(file(id="file-in", bytes=None)), answer(batch()))
        astray = answer(b"", status, location=f"{thief.base_url}/anything")
        server.then(*good[:served], *[astray] * 100)
        called = desk.call("submit", "faq.jsonl")
        for _ in range(3):
            desk.clock.advance(7_200)
            called = desk.call("tick")
        assert called.code == 6
        assert "follows no redirect" in called.err
        assert len(server.seen) > served
        assert (thief.connections, thief.heard) == (0, b"")


@pytest.mark.parametrize(
    "location",
    ["//{host}/v1/x", "http://{host}/v1/x", "https://{host}/x", "/v1/elsewhere", "", "file:///etc"],
)
@pytest.mark.fault(20)
def test_however_a_redirect_is_written_nobody_goes_there(
    desk: Desk, server: Server, monkeypatch: pytest.MonkeyPatch, location: str
) -> None:
    configure(desk, monkeypatch, server.base_url)
    with listening() as thief:
        host = thief.base_url.removeprefix("http://").removesuffix("/v1")
        server.then(*[answer(b"", 307, location=location.format(host=host))] * 100)
        assert desk.call("doctor").code == 6
        desk.call("submit", "faq.jsonl")
        assert thief.connections == 0
        assert {seen.path.partition("?")[0] for seen in server.seen} <= {
            "/v1/batches",
            "/v1/files",
        }


@pytest.mark.parametrize(
    "base_url",
    [
        "http://api.example/v1",
        "http://10.0.0.1/v1",
        "http://169.254.169.254/latest/meta-data",
        "http://[::ffff:10.0.0.1]/v1",
        "http://0.0.0.0/v1",
        "http://127.0.0.1.example/v1",
        "http://localhost.example/v1",
        "http://2130706433/v1",
        "ftp://127.0.0.1/v1",
        "file:///etc/passwd",
        "//127.0.0.1/v1",
        "http://user:password@127.0.0.1/v1",
        "http://127.0.0.1\t.example/v1",
    ],
)
@pytest.mark.parametrize("command", ["submit", "doctor", "tick"])
@pytest.mark.fault(57)
def test_an_address_in_the_clear_is_called_by_no_command(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, base_url: str, command: str
) -> None:
    """A connection to any of them would end the test: it may talk to this machine only."""
    configure(desk, monkeypatch, base_url)
    called = desk.call(command, *(["faq.jsonl"] if command == "submit" else []))
    assert CANARY not in called.out + called.err
    assert "password@" not in called.out + called.err
    assert called.code in ({2, 6} if command != "tick" else {0, 2, 6, 7})


@pytest.mark.parametrize(
    "keys",
    [
        {"base_url": "{thief}"},
        {"backend": "{thief}"},
        {"body": {"base_url": "{thief}"}},
        {"body": {"extra_headers": {"x": "y"}, "timeout": 1}},
        {"metadata": {"base_url": "{thief}"}},
        {"endpoint": "{thief}"},
        {"endpoint": "//127.0.0.1:1/v1/responses"},
    ],
)
@pytest.mark.fault(57)
def test_no_key_of_a_job_file_decides_where_it_is_sent(
    desk: Desk, server: Server, monkeypatch: pytest.MonkeyPatch, keys: dict[str, object]
) -> None:
    configure(desk, monkeypatch, server.base_url)
    server.then(*[answer(file(id="file-in", bytes=None)), answer(batch())] * 5)
    with listening() as thief:
        settings = {
            key: value.format(thief=thief.base_url) if isinstance(value, str) else value
            for key, value in keys.items()
        }
        desk.call("submit", desk.job("other", SECRET, **settings))
        assert thief.connections == 0
    assert {seen.path.partition("?")[0] for seen in server.seen} <= {"/v1/files", "/v1/batches"}


@pytest.mark.fault(20, 57)
def test_a_thief_that_is_called_is_heard() -> None:
    """Without this, one that hears nothing would pass every other test."""
    with listening() as thief, serving():
        host, port = thief.socket.getsockname()
        with socket.create_connection((host, port)) as connection:
            connection.sendall(b"hello")
            connection.recv(1)
        assert (thief.connections, thief.heard) == (1, b"hello")
