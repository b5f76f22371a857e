"""Result lines as services send them, and a reader of one line for tests."""

import base64
import hashlib
import json

import msgspec

from batchrun.endpoints.answer import Finish, Reading
from batchrun.endpoints.extras import EXTRAS
from batchrun.endpoints.reading import make_reader
from batchrun.model import JobSettings, Json, JsonObject
from batchrun.planning.causes import CAUSES
from batchrun.planning.classify import Outcome

RESPONSES, CHAT, EMBEDDINGS = "/v1/responses", "/v1/chat/completions", "/v1/embeddings"
SUCCEEDED, RETRY, RELEASED, FAILED = (
    Outcome.SUCCEEDED, Outcome.RETRY, Outcome.RELEASED, Outcome.FAILED,
)  # fmt: skip
PNG = b"\x89PNG\r\n\x1a\n" + bytes(24)
PACKED = base64.b64encode(PNG).decode()
PICTURE = {"format": "png", "bytes": 32, "sha256": hashlib.sha256(PNG).hexdigest()}


def job(url: str = RESPONSES, **keys: Json) -> JobSettings:
    return JobSettings(name="j", path="/jobs/j.jsonl", line=3, endpoint=url, **keys)


def read(line: Json, url: str = RESPONSES, **keys: Json) -> Reading:
    raw = line if isinstance(line, bytes) else json.dumps(line).encode()
    reading = make_reader(job(url, **keys))(raw)
    assert (reading.output is not None) == (reading.outcome is SUCCEEDED) == (reading.cause is None)
    assert reading.cause is None or reading.cause in CAUSES
    return reading


def output(reading: Reading) -> Json:
    assert reading.output is not None, reading
    return json.loads(reading.output)


def line(body: Json, status: Json = 200, **more: Json) -> JsonObject:
    response = {"status_code": status, "request_id": "req_1", "body": body}
    return {
        "id": "batch_req_1",
        "custom_id": "7-1-abc",
        "response": response,
        "error": None,
        **more,
    }


def message(*texts: Json, **more: Json) -> JsonObject:
    parts = [{"type": "output_text", "text": text, "annotations": []} for text in texts]
    return {"type": "message", "role": "assistant", "content": parts, **more}


def response(*items: Json, **more: Json) -> JsonObject:
    return {
        "id": "resp_1",
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "model": "m-1",
        "output": list(items),
        "usage": {
            "input_tokens": 10,
            "input_tokens_details": {"cached_tokens": 4},
            "output_tokens": 20,
            "output_tokens_details": {"reasoning_tokens": 5},
        },
        **more,
    }


def completion(content: Json, finish: Json = "stop", **more: Json) -> JsonObject:
    return {
        "id": "chatcmpl-1",
        "model": "m-1",
        "choices": [
            {
                "index": 0,
                "finish_reason": finish,
                "message": {"role": "assistant", "content": content, **more},
            }
        ],
        "usage": {
            "prompt_tokens": 10,
            "completion_tokens": 20,
            "prompt_tokens_details": {"cached_tokens": 4},
            "completion_tokens_details": {"reasoning_tokens": 5},
        },
    }


def embedding(*vectors: Json) -> JsonObject:
    return {
        "object": "list",
        "model": "m-1",
        "data": [{"index": i, "embedding": vector} for i, vector in enumerate(vectors)],
        "usage": {"prompt_tokens": 10, "total_tokens": 10},
    }


def tokens_of(reading: Reading) -> tuple[int, int, int, int]:
    """Input, cached, output and reasoning tokens."""
    made = (reading.output_tokens, reading.reasoning_tokens)
    return reading.input_tokens, reading.cached_tokens, *made


def assert_sound(reading: Reading) -> None:
    """The invariants that the ledger counts on."""
    if reading.outcome is Outcome.SUCCEEDED:
        assert reading.cause is None
        assert reading.output is not None
        msgspec.json.decode(reading.output)
    else:
        assert reading.output is None
        assert reading.cause in CAUSES
        assert reading.message
    assert type(reading.finish) is Finish
    texts = (reading.custom_id, reading.message, reading.partial, reading.model, reading.request_id)
    for text in texts:
        if text is not None:
            assert isinstance(text, str)
            text.encode()  # a lone surrogate raises
    if reading.extras is not None:
        extras = msgspec.json.decode(reading.extras)
        assert extras
        assert list(extras) == [name for name in EXTRAS if extras.get(name)]
    for count in tokens_of(reading):
        assert type(count) is int
        assert 0 <= count < 2**40
    written = reading.cache_write_tokens
    assert written is None or (type(written) is int and 0 <= written < 2**40)


def extras(reading: Reading) -> JsonObject:
    found: JsonObject = json.loads(reading.extras or b"{}")
    return found


def extras_of(*items: Json) -> JsonObject:
    return extras(read(line(response(*items))))


def cited(text: str, *annotations: Json) -> JsonObject:
    part = {"type": "output_text", "text": text, "annotations": list(annotations), "logprobs": []}
    return {"type": "message", "role": "assistant", "content": [part]}


def page(start: int, end: int, **more: Json) -> JsonObject:
    return {
        "type": "url_citation",
        "url": "https://example.org/a",
        "title": "A",
        "start_index": start,
        "end_index": end,
        **more,
    }
