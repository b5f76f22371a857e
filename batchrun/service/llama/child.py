"""The program that runs inside the model's own process: loads a GGUF with xllamacpp and serves it on loopback.

Run by `engine.py` as a file, never imported, and it imports nothing of batchrun: whatever happens to it (no memory, an illegal
instruction, a bug in native code) is a message in the parent. It reads one line of JSON settings from stdin, answers one line of JSON on
stdout (`{"address": …}` or `{"error": …}`), and ends when stdin does, that is, with its parent, however that died.
"""

import contextlib
import json
import os
import signal
import sys
import threading
from typing import Any, TextIO

# Busy waiting on a machine that does anything else makes two threads 15 times slower than one; read when libgomp is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def main() -> None:
    """Serve until the parent goes."""
    # A Ctrl-C or a service manager's SIGTERM reaches the whole group; the parent finishes its line first and then lets us go.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)  # native code that prints must not write into the protocol
        settings = json.loads(sys.stdin.buffer.readline())
        watcher = threading.Thread(target=_end_with_parent, daemon=True)
        watcher.start()
        try:
            server = _load(settings)
        except (ImportError, RuntimeError, ValueError, OSError, MemoryError) as exc:
            _answer(answers, {"error": str(exc)})
            os._exit(1)
        _answer(answers, {"address": server.listening_address})
        watcher.join()


def _load(settings: dict[str, Any]) -> Any:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = settings["model_file"]
    params.api_keys = [settings["api_key"]]
    params.port = 0  # any free one
    params.n_parallel = 1
    params.n_ctx = settings["context_tokens"]
    params.cpuparams.n_threads = settings["threads"]
    params.cpuparams_batch.n_threads = settings["threads"]
    params.cache_ram_mib = 0  # prompts of other requests are not worth keeping: items differ
    params.warmup = False
    params.ui = False
    params.verbosity = 0
    if settings["embedding"]:
        params.embedding = True
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
        # A text is embedded in one piece, so the piece must hold a whole context.
        params.n_batch = params.n_ubatch = settings["context_tokens"]
    return xllamacpp.Server(params)


def _answer(answers: TextIO, message: dict[str, str]) -> None:
    with contextlib.suppress(BrokenPipeError):
        answers.write(json.dumps(message) + "\n")
        answers.flush()


def _end_with_parent() -> None:
    while sys.stdin.buffer.read(4096):
        pass
    os._exit(0)  # at once: nothing here is worth an orderly end


if __name__ == "__main__":
    main()
