"""An API key goes through everything that batchrun does, and is found nowhere: a canary, looked for in every byte that is left."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from clikit import FAST_PROFILE, ROOT, Desk, start, until
from misbehaving import (
    Server,
    Step,
    answer,
    batch,
    chunked,
    garbage,
    hang_up,
    page,
    refusal,
    reset,
)

from batchrun.cli import status as status_command
from batchrun.clock import SystemClock
from batchrun.service.responders.scripted import ScriptedResponder
from batchrun.service.running import running
from batchrun.service.service import BatchService

CANARY = "sk-canary-7f3Zq0WbX9LmT2"
PARTS = (CANARY, CANARY[3:], CANARY[-12:])


def assert_nowhere(*texts: str, under: Path) -> None:
    """Neither in what was printed nor in any file, name of a file or target of a link."""
    for text in texts:
        assert not [part for part in PARTS if part in text], text
    for path in under.rglob("*"):
        assert CANARY not in str(path)
        if path.is_symlink():
            assert CANARY not in str(path.readlink())
        elif path.is_file():
            data = path.read_bytes()
            assert not [part for part in PARTS if part.encode() in data], path


@pytest.fixture
def service(tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Iterator[BatchService]:
    """A service on loopback, in this process, that knows the canary."""
    clock = SystemClock()
    opened = BatchService(tmp_path / "service", ScriptedResponder(clock=clock), clock)
    with running(opened, api_key=CANARY) as base_url:
        monkeypatch.setenv("OPENAI_BASE_URL", base_url)
        monkeypatch.setenv("OPENAI_API_KEY", CANARY)
        (desk.folder / "batchrun.toml").write_text(FAST_PROFILE)
        yield opened
    opened.close()


@pytest.mark.fault(55)
def test_a_whole_life_of_a_job_leaves_no_trace_of_the_key(
    desk: Desk, service: BatchService, tmp_path: Path
) -> None:
    path = desk.job("faq", "one", "three", output={"csv": True, "files": "{{ id }}.md"})
    commands = (
        ("check", path),
        ("run", "-v", "-v", path),
        ("submit", "-v", "-v", desk.job("later", "four")),
        *(("tick", "-v", "-v"), ("status",), ("results", "faq"), ("failures",), ("doctor",)),
        ("support", "faq"),
        *(("explain", "faq", "q1"), ("verify",), ("cancel", "later"), ("wait",), ("prune",)),
        ("recover", path, "--no-wait"),
        ("forget", "faq", "q1", "--yes"),
    )
    for words in commands:
        called = desk.call(*words)
        assert called.code in {0, 3, 7}, called
        assert_nowhere(called.out, called.err, under=tmp_path)


BAD: dict[str, Step] = {
    "told back": refusal(401, CANARY, f"Incorrect API key provided: {CANARY}."),
    "masked in the middle": refusal(401, "bad", "Incorrect API key: sk-canar**********mT2."),
    "a page with it": answer(f"<html>{CANARY}</html>".encode(), 502, content_type="text/html"),
    "in a redirect": answer(b"", 307, location=f"https://{CANARY}@elsewhere.invalid/{CANARY}"),
    "in headers": refusal(400, x_request_id=CANARY, retry_after=CANARY),
    "in a batch": answer(batch(status="failed", metadata={CANARY: CANARY}, errors=CANARY)),
    "half": chunked(b'{"id": "' + CANARY.encode(), ended=False),
    "nothing": hang_up,
    "a reset": reset,
    "noise": garbage,
    "a 500": page(500),
}


@pytest.mark.parametrize("step", BAD.values(), ids=BAD)
@pytest.mark.fault(55)
def test_calls_that_fail_in_every_way_tell_nobody_the_key(
    desk: Desk, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, step: Step
) -> None:
    """A server that says the key is the only one who could: what it says is shown, and the key in it is not."""
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    server.then(*[step] * 200)
    desk.job()
    for words in (("submit", "-v", "-v", "faq.jsonl"), ("tick", "-v", "-v"), ("doctor",)):
        called = desk.call(*words)
        told = called.out + called.err
        assert_nowhere(told, under=tmp_path)
        desk.clock.advance(7_200)
    assert_nowhere(desk.call("status", "--json").out, under=tmp_path)
    assert server.seen[0].headers["authorization"] == f"Bearer {CANARY}"


@pytest.mark.fault(55)
def test_a_traceback_shows_no_key(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, service: BatchService, tmp_path: Path
) -> None:
    """A bug of ours, met with the key in reach; it prints a traceback, and no values."""

    def broken(*_: object, **__: object) -> None:
        key = os.environ["OPENAI_API_KEY"]
        assert key
        raise RuntimeError("broken")

    desk.call("submit", desk.job())
    monkeypatch.setattr(status_command, "_show", broken)
    called = desk.call("status", "-v", "-v")
    assert (called.code, "Traceback" in called.err) == (1, True)
    assert_nowhere(called.out, called.err, under=tmp_path)


@contextmanager
def served(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`batchrun serve` in a process of its own, with the canary as its key."""
    (folder / "script.json").write_text(json.dumps({"rules": [{"prompt": "one", "delay_s": 60}]}))
    words = ("serve", "--port", "0", "--data", "data", "--script", "script.json")
    process = start(*words, cwd=folder, env={"BATCHRUN_SERVE_KEY": CANARY})
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


@pytest.mark.usefixtures("real_sleep")
@pytest.mark.fault(55)
def test_neither_a_server_nor_a_client_that_is_killed_leaves_the_key(tmp_path: Path) -> None:
    folder = tmp_path / "all"
    folder.mkdir()
    (folder / "batchrun.toml").write_text(FAST_PROFILE)
    job = {"job": "faq", "model": "m", "prompt": "{{ text }}"}
    (folder / "faq.jsonl").write_text(f'{json.dumps(job)}\n{{"id": "a", "text": "one"}}\n')
    with served(folder) as (server, base_url):
        env = {"OPENAI_BASE_URL": base_url, "OPENAI_API_KEY": CANARY}
        client = start("run", "-v", "-v", "faq.jsonl", cwd=folder, env=env)
        until(lambda: any((folder / "data").rglob("*.db*")), "a service at work")
        until(lambda: any((folder / ".batchrun").rglob("requests/*.jsonl")), "a request file")
        # Another process of this user can see the words of a command, and of nothing else is there talk here.
        for process in (server, client):
            words = Path(f"/proc/{process.pid}/cmdline")
            assert not words.exists() or CANARY.encode() not in words.read_bytes()
        client.send_signal(signal.SIGKILL)
        told = client.communicate(timeout=30)
        server.send_signal(signal.SIGKILL)
        said = server.communicate(timeout=30)
    assert_nowhere(*told, *said, under=folder)


@pytest.mark.fault(55)
def test_a_core_of_python_code_prints_no_key(tmp_path: Path) -> None:
    """What a log or a debugger of somebody's program would print: the objects that hold the key, as text."""
    program = f"""
from batchrun.config import load_config
from batchrun.backends.opening import open_backend
from batchrun.clock import SystemClock
from pathlib import Path
config = load_config(Path("."), Path(".batchrun"), {{"OPENAI_API_KEY": {CANARY!r}}})
profile = config.profiles["openai"]
backend = open_backend(profile, home=Path(".batchrun"), clock=SystemClock())
profile.key.reveal()
backend.account(b"salt")
print(config, profile, profile.key, backend, backend._inner, vars(backend), sep="\\n")
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "KeySource" in done.stdout
    assert CANARY not in done.stdout + done.stderr
