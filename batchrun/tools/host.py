"""The program that runs the user's functions: `python -m batchrun.tools.host FILE.py`, started and stopped by `worker.py`.

Speaks JSON lines. First it says what it offers, `{"tools": […]}`, or what is wrong, `{"problems": [{"line", "what"}]}`. Then each line
`{"name", "arguments"}` on stdin is answered with `{"output"}` or `{"error"}`. Whatever the user's code prints goes to stderr. It ends when stdin
does, that is, with its parent, however that died: in order where nothing runs, else at once.
"""

import contextlib
import importlib.util
import json
import os
import queue
import signal
import sys
import threading
import traceback
from pathlib import Path
from types import ModuleType
from typing import IO, Any, Final

from batchrun.tools.signatures import Function, WrongArguments, functions_of

OUTPUT_LIMIT_BYTES: Final = 1_000_000  # of one call's result
_ERROR_CHARACTERS: Final = 2_000
_MODULE: Final = "batchrun_tools_file"  # not the file's own name, which may be that of a module


def main() -> None:
    """Serve the file named on the command line until the parent goes."""
    path = Path(sys.argv[1])
    with os.fdopen(os.dup(1), "wb") as answers, os.fdopen(os.dup(0), "rb") as commands:
        # What the user's code prints must not stand in the protocol, and what it reads must not come from there.
        os.dup2(2, 1)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        waiting: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        is_busy = threading.Event()
        is_busy.set()
        threading.Thread(target=_listen, args=(commands, waiting, is_busy), daemon=True).start()
        functions = _offered(path, answers)
        while functions is not None:
            is_busy.clear()
            line = waiting.get()
            is_busy.set()
            if not line:
                break
            command = json.loads(line)
            _say(answers, _answer(functions[command["name"]], command["arguments"]))


def _listen(
    commands: IO[bytes], waiting: "queue.SimpleQueue[bytes]", is_busy: threading.Event
) -> None:
    """Runs beside the functions. (Linux could kill this process with its parent, but not what it has started.)"""
    while line := commands.readline():
        waiting.put(line)
    if is_busy.is_set():
        # Nobody waits for what runs here any more; it, and what it has started, must not outlive its caller.
        os.killpg(0, signal.SIGKILL)
    waiting.put(b"")


def _offered(path: Path, answers: IO[bytes]) -> dict[str, Function] | None:
    module = _loaded(path)
    if not isinstance(module, ModuleType):
        _say(answers, {"problems": [module]})
        return None
    functions, problems = functions_of(module)
    if problems:
        _say(answers, {"problems": [problem._asdict() for problem in problems]})
        return None
    _say(answers, {"tools": [function.tool for function in functions]})
    return {function.tool["name"]: function for function in functions}


def _loaded(path: Path) -> ModuleType | dict[str, Any]:
    """The user's module, or why and where it cannot be loaded."""
    sys.argv = [str(path)]
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(_MODULE, path)
    if spec is None or spec.loader is None:
        return {"line": None, "what": "not a Python file: its name must end in .py"}
    module = importlib.util.module_from_spec(spec)
    sys.modules[_MODULE] = module  # where types are looked up by name
    try:
        spec.loader.exec_module(module)
    except BaseException as error:  # noqa: BLE001 - somebody else's code, and this process is there to be told
        return {"line": _line_of(error, path), "what": f"cannot be loaded: {_told(error)}"}
    return module


def _line_of(error: BaseException, path: Path) -> int | None:
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return error.lineno
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    return lines[-1] if lines else None


def _answer(function: Function, arguments: str) -> dict[str, str]:
    try:
        text = _text(function.call(arguments))
    except WrongArguments as error:
        return {"error": str(error)}
    except BaseException as error:  # noqa: BLE001 - whatever the function raises, SystemExit included, is what the model is told
        return {"error": _told(error)}
    size = len(text.encode())
    if size > OUTPUT_LIMIT_BYTES:
        most = f"{OUTPUT_LIMIT_BYTES:,} is the most"
        return {"error": f"the result is {size:,} bytes, and {most}: ask for less"}
    return {"output": text}


def _text(result: Any) -> str:
    """A result as the model is told it: text as it is, anything else as JSON."""
    if not isinstance(result, str):
        from pydantic_core import PydanticSerializationError, to_json

        try:
            # NaN and the infinities as text: as JSON's own word they would be no JSON.
            result = to_json(result, inf_nan_mode="strings").decode()
        except (PydanticSerializationError, RecursionError, ValueError) as error:
            what = f"returned a {type(result).__name__}, which JSON cannot say"
            raise TypeError(f"the function {what}: {error}") from None
    return str(result.encode("utf-8", "replace").decode())


def _told(error: BaseException) -> str:
    try:
        words = str(error)
    except BaseException:  # noqa: BLE001 - an exception of the user's own, that cannot say what it is
        words = ""
    told = f"{type(error).__name__}: {words}" if words else type(error).__name__
    if len(told) > _ERROR_CHARACTERS:
        told = told[: _ERROR_CHARACTERS - 1] + "…"
    return told.encode("utf-8", "replace").decode()


def _say(answers: IO[bytes], message: dict[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError):
        answers.write(json.dumps(message).encode() + b"\n")
        answers.flush()


if __name__ == "__main__":
    main()
