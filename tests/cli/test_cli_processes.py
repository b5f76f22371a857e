"""The program as users have it: processes of their own, a server over a socket, and every way to end one half-way."""

import fcntl
import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
from functools import partial
from pathlib import Path

import pytest
from clikit import (
    FAST_PROFILE,
    PATIENCE_S,
    ROOT,
    Desk,
    charges,
    end,
    program,
    served,
    start,
    until,
)

pytestmark = pytest.mark.usefixtures("real_sleep")

SLOW = {"prompt": "slow", "delay_s": 3}


def in_flight(desk: Desk) -> bool:
    """Whether the service has a batch of ours, as the ledger knows."""
    if not (desk.folder / ".batchrun" / "batchrun.db").exists():
        return False
    called = desk.call("status", "--json")
    return any(b["remote_id"] for job in called.json["jobs"] for b in job["batches"])


def _begun(desk: Desk, items: int) -> str:
    """What the first `run` tells."""
    return f"faq (openai): {items:,} items: {items:,} new\nhome: {desk.folder}/.batchrun\n"


@pytest.fixture
def fast(desk: Desk) -> Desk:
    (desk.folder / "batchrun.toml").write_text(FAST_PROFILE)
    return desk


def test_the_whole_way_over_a_socket_and_again_is_the_same(fast: Desk, tmp_path: Path) -> None:
    path = fast.job("faq", "one", "two", output={"files": "{{ id }}.txt", "csv": True})
    with served(tmp_path / "server") as env:
        first = program("run", path, cwd=fast.folder, env=env)
        assert (first.code, first.err) == (0, _begun(fast, 2))
        outputs = fast.folder / "outputs" / "faq"
        files = {p.name: p.read_bytes() for p in outputs.iterdir() if p.is_file()}
        assert {"results.jsonl", "results.csv", "manifest.json", "report.md"} <= files.keys()
        assert (outputs / "files" / "q2.txt").read_text().strip() == "Q: two"
        second = program("run", path, cwd=fast.folder, env=env)
        assert (second.code, second.out) == (0, first.out)
        assert (outputs / "results.jsonl").read_bytes() == files["results.jsonl"]
    assert set(charges(tmp_path / "server").values()) == {1}


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "stopped"),
        (signal.SIGKILL, -9, None),
    ],
    ids=["ctrl-c", "sigterm", "kill-9"],
)
@pytest.mark.fault(36)
def test_stopped_half_way_the_same_command_goes_on_and_pays_once(
    fast: Desk, tmp_path: Path, number: signal.Signals, code: int, word: str | None
) -> None:
    path = fast.job("faq", "one", "slow", "three")
    with served(tmp_path / "server", [SLOW]) as env:
        process = start("run", path, cwd=fast.folder, env=env)
        until(lambda: in_flight(fast), "a batch in flight")
        process.send_signal(number)
        out, err = process.communicate(timeout=5)
        assert (process.returncode, out) == (code, "")
        assert "Traceback" not in err
        if word is not None:
            assert err.endswith(
                f"batchrun: {word}; nothing is lost. Go on with: batchrun run {path}\n"
            )
        again = program("run", path, cwd=fast.folder, env=env)
        assert again.code == 0
    assert [line["id"] for line in fast.outputs()] == ["q1", "q2", "q3"]
    assert sorted(charges(tmp_path / "server").values()) == [1, 1, 1]


@pytest.mark.fault(37)
def test_a_killed_submit_leaves_no_half_job(fast: Desk, tmp_path: Path) -> None:
    """Killed while it reads: stdin holds it there."""
    path = fast.write("faq.jsonl", {"job": "faq", "model": "m", "prompt": "{{ text }}"})
    items = b"".join(
        json.dumps({"id": f"i{n}", "text": "t"}).encode() + b"\n" for n in range(20_000)
    )
    with served(tmp_path / "server") as env:
        process = subprocess.Popen(
            [sys.executable, "-m", "batchrun", "run", "--items", "-", path],
            cwd=fast.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **env},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        assert process.stdin is not None
        process.stdin.write(items)
        process.stdin.flush()
        until((fast.folder / ".batchrun" / "batchrun.db").exists, "a ledger")
        process.kill()
        process.stdin.close()
        process.wait(timeout=PATIENCE_S)
        assert program("status", "--json", cwd=fast.folder).json["jobs"] == []
        few = Path(fast.write("few.jsonl", *({"id": f"i{n}", "text": f"t{n}"} for n in range(3))))
        assert program("run", "--items", str(few), path, cwd=fast.folder, env=env).code == 0
    assert len(fast.outputs()) == 3
    assert sorted(charges(tmp_path / "server").values()) == [1, 1, 1]


def test_ctrl_c_under_json_is_json(fast: Desk, tmp_path: Path) -> None:
    path = fast.job("faq", "slow")
    with served(tmp_path / "server", [SLOW]) as env:
        process = start("run", "--json", path, cwd=fast.folder, env=env)
        until(lambda: in_flight(fast), "a batch in flight")
        process.send_signal(signal.SIGINT)
        called = end(process)
    (error,) = called.errors
    assert (called.code, error["type"], error["code"]) == (130, "error", 130)
    assert error["command"] == f"batchrun run --json {path}"


@pytest.mark.fault(38)
def test_a_closed_stdout_is_quiet_and_stops_no_work(fast: Desk, tmp_path: Path) -> None:
    path = fast.job("faq", *(f"text {n}" for n in range(2_000)))
    with served(tmp_path / "server") as env:
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run(
            [sys.executable, "-m", "batchrun", "run", path],
            cwd=fast.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **env},
            stdout=writing,
            stderr=subprocess.PIPE,
            check=False,
        )
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, _begun(fast, 2_000).encode())
    assert len(fast.outputs()) == 2_000
    process = start("results", "faq", cwd=fast.folder)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, err) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.fault(38)
def test_a_full_disk_under_stdout_is_told(fast: Desk, tmp_path: Path) -> None:
    with served(tmp_path / "server") as env:
        assert program("run", fast.job(), cwd=fast.folder, env=env).code == 0
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "batchrun", "results", "faq"],
            cwd=fast.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 7
    assert b"No space left on device" in done.stderr
    assert b"Traceback" not in done.stderr


def at_a_terminal(
    *words: str, cwd: Path, env: dict[str, str], answer: bytes = b"", is_shown: bool = False
) -> tuple[int, str]:
    """`batchrun WORDS` with a terminal for stdin and stderr (`is_shown`: for stdout too): its exit code, and what the terminal showed."""
    mine, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "batchrun", *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", **env},
        stdin=theirs,
        stdout=theirs if is_shown else subprocess.DEVNULL,
        stderr=theirs,
        # A session of its own, with this terminal: a ^C that is typed there becomes a signal.
        start_new_session=True,
        preexec_fn=partial(fcntl.ioctl, 0, termios.TIOCSCTTY, 0),  # noqa: PLW1509
    )
    os.close(theirs)
    shown = b""
    try:
        while select.select([mine], [], [], PATIENCE_S)[0]:
            piece = os.read(mine, 65_536)
            shown += piece
            if answer and b"[y/N]" in shown:
                os.write(mine, answer)
                answer = b""
            if not piece:
                break
    except OSError:  # the other end is closed
        pass
    # Hung up on before it has ended, it would die of that.
    code = process.wait(timeout=PATIENCE_S)
    os.close(mine)
    return code, shown.decode()


@pytest.mark.parametrize(("answer", "code"), [(b"n\n", 8), (b"y\n", 0), (b"\x03", 130)])
def test_a_terminal_is_asked_before_many_items_are_sent(
    fast: Desk, tmp_path: Path, answer: bytes, code: int
) -> None:
    path = fast.job("faq", *(f"text {n}" for n in range(1_001)))
    with served(tmp_path / "server") as env:
        ended, shown = at_a_terminal("submit", path, cwd=fast.folder, env=env, answer=answer)
        assert "faq: send 1,001 items to 'openai'? [y/N]" in shown
        assert ended == code
        jobs = program("status", "--json", cwd=fast.folder).json["jobs"]
        assert len(jobs) == (1 if code == 0 else 0)


def test_a_terminal_shows_bars_and_no_question_for_few(fast: Desk, tmp_path: Path) -> None:
    path = fast.job("faq", "one", "slow")
    with served(tmp_path / "server", [SLOW]) as env:
        code, shown = at_a_terminal("run", path, cwd=fast.folder, env=env)
    assert code == 0
    assert "2/2" in shown
    assert "in_progress" in shown


def test_serve_refuses_the_world_and_a_port_in_use(desk: Desk) -> None:
    env = {"BATCHRUN_SERVE_KEY": "k"}
    (desk.folder / "s.json").write_text('{"rules": []}')
    options = ("serve", "--script", "s.json", "--data", "d")
    remote = program(*options, "--host", "0.0.0.0", cwd=desk.folder, env=env)
    assert remote.code == 2
    assert "--allow-remote" in remote.err
    with served(desk.folder / "other") as client:
        port = client["OPENAI_BASE_URL"].rpartition(":")[2].partition("/")[0]
        taken = program(*options, "--port", port, cwd=desk.folder, env=env)
    assert taken.code == 2
    assert "Choose another --host or --port" in taken.err
    gone = program("serve", "--script", "gone.json", cwd=desk.folder, env=env)
    assert gone.code == 2
    assert "gone.json" in gone.err


def test_submit_finds_its_home_from_anywhere(fast: Desk, tmp_path: Path) -> None:
    """As cron calls it: from another folder, with the path of the job file only."""
    path = str(fast.folder / fast.job())
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with served(tmp_path / "server") as env:
        assert program("submit", path, cwd=elsewhere, env=env).code == 0
        home = str(fast.folder / ".batchrun")
        assert program("wait", "--home", home, cwd=elsewhere, env=env).code == 0
        assert program("wait", cwd=elsewhere, env={**env, "BATCHRUN_HOME": home}).code == 0
    assert len(fast.outputs()) == 2


NASTY = "\x1b]0;owned\x07 \u202e\x85 é\tx\nsecond"


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_results_at_a_terminal_are_shown_and_not_obeyed_and_go_into_a_pipe_as_they_are(
    fast: Desk, tmp_path: Path, form: str
) -> None:
    path = fast.job("faq", NASTY, output={"csv": True})
    with served(tmp_path / "server") as env:
        assert program("run", path, cwd=fast.folder, env=env).code == 0
        words = ("results", "faq", "--format", form)
        code, shown = at_a_terminal(*words, cwd=fast.folder, env=env, is_shown=True)
        piped = program(*words, cwd=fast.folder, env=env).out
    assert code == 0
    assert "\\u202e\\x85 é" in shown
    assert not set("\x1b\x07\u202e\x85") & set(shown)
    assert "\u202e\x85 é" in piped
    if form == "csv":
        assert "\x1b]0;owned\x07" in piped


def test_results_into_a_file_are_the_bytes_of_the_output_file(fast: Desk, tmp_path: Path) -> None:
    path = fast.job("faq", NASTY)
    with served(tmp_path / "server") as env:
        assert program("run", path, cwd=fast.folder, env=env).code == 0
        with (tmp_path / "out").open("wb") as file:
            subprocess.run(
                [sys.executable, "-m", "batchrun", "results", "faq"],
                cwd=fast.folder,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=file,
                check=True,
            )
    written = fast.folder / "outputs" / "faq" / "results.jsonl"
    assert (tmp_path / "out").read_bytes() == written.read_bytes()
