"""What holds for every test: no key and no setting of this machine, no network but loopback, no real sleep.

Processes that tests start inherit the clean environment; the other two guards hold in the test process only.
"""

import ipaddress
import os
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

_SCRUBBED = ("OPENAI_", "AZURE_OPENAI_", "BATCHRUN_")
for _name in list(os.environ):
    if _name.startswith(_SCRUBBED) or _name.upper().endswith("_PROXY"):
        del os.environ[_name]
# How a terminal looks must not decide what a test sees.
for _name in ("COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "CLICOLOR_FORCE"):
    os.environ.pop(_name, None)

# `ci` finds the same examples in every run; `--hypothesis-profile thorough` is for an evening.
settings.register_profile(
    "dev", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # no test judges time
settings.register_profile("ci", settings.get_profile("dev"), derandomize=True, print_blob=True)
settings.register_profile("thorough", settings.get_profile("dev"), max_examples=2_000)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


class OutsideWorld(BaseException):
    """A test reached for another machine. No Exception, so that no code under test can take it for a fault of the network."""


class RealSleep(BaseException):
    """A test, or what it tests, sleeps: take a clock, or ask for the fixture `real_sleep` and say why."""


def _refuse_strangers(address: Any) -> None:
    """Let loopback addresses and paths of Unix sockets pass."""
    if not isinstance(address, tuple):
        return
    host = str(address[0])
    if host == "localhost":
        return
    try:
        is_here = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_here = False
    if not is_here:
        raise OutsideWorld(f"a test may only talk to this machine, not to {host!r}")


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sockets connect to this machine only; a name under `.invalid` is unknown, as RFC 6761 promises, without asking a resolver."""
    resolve = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name and name.endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        if name:
            _refuse_strangers((name,))
        return resolve(host, *args, **kwargs)

    class LoopbackSocket(socket.socket):
        __slots__ = ()

        def connect(self, address: Any, /) -> None:
            _refuse_strangers(address)
            super().connect(address)

        def connect_ex(self, address: Any, /) -> int:
            _refuse_strangers(address)
            return super().connect_ex(address)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(socket, "socket", LoopbackSocket)


@pytest.fixture
def real_sleep() -> None:
    """For a test that has to wait for another process: `time.sleep` sleeps."""


@pytest.fixture(autouse=True)
def no_sleep(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`time.sleep` raises, unless the standard library calls it (waiting for a child to end) or the test asks for `real_sleep`."""
    if "real_sleep" in request.fixturenames:
        yield
        return
    sleep = time.sleep

    def refuse(seconds: float, /) -> None:
        caller = sys._getframe(1).f_globals.get("__name__", "")
        if caller.partition(".")[0] not in sys.stdlib_module_names:
            raise RealSleep(f"{caller} sleeps for {seconds} s")
        sleep(seconds)

    monkeypatch.setattr(time, "sleep", refuse)
    yield
