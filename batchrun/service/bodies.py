"""The shapes of the three endpoints, both ways: what a request body asks, and the complete body of an answer.

Shared by every responder that makes its own answers. Pure: ids and times are parameters (`ident_of` derives an id from content, so
that scripted answers are the same in every run).
"""

import base64
import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from batchrun.model import Json, JsonObject, Usage
from batchrun.service.refusals import ServiceError, error_body, missing, wrong_type

__all__ = [
    "CHAT",
    "EMBEDDINGS",
    "RESPONSES",
    "Finish",
    "Message",
    "chat_body",
    "embedding_inputs",
    "embeddings_body",
    "error_body",
    "ident_of",
    "max_tokens_of",
    "model_of",
    "prompt_of",
    "responses_body",
    "schema_of",
]

RESPONSES = "/v1/responses"
CHAT = "/v1/chat/completions"
EMBEDDINGS = "/v1/embeddings"


class Finish(StrEnum):
    """Why an answer ended, whatever the endpoint calls it."""

    STOP = "stop"
    LENGTH = "length"
    REFUSAL = "refusal"  # HTTP 200; the text is the refusal
    CONTENT_FILTER = "content_filter"  # HTTP 200; the text is what came before the filter
    FAILED = "failed"  # /v1/responses only: HTTP 200 with `status: failed`; the text is the error's message


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a prompt; parts that are not text are left out of `text`."""

    role: str
    text: str


def ident_of(*parts: str) -> str:
    """32 hex digits that depend on nothing but the parts."""
    return hashlib.sha256("\x1f".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def model_of(body: JsonObject) -> str:
    """The model that a request names. Raises ServiceError 400 where there is none."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise missing("model")
    return model


def prompt_of(url: str, body: JsonObject) -> list[Message]:
    """The messages of a request, in order; `instructions` come first, as a system message.

    /v1/embeddings gives one user message per input. Raises ServiceError 400 as the API would: no prompt, or one of a wrong type.
    """
    if url == EMBEDDINGS:
        return [Message(role="user", text=text) for text in embedding_inputs(body)]
    if url == CHAT:
        return _messages(body, "messages")
    prompt: list[Message] = []
    instructions = body.get("instructions")
    if instructions is not None:
        if not isinstance(instructions, str):
            raise wrong_type("instructions", "a string", instructions)
        prompt.append(Message(role="system", text=instructions))
    asked = body.get("input")
    if isinstance(asked, str):
        return [*prompt, Message(role="user", text=asked)]
    return prompt + _messages(body, "input")


def _messages(body: JsonObject, key: str) -> list[Message]:
    messages = body.get(key)
    if messages is None:
        raise missing(key)
    if not isinstance(messages, list):
        raise wrong_type(key, "an array of messages", messages)
    if not messages:
        raise ServiceError(
            status=400,
            message=f"Invalid '{key}': empty array. Expected an array with minimum length 1.",
            code="empty_array",
            param=key,
        )
    prompt = []
    for number, message in enumerate(messages):
        if not isinstance(message, dict):
            raise wrong_type(f"{key}[{number}]", "an object", message)
        text = _text(message.get("content"), f"{key}[{number}].content")
        prompt.append(Message(role=str(message.get("role", "user")), text=text))
    return prompt


def _text(content: Json, param: str) -> str:
    match content:
        case None:  # tool calls and other items without content of their own
            return ""
        case str():
            return content
        case list():
            parts = (part.get("text") for part in content if isinstance(part, dict))
            return "\n".join(part for part in parts if isinstance(part, str))
        case _:
            raise wrong_type(param, "a string or an array of parts", content)


def embedding_inputs(body: JsonObject) -> list[str]:
    """The inputs of an embeddings request, one text each; an input of token numbers becomes the numbers, spaced.

    Raises ServiceError 400 for a missing, empty or wrongly typed `input`.
    """
    asked = body.get("input")
    if asked is None:
        raise missing("input")
    if isinstance(asked, str):
        asked = [asked]
    if not isinstance(asked, list):
        raise wrong_type("input", "a string or an array", asked)
    if asked and all(type(token) is int for token in asked):
        asked = [asked]
    inputs = []
    for number, one in enumerate(asked):
        if isinstance(one, list) and one and all(type(token) is int for token in one):
            inputs.append(" ".join(map(str, one)))
        elif isinstance(one, str):
            inputs.append(one)
        else:
            raise wrong_type(f"input[{number}]", "a string or an array of integers", one)
    if not inputs or "" in inputs:
        raise ServiceError(
            status=400, message="'input' cannot be an empty string or array.", param="input"
        )
    return inputs


def schema_of(url: str, body: JsonObject) -> JsonObject | None:
    """The JSON Schema that the answer must meet; `{"type": "object"}` for plain JSON mode, None for free text."""
    if url == RESPONSES:
        text = body.get("text")
        asked = text.get("format") if isinstance(text, dict) else None
        holder = asked
    else:
        asked = body.get("response_format")
        holder = asked.get("json_schema") if isinstance(asked, dict) else None
    if not isinstance(asked, dict):
        return None
    if asked.get("type") == "json_object":
        return {"type": "object"}
    if asked.get("type") != "json_schema" or not isinstance(holder, dict):
        return None
    schema = holder.get("schema")
    return schema if isinstance(schema, dict) else None


def max_tokens_of(url: str, body: JsonObject) -> int | None:
    """The limit on output tokens that a request sets; None where it sets none."""
    keys = ("max_output_tokens",) if url == RESPONSES else ("max_completion_tokens", "max_tokens")
    for key in keys:
        limit = body.get(key)
        if type(limit) is int and limit > 0:
            return limit
    return None


def responses_body(
    model: str,
    text: str,
    *,
    usage: Usage,
    created_at: int,
    ident: str,
    finish: Finish | str = Finish.STOP,
    request: JsonObject | None = None,
) -> JsonObject:
    """A whole `response` object with one message. `request` is the body that was asked, for the settings that an answer repeats.

    Note that `output_text` is a property of the SDK, not a key of the JSON.
    """
    finish = Finish(finish)
    asked = request or {}
    reasons = {Finish.LENGTH: "max_output_tokens", Finish.CONTENT_FILTER: "content_filter"}
    if finish is Finish.FAILED:
        status = "failed"
    else:
        status = "incomplete" if finish in reasons else "completed"
    if finish is Finish.REFUSAL:
        part: JsonObject = {"type": "refusal", "refusal": text}
    else:
        part = {"type": "output_text", "annotations": [], "logprobs": [], "text": text}
    message = {
        "id": f"msg_{ident}",
        "type": "message",
        "status": status,
        "content": [part],
        "role": "assistant",
    }
    failure = {"code": "server_error", "message": text}
    return {
        "id": f"resp_{ident}",
        "object": "response",
        "created_at": created_at,
        "status": status,
        "background": False,
        "error": failure if finish is Finish.FAILED else None,
        "incomplete_details": {"reason": reasons[finish]} if finish in reasons else None,
        "instructions": asked.get("instructions"),
        "max_output_tokens": asked.get("max_output_tokens"),
        "model": model,
        "output": [] if finish is Finish.FAILED else [message],
        "parallel_tool_calls": asked.get("parallel_tool_calls", True),
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": asked.get("store", False),
        "temperature": asked.get("temperature", 1.0),
        "text": asked.get("text", {"format": {"type": "text"}}),
        "tool_choice": asked.get("tool_choice", "auto"),
        "tools": asked.get("tools", []),
        "top_p": asked.get("top_p", 1.0),
        "truncation": asked.get("truncation", "disabled"),
        "usage": {
            "input_tokens": usage.input_tokens,
            "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},
            "output_tokens": usage.output_tokens,
            "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
            "total_tokens": usage.input_tokens + usage.output_tokens,
        },
        "metadata": asked.get("metadata", {}),
    }


def chat_body(
    model: str,
    text: str,
    *,
    usage: Usage,
    created_at: int,
    ident: str,
    finish: Finish | str = Finish.STOP,
) -> JsonObject:
    """A whole `chat.completion` object with one choice. The endpoint has no shape for Finish.FAILED: ValueError."""
    finish = Finish(finish)
    if finish is Finish.FAILED:
        raise ValueError("/v1/chat/completions has no answer that failed with HTTP 200")
    is_refusal = finish is Finish.REFUSAL
    choice = {
        "index": 0,
        "message": {
            "role": "assistant",
            "content": None if is_refusal else text,
            "refusal": text if is_refusal else None,
            "annotations": [],
        },
        "logprobs": None,
        "finish_reason": "stop" if is_refusal else finish.value,
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
            "prompt_tokens_details": {"cached_tokens": usage.cached_tokens, "audio_tokens": 0},
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
