"""Our side of the user's functions: a process that is started when it is needed, asked, and killed when it takes too long.

The user's file is never loaded into batchrun's own process: what it does there (end it, hang, print, spoil a library) is answered as an error.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Collection
from pathlib import Path
from typing import IO, Final, NamedTuple, cast

from batchrun.errors import JobFileError, Problem
from batchrun.model import Json, JsonObject

CALL_TIMEOUT_S: Final = 60.0
LEAST_TIMEOUT_S: Final = 1.0
_LOAD_LEAST_S: Final = 30.0  # a file may import large libraries
_END_TIMEOUT_S: Final = 5.0
_FIX: Final = "Correct the file that --tools names."
_LATE_FIX: Final = "Let the functions themselves do what takes long."


class CallResult(NamedTuple):
    """What a model is told about its call."""

    output: str
    is_error: bool


class Worker:
    """The functions of one file. One call at a time; `close` when there are no more. Use it in one thread.

    `timeout_s` is for one call, and for loading the file where it is over 30 s. `hidden`: names of environment variables that the file must not see, those of API keys.
    """

    def __init__(
        self, file: Path, *, timeout_s: float = CALL_TIMEOUT_S, hidden: Collection[str] = ()
    ) -> None:
        self._file, self._timeout_s, self._hidden = file, timeout_s, frozenset(hidden)
        self._process: subprocess.Popen[bytes] | None = None
        self._tools: tuple[JsonObject, ...] = ()

    def tools(self) -> tuple[JsonObject, ...]:
        """Name, description and parameters of each function. Raises JobFileError with what is wrong with the file, and where."""
        self._started()
        return self._tools

    def call(self, name: str, arguments: str) -> CallResult:
        """Call a function with arguments in JSON; whatever goes wrong in it is an answer. Raises JobFileError where the file cannot be loaded."""
        process = self._started()
        names = [str(tool["name"]) for tool in self._tools]
        if name not in names:
            return _error(f"there is no function {name!r}. There are: {', '.join(names)}")
        message = json.dumps({"name": name, "arguments": arguments})
        line, is_late = self._asked(process, message.encode() + b"\n", self._timeout_s)
        if line:
            answer = json.loads(line)
            if "error" in answer:
                return _error(answer["error"])
            return CallResult(answer["output"], is_error=False)
        self.close()
        if is_late:
            return _error(f"{name} did not answer within {self._timeout_s:g} s")
        return _error(f"{name} ended its process ({_how_ended(process.returncode)})")

    def close(self) -> None:
        """Let the process end in order; one that does not is killed, with all that it has started."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(BrokenPipeError):
            _stdin(process).close()
        try:
            process.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            _kill(process)
            process.wait()
        _stdout(process).close()

    def _started(self) -> "subprocess.Popen[bytes]":
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.close()
        environment = {k: v for k, v in os.environ.items() if k not in self._hidden}
        # -P: the current folder is no place to find modules in. A group of its own: it is killed with what it has started.
        command = [sys.executable, "-P", "-m", "batchrun.tools.host", str(self._file.resolve())]
        process = subprocess.Popen(  # noqa: S603 - our own program
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        self._process = process
        limit_s = max(self._timeout_s, _LOAD_LEAST_S)
        line, is_late = self._asked(process, b"", limit_s)
        found = json.loads(line) if line else None
        if found is not None and "tools" in found:
            self._tools = tuple(found["tools"])
            return process
        self.close()
        if found is not None:
            raise self._error_of(found["problems"])
        if is_late:
            late = f"it did not load within {limit_s:g} s"
            raise self._error_of([{"line": None, "what": late}], fix=_LATE_FIX)
        how = f"it ended its process ({_how_ended(process.returncode)})"
        raise self._error_of([{"line": None, "what": how}])

    def _error_of(self, problems: list[Json], *, fix: str = _FIX) -> JobFileError:
        path = str(self._file)
        return JobFileError(
            tuple(
                Problem(path=path, line=one["line"], what=one["what"], fix=fix) for one in problems
            )
        )

    def _asked(
        self, process: "subprocess.Popen[bytes]", message: bytes, timeout_s: float
    ) -> tuple[bytes, bool]:
        """The line that answers a message, b"" where none came; and whether the process was killed for that."""
        killed = threading.Event()

        def kill() -> None:
            killed.set()
            _kill(process)

        timer = threading.Timer(timeout_s, kill)
        timer.start()
        try:
            with contextlib.suppress(BrokenPipeError):
                _stdin(process).write(message)
                _stdin(process).flush()
            line = _stdout(process).readline()
        finally:
            timer.cancel()
            timer.join()
        return line if line.endswith(b"\n") else b"", killed.is_set()


def _error(what: str) -> CallResult:
    return CallResult(f"error: {what}", is_error=True)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def _how_ended(code: int | None) -> str:
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"


def _stdin(process: "subprocess.Popen[bytes]") -> IO[bytes]:
    return cast("IO[bytes]", process.stdin)


def _stdout(process: "subprocess.Popen[bytes]") -> IO[bytes]:
    return cast("IO[bytes]", process.stdout)
