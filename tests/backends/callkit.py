"""The calls of a backend, and the ways in which an answer over a real socket can fail to be one."""

from collections.abc import Callable
from pathlib import Path

from misbehaving import Step, answer, cut, garbage, hang_up, page, reset

from batchrun.backends.openai import OpenAIBackend

KEY = "sk-canary-0123456789abcdef"


def create(backend: OpenAIBackend) -> object:
    return backend.create(
        input_file_id="file-in",
        endpoint="/v1/responses",
        window="24h",
        metadata={"batchrun": "br-1"},
    )


def upload(backend: OpenAIBackend) -> object:
    # Any file that is there will do: every answer to it is a fault.
    return backend.upload(Path(__file__), name="br-1.jsonl", expires_after_s=None)


IDEMPOTENT: dict[str, Callable[[OpenAIBackend], object]] = {
    "upload": upload,
    "get_file": lambda backend: backend.get_file("file-1"),
    "delete_file": lambda backend: backend.delete_file("file-1"),
    "list_files": lambda backend: backend.list_files(after=None, limit=1000),
    "retrieve": lambda backend: backend.retrieve("batch_1"),
    "list_batches": lambda backend: backend.list_batches(after=None, limit=100),
}


LOST: dict[str, Step] = {
    "hang_up": hang_up,
    "reset": reset,
    "garbage": garbage,
    "cut": cut(b'{"id": "batch_1", "sta', announced=400),
}


UNREADABLE: dict[str, Step] = {
    "html": page(200),
    "empty": answer(b""),
    "half_json": answer(b'{"id": "batch_1", "st', content_type="application/json"),
    "not_utf8": answer(b'{"id": "\xff\xfe"}', content_type="application/json"),
    "nested": answer(b"[" * 100_000, content_type="application/json"),
    "number": answer(7),
    "list": answer(["not", "an", "object"]),
    "bad_gzip": answer(b"not gzip", content_encoding="gzip"),
}
