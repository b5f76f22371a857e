"""What the tests of the command line share: a folder to work in, calls of the program in this process and in processes of their own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from batchrun.cli.main import run
from batchrun.clock import SystemClock
from batchrun.service.responders.scripted import ScriptedResponder
from batchrun.service.service import BatchService
from batchrun.testing import ManualClock

KEY: Final = "sk-rehearsal-0123456789"
ROOT: Final = Path(__file__).parents[2]
FAST_PROFILE: Final = "[profile.openai]\npoll_s = 1\nsettle_s = 0\nsecond_settle_s = 0\n"
PATIENCE_S: Final = 30.0  # for another process; nothing normal takes a tenth of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """What a call of the program left."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The document on stdout."""
        return json.loads(self.out)

    @property
    def errors(self) -> list[Any]:
        """The JSON lines on stderr."""
        return [json.loads(line) for line in self.err.splitlines()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """A user's folder, which is the current one, and the program called in this process, on a clock that moves by itself."""

    folder: Path
    capture: pytest.CaptureFixture[str]
    clock: ManualClock = field(default_factory=ManualClock)

    def call(self, *words: str) -> Called:
        """`batchrun WORDS`."""
        self.capture.readouterr()
        code = run(words, clock=self.clock)
        out, err = self.capture.readouterr()
        assert "Traceback" not in err or "-v" in words
        return Called(code=code, out=out, err=err)

    def write(self, name: str, *lines: Mapping[str, Any] | str | bytes) -> str:
        """A file of these lines; returns its name."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(map(_line, lines)))
        return name

    def job(self, name: str = "faq", *texts: str, **settings: Any) -> str:
        """A job file `<name>.jsonl` whose items are q1, q2, … with these texts."""
        line = {
            "job": name,
            "model": "gpt-5-mini",
            "prompt": "Q: {{ text }}",
            "max_output_tokens": 2000,
        }
        items = [{"id": f"q{n}", "text": text} for n, text in enumerate(texts or ("one", "two"), 1)]
        return self.write(f"{name}.jsonl", {**line, **settings}, *items)

    def outputs(self, job: str = "faq") -> list[Any]:
        """The lines of `results.jsonl`."""
        path = self.folder / "outputs" / job / "results.jsonl"
        return [json.loads(line) for line in path.read_bytes().splitlines()]


def _line(line: Mapping[str, Any] | str | bytes) -> bytes:
    if isinstance(line, bytes):
        return line
    return (line if isinstance(line, str) else json.dumps(line)).encode() + b"\n"


_started: list[subprocess.Popen[str]] = []


def end_all() -> None:
    """End whatever a test that failed has left running."""
    while _started:
        process = _started.pop()
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    """Processes end with the test that started them."""
    yield
    end_all()


@pytest.fixture
def desk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Desk:
    """An empty folder, no key, no server."""
    folder = tmp_path / "desk"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return Desk(folder=folder, capture=capsys)


def start(*words: str, cwd: Path, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """`batchrun WORDS` in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "batchrun", *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    _started.append(process)
    return process


def end(process: subprocess.Popen[str]) -> Called:
    """Wait for a process to end by itself."""
    out, err = process.communicate(timeout=PATIENCE_S)
    assert "Traceback" not in err
    return Called(code=process.returncode, out=out, err=err)


def program(*words: str, cwd: Path, env: Mapping[str, str] | None = None) -> Called:
    """`batchrun WORDS` in a process of its own, to its end."""
    return end(start(*words, cwd=cwd, env=env))


@contextmanager
def served(folder: Path, rules: Sequence[Mapping[str, Any]] = ()) -> Iterator[dict[str, str]]:
    """`batchrun serve --script` in a process of its own, on a free port; yields the environment that a client needs."""
    folder.mkdir(exist_ok=True)
    (folder / "script.json").write_text(json.dumps({"rules": list(rules)}))
    process = start(
        *("serve", "--port", "0", "--data", "data", "--script", "script.json"),
        cwd=folder,
        env={"BATCHRUN_SERVE_KEY": KEY},
    )
    assert process.stdout is not None
    try:
        base_url = process.stdout.readline().strip()
        assert base_url.startswith("http://127.0.0.1:"), process.communicate()
        yield {"OPENAI_BASE_URL": base_url, "OPENAI_API_KEY": KEY}
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0


def charges(folder: Path) -> dict[str, int]:
    """How often the service in `folder` executed each request; only when it is no longer served."""
    clock = SystemClock()
    service = BatchService(folder / "data", ScriptedResponder(clock=clock), clock)
    try:
        return dict(service.charges())
    finally:
        service.close()


def until(condition: Any, what: str) -> None:
    """Wait for another process to bring something about."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"not in {PATIENCE_S} s: {what}"
        time.sleep(0.02)
