"""The parent's side of the model's process: starts it on first use, speaks HTTP to it on loopback, notices its death.

One request at a time, on all threads: the floating-point sums of a batch depend on what else is in it, so that with two requests side by
side the same prompt gave different greedy answers from run to run.
"""

import http.client
import json
import os
import secrets
import select
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from batchrun.errors import BackendError
from batchrun.model import Json, JsonObject
from batchrun.service.llama import discovery

CHILD_PROGRAM = Path(__file__).with_name("child.py")
LOAD_LIMIT_S = 600.0  # a large GGUF on a slow disk; the bundled one takes about 1 s
ANSWER_LIMIT_S = 1800.0  # one answer of a large model on a slow CPU
THREADS_LIMIT = 8  # more threads than memory channels can feed make decoding slower
DEATH_WAIT_S = 1.0  # a connection breaks a moment before its process is gone
DEATHS_LIMIT = 2  # in a row, without an answer between them: then the model itself is at fault


class EngineDied(Exception):
    """The process ended, or hung and was ended, during a request. The next request starts another one."""


@dataclass
class EngineRefused(Exception):
    """The engine answered with an error: HTTP `status`, its own `kind` of error, and what it said."""

    status: int
    kind: str
    message: str

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """What a model process is started with. `context_tokens` is for prompt and answer together."""

    model_file: Path
    context_tokens: int
    embedding: bool = False
    program: Path = CHILD_PROGRAM


@dataclass(frozen=True, slots=True, kw_only=True)
class _Child:
    process: subprocess.Popen[bytes]
    log: IO[bytes]
    host: str
    port: int
    api_key: str


class Engine:
    """One model process, replaced when it dies. Calls may come from any thread; they run one after another."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._child: _Child | None = None
        self._deaths = 0
        self._is_closed = False

    @property
    def process_id(self) -> int | None:
        """Of the running process, if there is one."""
        child = self._child
        return None if child is None else child.process.pid

    def post(self, path: str, body: JsonObject) -> Json:
        """The decoded answer of the engine to one POST.

        Raises EngineRefused for an HTTP error, EngineDied where the process ends meanwhile, and BackendError where no process can
        be had: it does not start, or died twice in a row without an answer.
        """
        return self._call("POST", path, body)

    def get(self, path: str) -> Json:
        """The decoded answer of the engine to one GET; errors as for `post`."""
        return self._call("GET", path, None)

    def _call(self, method: str, path: str, body: JsonObject | None) -> Json:
        with self._lock:
            child = self._running()
            try:
                status, answer = _exchange(child, method, path, body)
            except (OSError, http.client.HTTPException, ValueError) as exc:
                cause = self._bury(child)
                if self._is_closed:
                    raise model_closed() from exc
                self._deaths += 1
                raise EngineDied(cause) from exc
            self._deaths = 0
        if status >= 400:
            raise _refusal(status, answer)
        return answer

    def close(self) -> None:
        """End the process. Idempotent; a closed engine answers nothing more."""
        self._is_closed = True
        child = self._child
        if child is not None:
            child.process.kill()  # it holds nothing worth saving; also wakes a thread that waits for an answer
        with self._lock:
            if self._child is not None:
                self._bury(self._child)

    def _running(self) -> _Child:
        if self._is_closed:
            raise model_closed()
        if self._child is not None and self._child.process.poll() is not None:
            self._bury(self._child)
        if self._deaths >= DEATHS_LIMIT:
            raise BackendError(
                f"the local model's process died {self._deaths} times in a row. "
                "Try a smaller model, free some memory, or choose another backend."
            )
        if self._child is None:
            self._child = _start(self._settings)
        return self._child

    def _bury(self, child: _Child) -> str:
        """Make sure that it is dead, free what it held, and say what it died of."""
        self._child = None
        return _end(child.process, child.log)


def model_closed() -> BackendError:
    """The error for a question that comes after `close`."""
    return BackendError(
        "the local model was closed while it was asked. Run the command again to go on."
    )


def thread_count() -> int:
    """As many threads as this process may use cores, within reason."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(cores or 1, THREADS_LIMIT))


def _start(settings: EngineSettings) -> _Child:
    api_key = secrets.token_urlsafe(24)
    log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and file
        # -P: the program's folder must not shadow modules of the standard library.
        [sys.executable, "-P", str(settings.program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        close_fds=True,
    )
    request = {
        "model_file": str(settings.model_file),
        "api_key": api_key,
        "context_tokens": settings.context_tokens,
        "threads": thread_count(),
        "embedding": settings.embedding,
    }
    answer = _first_line(process, request)
    if "address" not in answer:
        died_of = _end(process, log)
        raise _start_error(settings.model_file, answer.get("error") or died_of)
    address = urlsplit(answer["address"])
    assert address.hostname is not None
    assert address.port is not None
    return _Child(
        process=process, log=log, host=address.hostname, port=address.port, api_key=api_key
    )


def _first_line(process: subprocess.Popen[bytes], request: JsonObject) -> JsonObject:
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(request).encode() + b"\n")
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], LOAD_LIMIT_S)
        line = process.stdout.readline() if ready else b""
        answer = json.loads(line) if line else {}
    except (BrokenPipeError, ValueError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _start_error(model_file: Path, cause: str) -> BackendError:
    if discovery.OPENMP_LIBRARY in cause:
        return discovery.openmp_missing()
    return BackendError(
        f"the local model {model_file.name!r} did not start: {cause}. "
        "Give another GGUF file, or choose another backend."
    )


def _end(process: subprocess.Popen[bytes], log: IO[bytes]) -> str:
    """Kill it if it still lives; what it died of, in words that end without a full stop."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        code = process.wait(timeout=DEATH_WAIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        code = None
    for pipe in (process.stdin, process.stdout):
        pipe.close()
    log.seek(0)
    lines = [text for line in log if (text := line.decode("utf-8", "replace").strip())]
    log.close()
    return cause_of_death(code, lines[-1] if lines else "")


def cause_of_death(code: int | None, last_words: str) -> str:
    """Why a process is gone: `code` as subprocess gives it (negative: a signal), None for one that hung and was killed."""
    match code:
        case None:
            return "it gave no answer and was ended"
        case -4:  # SIGILL
            return (
                "illegal instruction: this CPU lacks what the xllamacpp wheel was built for "
                "(AVX2, FMA); build xllamacpp from source to use it here"
            )
        case -9:  # SIGKILL
            return "it was killed (SIGKILL), most often because the machine ran out of memory"
        case _ if code < 0:
            how = f"it died of {_signal_name(-code)}"
        case _:
            how = f"it ended with code {code}"
    return f"{how}: {last_words.rstrip('.')}" if last_words else how


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _exchange(child: _Child, method: str, path: str, body: JsonObject | None) -> tuple[int, Json]:
    connection = http.client.HTTPConnection(child.host, child.port, timeout=ANSWER_LIMIT_S)
    try:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {child.api_key}"}
        content = None if body is None else json.dumps(body).encode()
        connection.request(method, path, content, headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def _refusal(status: int, answer: Json) -> EngineRefused:
    error = answer.get("error") if isinstance(answer, dict) else None
    details = error if isinstance(error, dict) else {"message": str(answer)}
    return EngineRefused(
        status=status,
        kind=str(details.get("type", "")),
        message=str(details.get("message", "")),
    )
