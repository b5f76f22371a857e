"""The model's process: started once, noticed when it dies, gone when we are. With a fake engine inside the real program."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from llama_fakes import install_fake, is_alive

from batchrun.errors import BackendError
from batchrun.service.llama import discovery, engine
from batchrun.service.llama.engine import Engine, EngineDied, EngineRefused, EngineSettings

ASK = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 9}
DIE = {"messages": [{"role": "user", "content": "boom"}], "max_tokens": 9}
CHAT = "/v1/chat/completions"

Start = Callable[..., Engine]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    started: list[Engine] = []

    def make(name: str = "fake.gguf", program: str | None = None) -> Engine:
        model = install_fake(tmp_path, monkeypatch, name)
        settings = {"model_file": model, "context_tokens": 512}
        if program is not None:
            path = tmp_path / "program.py"
            path.write_text(program, encoding="utf-8")
            settings["program"] = path
        started.append(Engine(EngineSettings(**settings)))  # type: ignore[arg-type]  # built by name
        return started[-1]

    yield make
    for one in started:
        one.close()


def test_the_first_call_starts_the_process_and_the_next_uses_it(start: Start) -> None:
    model = start()
    assert model.process_id is None
    assert model.post(CHAT, ASK)["choices"][0]["message"]["content"] == "hello"
    first = model.process_id
    model.post(CHAT, ASK)
    assert model.process_id == first


def test_openmp_waits_passively_before_the_engine_is_loaded(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    assert start().get("/props")["omp"] == "passive"


def test_an_error_of_the_engine_is_an_error_here(start: Start) -> None:
    model = start()
    overlong = {"messages": [{"role": "user", "content": "overlong"}]}
    with pytest.raises(EngineRefused, match="5031 tokens") as caught:
        model.post(CHAT, overlong)
    assert (caught.value.status, caught.value.kind) == (400, "exceed_context_size_error")


def test_a_death_is_told_and_the_next_call_starts_another_process(start: Start) -> None:
    model = start()
    model.post(CHAT, ASK)
    first = model.process_id
    with pytest.raises(EngineDied, match="out of memory"):
        model.post(CHAT, DIE)
    model.post(CHAT, ASK)
    assert model.process_id != first


def test_a_process_that_died_between_calls_is_replaced(start: Start) -> None:
    model = start()
    model.post(CHAT, ASK)
    first = model.process_id
    assert first is not None
    os.kill(first, signal.SIGKILL)
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    model.post(CHAT, ASK)
    assert model.process_id != first


def test_two_deaths_without_an_answer_between_them_end_the_attempts(start: Start) -> None:
    model = start()
    for _ in range(2):
        with pytest.raises(EngineDied):
            model.post(CHAT, DIE)
    with pytest.raises(BackendError, match="2 times in a row"):
        model.post(CHAT, ASK)
    assert model.process_id is None


def test_an_answer_between_them_forgives_a_death(start: Start) -> None:
    model = start()
    for _ in range(3):
        with pytest.raises(EngineDied):
            model.post(CHAT, DIE)
        model.post(CHAT, ASK)


def test_a_model_that_cannot_be_loaded_is_named_with_the_reason(start: Start) -> None:
    with pytest.raises(BackendError, match=r"'broken\.gguf' did not start: tensor 'output' has"):
        start("broken.gguf").post(CHAT, ASK)


def test_a_process_that_aborts_while_loading_leaves_its_last_words(start: Start) -> None:
    with pytest.raises(BackendError, match="it died of SIGABRT: GGML_ASSERT: nothing works"):
        start("aborts.gguf").post(CHAT, ASK)


@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("raise SystemExit(3)", "ended with code 3"),
        ("import os; os.close(0); os._exit(4)", "ended with code 4"),
        ("import time; print('[]', flush=True); time.sleep(60)", "gave no answer"),
        ("import time; print('what', flush=True); time.sleep(60)", "gave no answer"),
    ],
)
def test_a_process_that_does_not_speak_the_protocol_is_ended(
    start: Start, program: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "DEATH_WAIT_S", 0.1 if "gave" in says else 5.0)
    with pytest.raises(BackendError, match=says):
        start(program=program).post(CHAT, ASK)


def test_a_process_that_never_gets_ready_is_ended(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "LOAD_LIMIT_S", 0.1)
    monkeypatch.setattr(engine, "DEATH_WAIT_S", 0.1)
    with pytest.raises(BackendError, match="gave no answer"):
        start(program="import time; time.sleep(60)").post(CHAT, ASK)


def test_a_missing_openmp_found_only_by_the_process_names_its_package(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = "libgomp.so.1: cannot open shared object file"
    program = f"print('{json.dumps({'error': told})}')"
    model = start(program=program)
    monkeypatch.setattr(discovery, "OPENMP_LIBRARY", "libgomp.so.1")
    with pytest.raises(BackendError, match="apt-get install libgomp1"):
        model.post(CHAT, ASK)


def test_close_leaves_no_process_and_may_be_repeated(start: Start) -> None:
    model = start()
    model.post(CHAT, ASK)
    pid = model.process_id
    assert pid is not None
    model.close()
    model.close()
    assert not is_alive(pid)
    assert model.process_id is None
    with pytest.raises(BackendError, match="closed"):
        model.post(CHAT, ASK)


def test_close_during_a_call_is_no_death(start: Start) -> None:
    """The line stays open for the next run instead of being recorded as failed."""
    program = """
import json, socket, sys
listener = socket.create_server(("127.0.0.1", 0))
print(json.dumps({"address": "http://127.0.0.1:%d" % listener.getsockname()[1]}), flush=True)
connection, _ = listener.accept()
connection.recv(1)
open(sys.argv[0] + ".asked", "w").close()
connection.recv(1 << 20)
sys.stdin.read()
"""
    model = start(program=program)
    raised: list[BaseException] = []

    def ask() -> None:
        try:
            model.post(CHAT, ASK)
        except (BackendError, EngineDied) as exc:
            raised.append(exc)

    asking = threading.Thread(target=ask)
    asking.start()
    asked = model._settings.program.with_name("program.py.asked")
    while not asked.exists():
        assert asking.is_alive()
        asking.join(timeout=0.01)
    model.close()
    asking.join()
    assert [type(one) for one in raised] == [BackendError]


def test_the_process_inherits_no_open_files_and_ignores_ctrl_c(
    start: Start, tmp_path: Path
) -> None:
    with (tmp_path / "lock").open("w") as held:
        os.set_inheritable(held.fileno(), True)
        model = start()
        model.post(CHAT, ASK)
        pid = model.process_id
        assert pid is not None
        if sys.platform == "linux":
            opened = [str(one.readlink()) for one in Path(f"/proc/{pid}/fd").iterdir()]
            assert str(tmp_path / "lock") not in opened
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(pid, number)
        model.post(CHAT, ASK)
        assert model.process_id == pid


PARENT = """
import os, signal, sys
from pathlib import Path
from batchrun.service.llama.engine import Engine, EngineSettings
model = Engine(EngineSettings(model_file=Path(sys.argv[1]), context_tokens=512))
model.get("/props")
print(model.process_id, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_process_dies_with_a_parent_that_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = install_fake(tmp_path, monkeypatch)
    root = Path(engine.__file__).parents[3]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([os.environ["PYTHONPATH"], str(root)]))
    parent = subprocess.run(
        [sys.executable, "-c", PARENT, str(model)], stdout=subprocess.PIPE, check=False
    )
    assert parent.returncode == -signal.SIGKILL
    pid = int(parent.stdout)
    waited = threading.Event()
    for _ in range(1000):
        if not is_alive(pid):
            break
        waited.wait(0.01)
    assert not is_alive(pid)


@pytest.mark.parametrize(
    ("code", "last_words", "says"),
    [
        (None, "ignored", "it gave no answer and was ended"),
        (-4, "", "illegal instruction: this CPU lacks"),
        (-9, "", "it was killed (SIGKILL), most often because the machine ran out of memory"),
        (-11, "", "it died of SIGSEGV"),
        (-11, "ggml: bad.", "it died of SIGSEGV: ggml: bad"),
        (-250, "", "it died of signal 250"),
        (1, "", "it ended with code 1"),
    ],
)
def test_a_cause_of_death_reads_as_a_sentence(code: int | None, last_words: str, says: str) -> None:
    assert engine.cause_of_death(code, last_words).startswith(says)


def test_an_error_that_is_no_object_is_still_told() -> None:
    assert str(engine._refusal(502, ["odd"])) == "['odd']"


def test_threads_are_as_many_as_the_cores_we_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    assert engine.thread_count() == engine.THREADS_LIMIT
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert engine.thread_count() == 1
