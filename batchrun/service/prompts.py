"""What a request asks, whatever its endpoint calls it: the model, the prompt as messages, the schema, the cap. Pure.

Refusals are those of the API: ServiceError 400 where a parameter is missing or of a wrong type.
"""

from dataclasses import dataclass

from batchrun.model import Json, JsonObject
from batchrun.service.checks import one_of, required_text
from batchrun.service.refusals import ServiceError, missing, wrong_type

RESPONSES = "/v1/responses"
CHAT = "/v1/chat/completions"
EMBEDDINGS = "/v1/embeddings"
COMPLETIONS = "/v1/completions"
MODERATIONS = "/v1/moderations"
GENERATIONS = "/v1/images/generations"
EDITS = "/v1/images/edits"
VIDEOS = "/v1/videos"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a prompt; parts that are not text are left out of `text`."""

    role: str
    text: str


def model_of(body: JsonObject) -> str:
    """The model that a request names. Raises ServiceError 400 where there is none."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise missing("model")
    return model


def prompt_of(url: str, body: JsonObject) -> list[Message]:
    """The messages of a request, in order; `instructions` come first, as a system message.

    /v1/embeddings and /v1/moderations give one user message per input. Raises ServiceError 400 as the API would: no prompt, or one
    of a wrong type.
    """
    if url in (EMBEDDINGS, COMPLETIONS):
        texts = texts_of(body, "prompt" if url == COMPLETIONS else "input")
        return [Message(role="user", text=text) for text in texts]
    if url == MODERATIONS:
        return [Message(role="user", text=text) for text in _moderated(body)]
    if url in (GENERATIONS, EDITS, VIDEOS):
        return [Message(role="user", text=required_text(body, "prompt"))]
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


def _moderated(body: JsonObject) -> list[str]:
    """The inputs of a moderation, one text each; an array of parts is one input, whose images have no text."""
    asked = body.get("input")
    if isinstance(asked, list) and asked and all(isinstance(part, dict) for part in asked):
        for number, part in enumerate(asked):
            one_of(part, "type", ("text", "image_url"))
            if part.get(part["type"]) is None:
                raise missing(f"input[{number}].{part['type']}")
        return [_text(asked, "input")]
    return texts_of(body, "input")


def texts_of(body: JsonObject, key: str) -> list[str]:
    """The inputs of a request that takes one or more, one text each; an input of token numbers becomes the numbers, spaced.

    Raises ServiceError 400 for a missing, empty or wrongly typed `key`.
    """
    asked = body.get(key)
    if asked is None:
        raise missing(key)
    if isinstance(asked, str):
        asked = [asked]
    if not isinstance(asked, list):
        raise wrong_type(key, "a string or an array", asked)
    if asked and all(type(token) is int for token in asked):
        asked = [asked]
    inputs = []
    for number, one in enumerate(asked):
        if isinstance(one, list) and one and all(type(token) is int for token in one):
            inputs.append(" ".join(map(str, one)))
        elif isinstance(one, str):
            inputs.append(one)
        else:
            raise wrong_type(f"{key}[{number}]", "a string or an array of integers", one)
    if not inputs or "" in inputs:
        raise ServiceError(
            status=400, message=f"'{key}' cannot be an empty string or array.", param=key
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
