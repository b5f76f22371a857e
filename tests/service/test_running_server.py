"""Starting and stopping the server: where it listens, who may reach it, how it ends."""

import signal
import socket
import subprocess
import sys
import textwrap
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from servicekit import Desk, OpenDesk, request

from batchrun.errors import LedgerError, UsageError
from batchrun.service.responders.scripted import ScriptedResponder
from batchrun.service.running import running, serve
from batchrun.testing import ManualClock


def refused(tmp_path: Path, *, host: str = "127.0.0.1", api_key: str = "key") -> str:
    responder = ScriptedResponder(clock=ManualClock())
    with pytest.raises(UsageError) as error:
        serve(host=host, port=0, data=tmp_path / "service", responder=responder, api_key=api_key)
    assert not (tmp_path / "service").exists()
    return str(error.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", ""])
def test_other_machines_are_kept_out_unless_told_otherwise(tmp_path: Path, host: str) -> None:
    assert "--allow-remote" in refused(tmp_path, host=host)


def test_a_server_without_a_key_is_refused(tmp_path: Path) -> None:
    assert "key" in refused(tmp_path, api_key="")


def test_a_port_in_use_is_a_usage_error_and_nothing_runs_on(desk: Desk) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(UsageError, match=str(port)),
            running(desk.service, api_key="key", port=port),
        ):
            pass


def test_a_folder_that_is_served_already_is_refused_until_that_server_has_ended(
    tmp_path: Path,
) -> None:
    data = tmp_path / "service"

    def serve_it(announce: Callable[[str], None]) -> None:
        responder = ScriptedResponder(clock=ManualClock())
        serve(
            host="127.0.0.1",
            port=0,
            data=data,
            responder=responder,
            api_key="key",
            announce=announce,
        )

    def serve_it_again(_: str) -> None:
        with pytest.raises(UsageError, match="another `batchrun serve` is serving") as error:
            serve_it(pytest.fail)
        assert str(data) in str(error.value)
        assert "--data" in str(error.value)
        raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            serve_it(serve_it_again)


def test_a_served_folder_that_is_none_is_told(tmp_path: Path) -> None:
    data = tmp_path / "file"
    data.touch()
    responder = ScriptedResponder(clock=ManualClock())
    with pytest.raises(LedgerError, match="no folder that can be locked"):
        serve(host="127.0.0.1", port=0, data=data, responder=responder, api_key="key")


def test_the_server_listens_on_loopback_and_lets_go_of_its_port(desk: Desk) -> None:
    with running(desk.service, api_key="key") as base_url:
        host, port = base_url.removeprefix("http://").removesuffix("/v1").split(":")
        assert host == "127.0.0.1"
    with socket.socket() as probe:
        assert probe.connect_ex((host, int(port))) != 0


def test_a_responder_that_cannot_answer_does_not_end_the_server(
    open_desk: OpenDesk, caplog: pytest.LogCaptureFixture
) -> None:
    calls = []

    def fail_once(_url: str, _body: object, custom_id: str | None) -> None:
        calls.append(custom_id)
        if len(calls) == 1:
            raise LedgerError("no memory for the model")

    desk = open_desk(script=fail_once)
    batch_id = desk.create(request("a"))
    with running(desk.service, api_key="key"):
        # A wake is what any call to the service does; it ends the pause after a failure.
        for _ in range(100_000):
            desk.service.wake()
            if desk.status(batch_id) == "completed":
                break
    assert desk.outputs(batch_id) == ["a"]
    assert calls == ["a", "a"]
    assert "no memory for the model" in caplog.text


SERVER = """
    import sys
    from pathlib import Path
    from batchrun.clock import SystemClock
    from batchrun.service.responders.scripted import ScriptedResponder
    from batchrun.service.running import serve

    serve(
        host="127.0.0.1", port=0, data=Path(sys.argv[1]), api_key="key",
        responder=ScriptedResponder(clock=SystemClock()),
        announce=lambda base_url: print(base_url, flush=True),
    )
    print("ended", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_server_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(SERVER), str(tmp_path / "service")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdout is not None
        base_url = process.stdout.readline().strip()
        asked = urllib.request.Request(
            base_url + "/models", headers={"Authorization": "Bearer key"}
        )
        with urllib.request.urlopen(asked) as answer:
            assert answer.status == 200
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "ended\n", "")
