"""The guards of conftest.py, tried: no key, no network, no sleep in any test."""

import os
import socket
import subprocess
import sys
import time

import pytest

STRANGER = ("192.0.2.1", 80)  # TEST-NET-1 of RFC 5737: nobody's address


def test_no_key_or_setting_of_this_machine_is_seen() -> None:
    """Nor by processes that tests start."""
    code = "import os; print([n for n in os.environ if n.startswith(('OPENAI_', 'BATCHRUN_'))])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert shown.strip() == b"[]"
    assert not any(name.startswith(("OPENAI_", "BATCHRUN_")) for name in os.environ)


def test_a_connection_to_another_machine_is_refused() -> None:
    with (
        socket.socket() as one,
        pytest.raises(BaseException, match="may only talk to this machine"),
    ):
        one.connect(STRANGER)


def test_a_name_of_another_machine_is_not_resolved() -> None:
    with pytest.raises(BaseException, match="may only talk to this machine"):
        socket.getaddrinfo("example.com", 443)


def test_a_name_that_never_exists_does_not_exist() -> None:
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("nowhere.invalid", 443)


def test_loopback_is_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()


def test_sleeping_is_refused() -> None:
    with pytest.raises(BaseException, match="sleeps for 60 s"):
        time.sleep(60)


@pytest.mark.usefixtures("real_sleep")
def test_a_test_that_says_so_may_sleep() -> None:
    time.sleep(0)
