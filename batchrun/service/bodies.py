"""The complete bodies of answers in text and vectors; what a request asks is read in `prompts.py`.

Shared by every responder that makes its own answers. Pure: ids and times are parameters (`ident_of` derives an id from content, so
that scripted answers are the same in every run).
"""

import base64
import hashlib
import struct
from collections.abc import Sequence
from enum import StrEnum

from batchrun.model import Json, JsonObject, Usage
from batchrun.service.conversation import Call, Message
from batchrun.service.echoes import repeated
from batchrun.service.prompts import (
    CHAT,
    COMPLETIONS,
    EDITS,
    EMBEDDINGS,
    GENERATIONS,
    MODERATIONS,
    RESPONSES,
    VIDEOS,
    max_tokens_of,
    model_of,
    prompt_of,
    schema_of,
)
from batchrun.service.refusals import error_body

__all__ = [
    "CHAT",
    "COMPLETIONS",
    "EDITS",
    "EMBEDDINGS",
    "GENERATIONS",
    "MODERATIONS",
    "RESPONSES",
    "VIDEOS",
    "Call",
    "Finish",
    "Message",
    "call_id_of",
    "chat_body",
    "completions_body",
    "embeddings_body",
    "error_body",
    "ident_of",
    "max_tokens_of",
    "model_of",
    "prompt_of",
    "responses_body",
    "schema_of",
]


class Finish(StrEnum):
    """Why an answer ended, whatever the endpoint calls it."""

    STOP = "stop"
    LENGTH = "length"
    REFUSAL = "refusal"  # HTTP 200; the text is the refusal
    CONTENT_FILTER = "content_filter"  # HTTP 200; the text is what came before the filter
    FAILED = "failed"  # /v1/responses only: HTTP 200 with `status: failed`; the text is the error's message


def ident_of(*parts: str) -> str:
    """32 hex digits that depend on nothing but the parts."""
    return hashlib.sha256("\x1f".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def responses_body(
    model: str,
    text: str,
    *,
    usage: Usage,
    created_at: int,
    ident: str,
    finish: Finish | str = Finish.STOP,
    calls: Sequence[Call] = (),
    request: JsonObject | None = None,
) -> JsonObject:
    """A whole `response` object: a message, unless there are `calls` and no text, and then the calls.

    `request` is the body that was asked, for the settings that an answer repeats. Note that `output_text` is a property of the SDK, not
    a key of the JSON.
    """
    finish = Finish(finish)
    reasons = {Finish.LENGTH: "max_output_tokens", Finish.CONTENT_FILTER: "content_filter"}
    if finish is Finish.FAILED:
        status = "failed"
    else:
        status = "incomplete" if finish in reasons else "completed"
    output: list[JsonObject] = []
    if text or not calls:
        output.append(_message(text, ident, status, is_refusal=finish is Finish.REFUSAL))
    for number, call in enumerate(calls):
        call_id = call_id_of(ident, number)
        output.append(
            {
                "id": f"fc_{call_id.removeprefix('call_')}",
                "type": "function_call",
                "status": "completed" if number < len(calls) - 1 else status,
                "arguments": call.arguments,
                "call_id": call_id,
                "name": call.name,
            }
        )
    failure = {"code": "server_error", "message": text}
    return {
        "id": f"resp_{ident}",
        "object": "response",
        "created_at": created_at,
        "completed_at": created_at if status == "completed" else None,
        "status": status,
        "background": False,
        "error": failure if finish is Finish.FAILED else None,
        "incomplete_details": {"reason": reasons[finish]} if finish in reasons else None,
        "model": model,
        "output": [] if finish is Finish.FAILED else output,
        **repeated(request or {}),
        "usage": {
            "input_tokens": usage.input_tokens,
            "input_tokens_details": {
                "cached_tokens": usage.cached_tokens,
                "cache_write_tokens": usage.cache_write_tokens or 0,
            },
            "output_tokens": usage.output_tokens,
            "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
            "total_tokens": usage.input_tokens + usage.output_tokens,
        },
    }


def _message(text: str, ident: str, status: str, *, is_refusal: bool) -> JsonObject:
    if is_refusal:
        part: JsonObject = {"type": "refusal", "refusal": text}
    else:
        part = {"type": "output_text", "annotations": [], "logprobs": [], "text": text}
    return {
        "id": f"msg_{ident}",
        "type": "message",
        "status": status,
        "content": [part],
        "role": "assistant",
    }


def call_id_of(ident: str, number: int) -> str:
    """The id of a call: it depends on the answer's, so that scripted answers are the same in every run."""
    return f"call_{ident_of(ident, str(number))[:24]}"


def chat_body(
    model: str,
    text: str,
    *,
    usage: Usage,
    created_at: int,
    ident: str,
    finish: Finish | str = Finish.STOP,
    calls: Sequence[Call] = (),
) -> JsonObject:
    """A whole `chat.completion` object with one choice. The endpoint has no shape for Finish.FAILED: ValueError."""
    finish = Finish(finish)
    if finish is Finish.FAILED:
        raise ValueError("/v1/chat/completions has no answer that failed with HTTP 200")
    is_refusal = finish is Finish.REFUSAL
    message: JsonObject = {
        "role": "assistant",
        "content": None if is_refusal or (calls and not text) else text,
        "refusal": text if is_refusal else None,
        "annotations": [],
    }
    if calls:
        message["tool_calls"] = [
            {
                "id": call_id_of(ident, number),
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for number, call in enumerate(calls)
        ]
    reason = "tool_calls" if calls and finish is Finish.STOP else finish.value
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": "stop" if is_refusal else reason,
    }
    return {
        "id": f"chatcmpl-{ident}",
        "object": "chat.completion",
        "created": created_at,
        "model": model,
        "choices": [choice],
        "usage": {
            "prompt_tokens": usage.input_tokens,
            "completion_tokens": usage.output_tokens,
            "total_tokens": usage.input_tokens + usage.output_tokens,
            "prompt_tokens_details": {
                "cached_tokens": usage.cached_tokens,
                "cache_write_tokens": usage.cache_write_tokens or 0,
                "audio_tokens": 0,
            },
            "completion_tokens_details": {
                "reasoning_tokens": usage.reasoning_tokens,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
        "service_tier": "default",
        "system_fingerprint": None,
    }


def completions_body(
    model: str,
    text: str,
    *,
    usage: Usage,
    created_at: int,
    ident: str,
    finish: Finish | str = Finish.STOP,
) -> JsonObject:
    """A whole `text_completion` object with one choice. The endpoint has no shape for FAILED and REFUSAL: ValueError."""
    finish = Finish(finish)
    if finish in (Finish.FAILED, Finish.REFUSAL):
        raise ValueError(f"/v1/completions has no answer that ends with {finish.value!r}")
    choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish.value}
    return {
        "id": f"cmpl-{ident}",
        "object": "text_completion",
        "created": created_at,
        "model": model,
        "choices": [choice],
        "usage": {
            "prompt_tokens": usage.input_tokens,
            "completion_tokens": usage.output_tokens,
            "total_tokens": usage.input_tokens + usage.output_tokens,
        },
        "system_fingerprint": None,
    }


def embeddings_body(
    model: str,
    vectors: Sequence[Sequence[float]],
    *,
    prompt_tokens: int,
    encoding_format: str = "float",
) -> JsonObject:
    """A whole embeddings list, in the order of the inputs; `base64` packs little-endian float32 (what the SDK asks for)."""
    data = []
    for index, vector in enumerate(vectors):
        packed = struct.pack(f"<{len(vector)}f", *vector)
        in_base64 = base64.b64encode(packed).decode("ascii")
        embedding: Json = in_base64 if encoding_format == "base64" else list(vector)
        data.append({"object": "embedding", "index": index, "embedding": embedding})
    usage = {"prompt_tokens": prompt_tokens, "total_tokens": prompt_tokens}
    return {"object": "list", "data": data, "model": model, "usage": usage}
