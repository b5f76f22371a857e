"""Functions run in a process of their own: nothing that they do reaches batchrun, and nothing of them is left."""

import contextlib
import json
import os
import select
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchrun.errors import JobFileError, UsageError
from batchrun.tools import worker as module
from batchrun.tools.offer import ToolsFile
from batchrun.tools.worker import CallResult, Worker

TEXT = '''
import datetime, os, subprocess, sys, time

def pid() -> int:
    """Which process."""
    return os.getpid()

def noisy(word: str) -> str:
    print("{}", word)
    os.system("echo '{\\"output\\": 1}'")
    return word + repr(sys.stdin.read()) + str(sys.argv[1:])

def bare() -> None:
    pass

def rich() -> dict[str, datetime.date]:
    return {"day": datetime.date(2026, 1, 2)}

def unsure() -> list[float]:
    return [float("nan"), float("-inf"), 0.5]

def odd() -> object:
    return object()

def torn() -> str:
    return "a\\ud800"

def long() -> str:
    return "x" * 1_000_001

def leave() -> None:
    sys.exit("enough")

def die() -> None:
    os._exit(3)

def hang(note: str) -> None:
    child = subprocess.Popen(["sleep", "600"])
    with open(note, "w") as file:
        file.write(f"{os.getpid()} {child.pid}")
    time.sleep(600)

def seen(name: str) -> str | None:
    return os.environ.get(name)
'''


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    path = tmp_path / "json.py"  # a name that must not get into anybody's way
    path.write_text(TEXT, "utf-8")
    with contextlib.closing(Worker(path, hidden={"SECRET_OF_MINE"})) as opened:
        yield opened


def test_results_come_as_text_and_whatever_goes_wrong_as_an_error(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_MINE", "x")
    monkeypatch.setenv("NO_SECRET", "y")
    assert [tool["name"] for tool in worker.tools()][:2] == ["pid", "noisy"]
    told = {
        ("noisy", '{"word": "hi"}'): CallResult("hi''[]", is_error=False),
        ("bare", ""): CallResult("null", is_error=False),
        ("rich", "{}"): CallResult('{"day":"2026-01-02"}', is_error=False),
        ("unsure", "{}"): CallResult('["NaN","-Infinity",0.5]', is_error=False),
        ("torn", "{}"): CallResult("a?", is_error=False),
        ("leave", "{}"): CallResult("error: SystemExit: enough", is_error=True),
        ("seen", '{"name": "SECRET_OF_MINE"}'): CallResult("null", is_error=False),
        ("seen", '{"name": "NO_SECRET"}'): CallResult("y", is_error=False),
    }
    assert {asked: worker.call(*asked) for asked in told} == told
    assert (
        "the result is 1,000,001 bytes, and 1,000,000 is the most" in worker.call("long", "{}")[0]
    )
    odd = worker.call("odd", "{}")
    assert odd.is_error
    assert "returned a object, which JSON cannot say" in odd.output


def test_a_process_that_ends_is_an_error_and_the_next_call_has_another(worker: Worker) -> None:
    first = worker.call("pid", "{}")
    assert worker.call("pid", "{}") == first
    died = worker.call("die", "{}")
    assert died == CallResult("error: die ended its process (exit code 3)", is_error=True)
    assert worker.call("pid", "{}") != first


def test_a_call_that_takes_too_long_is_killed_with_all_that_it_started(
    tmp_path: Path, worker: Worker
) -> None:
    note = tmp_path / "note"
    worker.tools()
    worker._timeout_s = 1.0
    late = worker.call("hang", f'{{"note": "{note}"}}')
    assert late == CallResult("error: hang did not answer within 1 s", is_error=True)
    for pid in map(int, note.read_text("utf-8").split()):
        assert_gone(pid)


def assert_gone(pid: int) -> None:
    """It ends within the next moments, if it has not."""
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    poll = select.poll()
    poll.register(watched, select.POLLIN)
    ended = poll.poll(10_000)
    os.close(watched)
    assert ended, f"process {pid} still runs"


@pytest.mark.parametrize("is_busy", [True, False])
def test_a_parent_that_dies_takes_its_functions_along(
    tmp_path: Path, worker: Worker, is_busy: bool
) -> None:
    note = tmp_path / "note"
    os.mkfifo(note)
    child = os.fork()
    if child == 0:
        try:
            process = worker._started()
            if is_busy:
                stdin = process.stdin
                assert stdin is not None
                given = json.dumps({"note": str(note)})
                stdin.write(json.dumps({"name": "hang", "arguments": given}).encode() + b"\n")
                stdin.flush()
            pids = note.read_text("utf-8") if is_busy else str(process.pid)
            (tmp_path / "pids").write_text(pids, "utf-8")
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    for pid in map(int, (tmp_path / "pids").read_text("utf-8").split()):
        assert_gone(pid)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("def f(x): ...\ndef g(*x: int): ...\n", "tools.py:1: f(): parameter 'x' has no type."),
        ("x = 1\nraise KeyError('x')\n", "tools.py:2: cannot be loaded: KeyError: 'x'."),
        ("def f(:\n", "tools.py:1: cannot be loaded: SyntaxError: invalid syntax"),
        ("import os\nos._exit(7)\n", "tools.py: it ended its process (exit code 7)."),
    ],
)
def test_a_file_that_cannot_be_used_is_told_with_its_line(
    tmp_path: Path, text: str, told: str
) -> None:
    path = tmp_path / "tools.py"
    path.write_text(text, "utf-8")
    with contextlib.closing(Worker(path)) as worker, pytest.raises(JobFileError) as caught:
        worker.tools()
    assert told in str(caught.value)


@pytest.mark.parametrize(("timeout_s", "least_s"), [(1.5, 1.0), (1.0, 1.5)])
def test_a_file_that_does_not_load_is_given_up_after_the_time_of_a_call_or_a_fixed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, timeout_s: float, least_s: float
) -> None:
    path = tmp_path / "tools.py"
    path.write_text("import time\ntime.sleep(600)\n", "utf-8")
    monkeypatch.setattr(module, "_LOAD_LEAST_S", least_s)
    with contextlib.closing(Worker(path, timeout_s=timeout_s)) as worker:
        with pytest.raises(JobFileError) as caught:
            worker.tools()
        assert worker._process is None
    told = (
        "tools.py: it did not load within 1.5 s. Let the functions themselves do what takes long."
    )
    assert told in str(caught.value)


def test_a_timeout_in_which_no_function_could_answer_is_refused() -> None:
    assert ToolsFile(path=Path("tools.py"), timeout_s=1.0).timeout_s == 1.0
    with pytest.raises(UsageError, match=r"0\.9 s are too short .* Give 1s or more"):
        ToolsFile(path=Path("tools.py"), timeout_s=0.9)
