"""Between the API's words and the engine's: what a request asks of the local model, and how the engine's refusals read. Pure."""

import json
from collections.abc import Sequence

from batchrun.model import Json, JsonObject
from batchrun.service.bodies import (
    CHAT,
    EMBEDDINGS,
    Message,
    max_tokens_of,
    prompt_of,
)
from batchrun.service.llama.engine import EngineRefused
from batchrun.service.refusals import ServiceError, invalid_value

# Without any system message SmolLM2's template puts one of its own, with which the model answers in the wrong language.
DEFAULT_SYSTEM = "You are a helpful assistant."
DEFAULT_OUTPUT_TOKENS = (
    1024  # where a request sets no limit: a small model may go round in circles for ever
)

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
_TEXT_PARTS = frozenset({"text", "input_text", "output_text", "refusal"})
_PROMPT_KEYS = {CHAT: "messages"}
_NOT_HERE = ("tools", "functions", "previous_response_id", "conversation", "prompt", "audio")
_JSON_STARTS = '{["-0123456789tfn'


def check_supported(url: str, body: JsonObject) -> None:
    """Raise ServiceError 400 for what would be silently left out: tools, stored conversations, images, several choices."""
    for key in _NOT_HERE:
        if body.get(key):
            raise _unsupported(key, f"the local model has no '{key}'")
    if body.get("n") not in (None, 1):
        raise _unsupported("n", "the local model gives one choice")
    key = _PROMPT_KEYS.get(url, "input")
    messages = body.get(key)
    for number, message in enumerate(messages if isinstance(messages, list) else ()):
        parts = message.get("content") if isinstance(message, dict) else None
        for part in parts if isinstance(parts, list) else ():
            if not isinstance(part, dict) or part.get("type") not in _TEXT_PARTS:
                raise _unsupported(f"{key}[{number}].content", "the local model reads text only")


def _unsupported(param: str, what: str) -> ServiceError:
    return ServiceError(
        status=400,
        message=f"Unsupported value for '{param}': {what}.",
        code="unsupported_value",
        param=param,
    )


def messages_of(url: str, body: JsonObject) -> list[Message]:
    """The prompt as chat templates want it: one system message, always, and first; then the turns, ending with the user's.

    Developer messages are system messages. Raises ServiceError 400 for a prompt that is no such conversation.
    """
    key = _PROMPT_KEYS.get(url, "input")
    system: list[str] = []
    turns: list[Message] = []
    for message in prompt_of(url, body):
        role = _ROLES.get(message.role)
        if role is None:
            raise invalid_value(key, message.role, ", ".join(f"'{role}'" for role in _ROLES))
        if role == "system":
            system.append(message.text)
        else:
            turns.append(Message(role=role, text=message.text))
    if not turns or turns[-1].role != "user":
        raise _unsupported(key, "the local model answers a last message of role 'user'")
    text = "\n\n".join(part for part in system if part.strip())
    return [Message(role="system", text=text or DEFAULT_SYSTEM), *turns]


def chat_request(
    url: str, body: JsonObject, messages: Sequence[Message], schema: JsonObject | None
) -> JsonObject:
    """The engine's own chat request. Greedy unless the request says otherwise; no cache, so no trace of earlier requests."""
    limit = max_tokens_of(url, body)
    request: JsonObject = {
        "messages": [{"role": one.role, "content": one.text} for one in messages],
        "max_tokens": DEFAULT_OUTPUT_TOKENS if limit is None else limit,
        "temperature": _number(body, "temperature", 0.0),
        "top_p": _number(body, "top_p", 1.0),
        "seed": body["seed"] if type(body.get("seed")) is int else 0,
        "cache_prompt": False,
    }
    if body.get("stop"):
        request["stop"] = body["stop"]
    if schema is not None:
        request["grammar"] = compact_grammar(schema)
    return request


def _number(body: JsonObject, key: str, default: float) -> float:
    value = body.get(key)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return default


def schema_check_request(messages: Sequence[Message], schema: JsonObject) -> JsonObject:
    """A request that makes the engine read the schema and generate nothing: it refuses what it cannot follow."""
    return {
        "messages": [{"role": one.role, "content": one.text} for one in messages],
        "response_format": {"type": "json_schema", "json_schema": {"schema": schema}},
    }


def compact_grammar(schema: JsonObject) -> str:
    """A grammar (llguidance's notation) for JSON of this schema on one line.

    With free white space a small model falls into endless line feeds; one space after `:` and `,` is what it has read most.
    """
    style = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
    return "%llguidance {}\nstart: %json " + json.dumps({**schema, "x-guidance": style})


def check_is_json(text: str, *, is_whole: bool) -> None:
    """Raise ServiceError 400 where the engine ignored the grammar, as it does, silently, with a schema beyond its means."""
    if is_whole:
        try:
            json.loads(text)
        except ValueError:
            raise unusable_schema("its answer was not JSON") from None
    elif text[:1] not in _JSON_STARTS:
        raise unusable_schema("its answer was not JSON")


def unusable_schema(why: str) -> ServiceError:
    """The schema of this request is none that the local model can be held to."""
    return ServiceError(
        status=400,
        message=f"The local model cannot follow this schema: {why}.",
        code="invalid_json_schema",
    )


def embedding_request(body: JsonObject) -> JsonObject:
    """The engine's own embeddings request. Raises ServiceError 400 for token numbers: they are another model's."""
    inputs = [message.text for message in prompt_of(EMBEDDINGS, body)]
    asked = body["input"]
    if isinstance(asked, list) and not all(isinstance(one, str) for one in asked):
        raise _unsupported("input", "the local model has tokens of its own; give text")
    return {"input": inputs}


def refusal_of(url: str, refused: EngineRefused) -> ServiceError:
    """What the API would say where the engine said no."""
    if refused.kind == "exceed_context_size_error" or "too large to process" in refused.message:
        said = refused.message.removesuffix(", try increasing it").split(". increase")[0]
        return ServiceError(
            status=400,
            message=f"The local model's context is too small: {said}. Shorten the input.",
            code="context_length_exceeded",
            param=_PROMPT_KEYS.get(url, "input"),
        )
    if refused.status < 500:
        return ServiceError(status=400, message=f"The local model refused: {refused.message}.")
    return ServiceError(
        status=500,
        message=f"The local model met an error: {refused.message}.",
        code="local_model_error",
        type="server_error",
    )


def check_dimensions(body: JsonObject, count: int) -> None:
    """Raise ServiceError 400 where a request asks for another length than the model's `count`."""
    if body.get("dimensions") not in (None, count):
        raise _unsupported("dimensions", f"the local model's vectors have {count}")


def vectors_of(answer: Json) -> list[list[float]]:
    """The vectors of an engine's answer, in the order of the inputs."""
    ordered = sorted(answer["data"], key=lambda one: one["index"])
    return [one["embedding"] for one in ordered]
