"""Stands in for xllamacpp in the model's process: the same names, and an HTTP server on loopback with simple rules for a mind.

It repeats the last message; where it may call functions, it calls the first one if it must or if the message says `call`. A word of a message
can ask for trouble: `boom` (the process dies), `overlong`, `internal`, `prose`.
A label is more probable the more often its tokens stand in the prompt.
"""

import json
import os
import re
import signal
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

END = "<end>"


class llama_pooling_type:  # noqa: N801 - xllamacpp's name
    LLAMA_POOLING_TYPE_MEAN = 1


class CommonParams(SimpleNamespace):
    def __init__(self) -> None:
        one = SimpleNamespace
        super().__init__(model=one(), cpuparams=one(), cpuparams_batch=one(), embedding=False)


def tokens_of(text: str) -> list[int]:
    """Pieces of at most four characters, a leading space counted to its word."""
    return [zlib.crc32(piece.encode()) for piece in re.findall(r" ?\S{1,4}|\s", text)]


class Server:
    def __init__(self, params: CommonParams) -> None:
        name = Path(params.model.path).name
        os.write(1, b"native code prints this to stdout\n")
        if name == "broken.gguf":
            raise RuntimeError("tensor 'output' has the wrong shape")
        if name == "aborts.gguf":
            os.write(2, b"GGML_ASSERT: nothing works.\n")
            os.abort()
        self._http = ThreadingHTTPServer(("127.0.0.1", params.port), _Handler)
        self._http.params = params  # type: ignore[attr-defined]  # carried to the handler
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        self.listening_address = f"http://127.0.0.1:{self._http.server_address[1]}"


class _Refused(Exception):
    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status, self.error = status, {"code": status, "type": kind, "message": message}


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def do_GET(self) -> None:
        self._send(200, {"eos_token": END, "omp": os.environ.get("OMP_WAIT_POLICY")})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        params = self.server.params  # type: ignore[attr-defined]
        if self.headers["Authorization"] != f"Bearer {params.api_keys[0]}":
            self._send(401, {"error": {"type": "authentication_error", "message": "no key"}})
            return
        try:
            self._send(200, ROUTES[self.path](body))
        except _Refused as refused:
            self._send(refused.status, {"error": refused.error})

    def _send(self, status: int, answer: object) -> None:
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _template(body: dict[str, Any]) -> object:
    schema = body.get("response_format", {}).get("json_schema", {}).get("schema", {})
    if schema.get("type") == "wat":
        raise _Refused(400, "invalid_request_error", "unrecognized type wat.")
    lines = [f"{one['role']}: {one['content']}\n" for one in body["messages"]]
    return {"prompt": "".join(lines) + "assistant: "}


def _tokenize(body: dict[str, Any]) -> object:
    return {"tokens": tokens_of(body["content"])}


def _completion(body: dict[str, Any]) -> object:
    if "logit_bias" not in body:
        said = body["prompt"].split(" ")[: body["n_predict"]]
        cut = "limit" if len(said) == body["n_predict"] else "eos"
        used = {"tokens_evaluated": 7, "tokens_predicted": len(said)}
        return {"content": " ".join(said), "stop_type": cut, **used}
    prompt, candidates = body["prompt"], [token for token, _ in body["logit_bias"]]
    weights = {token: 1.0 + 10.0 * prompt.count(token) for token in candidates}
    total = sum(weights.values())
    top = [{"id": token, "prob": weight / total} for token, weight in weights.items()]
    return {"completion_probabilities": [{"top_probs": top}]}


def _chat(body: dict[str, Any]) -> object:
    text: str = body["messages"][-1]["content"]
    if "boom" in text:
        os.kill(os.getpid(), signal.SIGKILL)
    if "overlong" in text:
        raise _Refused(
            400,
            "exceed_context_size_error",
            "request (5031 tokens) exceeds the available context size (4096 tokens), try increasing it",
        )
    if "internal" in text:
        raise _Refused(500, "server_error", "no free slot")
    if "messages" in text:
        text = json.dumps(body["messages"])
    grammar = body.get("grammar", "")
    if "call0" in grammar and ("text: " not in grammar or "call" in text) and "prose" not in text:
        head = re.search(r'call0: ("(?:[^"\\]|\\.)*")', grammar)
        assert head is not None
        text = json.loads(head[1]) + json.dumps({"echo": text}) + "}</tool_call>"
    elif ("%json" in grammar.partition("text: ")[2]) and "prose" not in text:
        text = json.dumps({"echo": text})
    words = text.split(" ")
    said = words[: body["max_tokens"]]
    finish = "stop" if len(said) == len(words) else "length"
    return {
        "choices": [{"message": {"content": " ".join(said)}, "finish_reason": finish}],
        "usage": {"prompt_tokens": 7, "completion_tokens": len(said)},
    }


def _embeddings(body: dict[str, Any]) -> object:
    data = [{"index": n, "embedding": [0.6, 0.8]} for n, _ in enumerate(body["input"])]
    return {"data": data[::-1], "usage": {"prompt_tokens": len(data)}}


ROUTES = {
    "/apply-template": _template,
    "/tokenize": _tokenize,
    "/completion": _completion,
    "/v1/chat/completions": _chat,
    "/v1/embeddings": _embeddings,
}
