"""Between the API's words and the engine's: what a request asks of the local model, and how the engine's refusals read. Pure."""

import json
import math
from collections.abc import Sequence

from batchrun.model import Json, JsonObject
from batchrun.service.checks import one_of
from batchrun.service.conversation import ASSISTANT, TOOL, Message
from batchrun.service.llama.calls import Rules, grammar, shown, told
from batchrun.service.llama.engine import EngineRefused
from batchrun.service.llama.supported import PROMPT_KEYS, unsupported
from batchrun.service.prompts import COMPLETIONS, EMBEDDINGS, max_tokens_of, prompt_of
from batchrun.service.refusals import ServiceError, invalid_value

# Without any system message SmolLM2's template puts one of its own, with which the model answers in the wrong language.
DEFAULT_SYSTEM = "You are a helpful assistant."
DEFAULT_OUTPUT_TOKENS = (
    1024  # where a request sets no limit: a small model may go round in circles for ever
)

# Where a completion sets no limit. Source: the API's own default.
DEFAULT_COMPLETION_TOKENS = 16

_ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": TOOL,
}
_JSON_STARTS = '{["-0123456789tfn'


def messages_of(url: str, body: JsonObject) -> list[Message]:
    """The conversation: one system message, always, and first; then what was said, ending with the user or with what a function gave.

    Developer messages are system messages. Raises ServiceError 400 for a prompt that is no such conversation.
    """
    key = PROMPT_KEYS[url]
    system: list[str] = []
    said: list[Message] = []
    for message in prompt_of(url, body):
        role = _ROLES.get(message.role)
        if role is None:
            raise invalid_value(key, message.role, ", ".join(f"'{role}'" for role in _ROLES))
        if role == "system":
            system.append(message.text)
        elif message.text or role != ASSISTANT:  # a model's reasoning is not shown to it again
            said.append(Message(role=role, text=message.text))
    if not said or said[-1].role == ASSISTANT:
        raise unsupported(key, "the local model answers a last message of role 'user' or 'tool'")
    text = "\n\n".join(part for part in system if part.strip())
    return [Message(role="system", text=text or DEFAULT_SYSTEM), *said]


def chat_request(
    url: str, body: JsonObject, messages: Sequence[Message], rules: Rules
) -> JsonObject:
    """The engine's own chat request, with the functions told and the answer held to the rules."""
    limit = max_tokens_of(url, body)
    system, *said = messages
    if rules.functions:
        system = Message(role=system.role, text=f"{system.text}\n\n{told(rules.functions)}")
    request: JsonObject = {
        "messages": [{"role": one.role, "content": one.text} for one in shown([system, *said])],
        "max_tokens": DEFAULT_OUTPUT_TOKENS if limit is None else limit,
        **_sampling(body),
    }
    held_to = grammar(rules)
    return request if held_to is None else {**request, "grammar": held_to}


def completion_request(body: JsonObject) -> JsonObject:
    """The engine's own request for a text that goes on. Raises ServiceError 400 for several prompts, and for token numbers."""
    asked = body.get("prompt")
    if isinstance(asked, list) and (len(asked) > 1 or not isinstance(asked[0], str)):
        raise unsupported("prompt", "the local model takes one text")
    (message,) = prompt_of(COMPLETIONS, body)
    limit = max_tokens_of(COMPLETIONS, body)
    return {
        "prompt": message.text,
        "n_predict": DEFAULT_COMPLETION_TOKENS if limit is None else limit,
        **_sampling(body),
    }


def _sampling(body: JsonObject) -> JsonObject:
    """Greedy unless the request says otherwise; no cache, so no trace of earlier requests."""
    settings: JsonObject = {
        "temperature": _number(body, "temperature", 0.0),
        "top_p": _number(body, "top_p", 1.0),
        "seed": body["seed"] if type(body.get("seed")) is int else 0,
        "cache_prompt": False,
    }
    for key in ("presence_penalty", "frequency_penalty"):
        if penalty := _number(body, key, 0.0):
            settings[key] = penalty
    if stop := body.get("stop"):
        settings["stop"] = [stop] if isinstance(stop, str) else stop
    return settings


def _number(body: JsonObject, key: str, default: float) -> float:
    value = body.get(key)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return default


def schema_check_request(messages: Sequence[Message], schema: JsonObject) -> JsonObject:
    """A request that makes the engine read the schema and generate nothing: it refuses what it cannot follow."""
    return {
        "messages": [{"role": one.role, "content": one.text} for one in shown(messages)],
        "response_format": {"type": "json_schema", "json_schema": {"schema": schema}},
    }


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
        raise unsupported("input", "the local model has tokens of its own; give text")
    one_of({"encoding_format": "float", **body}, "encoding_format", ("float", "base64"))
    return {"input": inputs}


def refusal_of(url: str, refused: EngineRefused) -> ServiceError:
    """What the API would say where the engine said no."""
    if refused.kind == "exceed_context_size_error" or "too large to process" in refused.message:
        said = refused.message.removesuffix(", try increasing it").split(". increase")[0]
        return ServiceError(
            status=400,
            message=f"The local model's context is too small: {said}. Shorten the input.",
            code="context_length_exceeded",
            param=PROMPT_KEYS[url],
        )
    if refused.status < 500:
        return ServiceError(status=400, message=f"The local model refused: {refused.message}.")
    return ServiceError(
        status=500,
        message=f"The local model met an error: {refused.message}.",
        code="local_model_error",
        type="server_error",
    )


def vectors_of(answer: Json, body: JsonObject) -> list[list[float]]:
    """The vectors of an engine's answer in the order of the inputs, cut to the `dimensions` of the request and of length 1 again.

    Raises ServiceError 400 where a request asks for more dimensions than the model has.
    """
    ordered = sorted(answer["data"], key=lambda one: one["index"])
    vectors = [one["embedding"] for one in ordered]
    count, wanted = len(vectors[0]), body.get("dimensions")
    if wanted in (None, count):
        return vectors
    if type(wanted) is not int or not 1 <= wanted < count:
        raise unsupported("dimensions", f"the local model's vectors have {count}")
    return [_unit(vector[:wanted]) for vector in vectors]


def _unit(vector: Sequence[float]) -> list[float]:
    length = math.hypot(*vector)
    return [number / length for number in vector] if length else list(vector)
