"""A process that has imported the whole program once, and forks a process for each command: real processes without their start-up.

It reads one JSON object a line from stdin and answers each with one on stdout. What it forked dies with it.

    {"do": "call", "words", "cwd", "env", "clock", "log", "pid", "left", "kill", "counts", "broken", "waits"}  -> {"pid"}
    {"do": "serve", "data", "clock", "key", "manners", "rules", "log"}                           -> {"pid", "port"}
    {"do": "wait", "pid"}                                                                        -> {"code"}: minus the signal's number
    {"do": "kill", "pid"}                                                                        -> {}
"""

import ctypes
import gc
import json
import os
import pkgutil
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import batchrun

_ANYBODY: Final = ctypes.c_ulong(2**64 - 1)
_SET_TRACER: Final = 0x59616D61  # prctl: who may trace this process, where the kernel asks
_SPARED: Final = (
    "batchrun.__main__",
    "batchrun.service.llama",
)  # the one runs, the other has an engine behind it


def warm_up() -> None:
    """Import everything that a command may import, and make each thing once that is slow only the first time."""
    for found in pkgutil.walk_packages(batchrun.__path__, "batchrun."):
        if not found.name.startswith(_SPARED):
            import_module(found.name)
    import farside  # noqa: F401
    import openai

    client = openai.OpenAI(api_key="warm", base_url="http://127.0.0.1:9/v1")
    _ = (client.files.with_raw_response, client.batches.with_raw_response)
    client.close()
    from batchrun.ledger.schema import migrations

    migrations()
    gc.collect()
    gc.freeze()


def _fork(run: Callable[[], int], log: str) -> int:
    """A process that runs this and ends with what it returns; its stdout and stderr are appended to `<log>.out` and `<log>.err`."""
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        _redirect(log)
        code = run()
    except BaseException:  # noqa: BLE001 - whatever it is, it must not run on in the zygote's code
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _redirect(log: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    for number, name in ((0, os.devnull), (1, f"{log}.out"), (2, f"{log}.err")):
        opened = os.open(name, os.O_RDONLY if number == 0 else flags, 0o600)
        os.dup2(opened, number)
        os.close(opened)


def call(request: dict[str, Any]) -> dict[str, Any]:
    """The batchrun command, with these words, in this folder and environment, on this clock."""

    def run() -> int:
        import killing

        from batchrun.cli.main import run as batchrun_command
        from batchrun.testing import FileClock

        os.chdir(request["cwd"])
        os.environ.clear()
        os.environ.update(request["env"])
        Path(request["pid"]).write_text(str(os.getpid()))
        if request.get("broken"):
            import broken

            broken.BROKEN[request["broken"]]()
        clock = FileClock(Path(request["clock"]))
        if request.get("waits"):
            _wait_for_tracer()
        kill = killing.Kill(**request["kill"]) if request.get("kill") else None
        passed = killing.lay(
            kill,
            counts=bool(request.get("counts")),
            root=Path(request["cwd"]),
            left=Path(request["left"]),
        )
        code = batchrun_command(request["words"], clock=clock)
        sys.settrace(None)
        if request.get("counts"):
            Path(request["counts"]).write_text(killing.to_json(passed))
        return code

    return {"pid": _fork(run, request["log"])}


def _wait_for_tracer() -> None:
    """Until strace holds this process: it tells so in /proc."""
    ctypes.CDLL(None).prctl(_SET_TRACER, _ANYBODY, 0, 0, 0)
    while b"TracerPid:\t0" in Path("/proc/self/status").read_bytes():
        time.sleep(0.002)


def serve(request: dict[str, Any]) -> dict[str, Any]:
    """The service, open before this returns."""
    import farside

    listener = socket.create_server(("127.0.0.1", 0))
    opened, opens = os.pipe()

    def run() -> int:
        farside.serve(
            Path(request["data"]),
            Path(request["clock"]),
            request["key"],
            listener,
            farside.Manners(**{**request["manners"], "late": tuple(request["manners"]["late"])}),
            request["rules"],
            lambda: os.write(opens, b"."),
        )
        return 0

    pid = _fork(run, request["log"])
    port = listener.getsockname()[1]
    listener.close()
    os.close(opens)
    os.read(opened, 1)
    os.close(opened)
    return {"pid": pid, "port": port}


def _tell(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Answer until stdin ends."""
    alive: set[int] = set()
    warm_up()
    _tell({"ready": os.getpid()})
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict[str, Any] = {}
        match request["do"]:
            case "call":
                answer = call(request)
                alive.add(answer["pid"])
            case "serve":
                answer = serve(request)
                alive.add(answer["pid"])
            case "wait":
                _, status = os.waitpid(request["pid"], 0)
                alive.discard(request["pid"])
                answer = {"code": os.waitstatus_to_exitcode(status)}
            case "kill":
                os.kill(request["pid"], signal.SIGKILL)
                os.waitpid(request["pid"], 0)
                alive.discard(request["pid"])
        _tell(answer)
    for pid in alive:
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
