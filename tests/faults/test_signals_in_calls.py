"""A signal ends a command in the middle of a call that nobody answers; what was not created is not created afterwards."""

import signal
import threading

import pytest
from clikit import PATIENCE_S, Desk, program, start, until
from misbehaving import Server, answer, batch, silence
from routekit import Routes

KEY = "sk-canary-0123456789abcdef"
CALLS = {"POST /files": "planned", "POST /batches": "creating", "GET /batches/batch_1": "created"}


@pytest.mark.usefixtures("real_sleep")
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["sigterm", "ctrl-c"]
)
@pytest.mark.parametrize(("call", "state"), CALLS.items(), ids=["upload", "create", "poll"])
@pytest.mark.fault(36)
def test_a_call_without_an_answer_is_not_waited_for(
    desk: Desk, server: Server, call: str, state: str, number: signal.Signals, code: int
) -> None:
    """The server is silent for as long as its client's patience, which is longer than the test's."""
    (desk.folder / "batchrun.toml").write_text("[profile.openai]\npoll_s = 1\n")
    over = threading.Event()
    routes = Routes(server)
    routes.on("POST /batches", answer(batch()))
    routes.on(call, silence(over))
    env = {"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": KEY}
    process = start("run", desk.job(), cwd=desk.folder, env=env)
    until(lambda: routes.count(call) > 0, "a call that is not answered")
    process.send_signal(number)
    _, told = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == code
    assert "nothing is lost. Go on with: batchrun run" in told
    assert routes.count("POST /batches") == (state != "planned")
    over.set()
    batches = program("status", "--json", cwd=desk.folder).json["jobs"][0]["batches"]
    assert [shown["state"] for shown in batches] == [state]
