"""What a request asks, whatever its endpoint calls it: the model, the prompt as messages, the schema, the cap. Pure.

Refusals are those of the API: ServiceError 400 where a parameter is missing or of a wrong type.
"""

from batchrun.model import JsonObject
from batchrun.service.checks import one_of, required_text
from batchrun.service.conversation import Message, messages_in, text_of
from batchrun.service.refusals import ServiceError, invalid_value, missing, wrong_type

RESPONSES = "/v1/responses"
CHAT = "/v1/chat/completions"
EMBEDDINGS = "/v1/embeddings"
COMPLETIONS = "/v1/completions"
MODERATIONS = "/v1/moderations"
GENERATIONS = "/v1/images/generations"
EDITS = "/v1/images/edits"
VIDEOS = "/v1/videos"


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
        return messages_in(body, "messages")
    prompt: list[Message] = []
    instructions = body.get("instructions")
    if instructions is not None:
        if not isinstance(instructions, str):
            raise wrong_type("instructions", "a string", instructions)
        prompt.append(Message(role="system", text=instructions))
    asked = body.get("input")
    if isinstance(asked, str):
        return [*prompt, Message(role="user", text=asked)]
    return prompt + messages_in(body, "input")


def _moderated(body: JsonObject) -> list[str]:
    """The inputs of a moderation, one text each; an array of parts is one input, whose images have no text."""
    asked = body.get("input")
    if isinstance(asked, list) and asked and all(isinstance(part, dict) for part in asked):
        for number, part in enumerate(asked):
            one_of(part, "type", ("text", "image_url"))
            if part.get(part["type"]) is None:
                raise missing(f"input[{number}].{part['type']}")
        return [text_of(asked, "input")]
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
    """The JSON Schema that the answer must meet; `{"type": "object"}` for plain JSON mode, None for free text.

    Raises ServiceError 400 for a format that does not exist, and for one without its schema.
    """
    if url == RESPONSES:
        text = body.get("text")
        asked, param = (text.get("format") if isinstance(text, dict) else None), "text.format"
        holder, place = asked, param
    else:
        asked, param = body.get("response_format"), "response_format"
        holder = asked.get("json_schema") if isinstance(asked, dict) else None
        place = f"{param}.json_schema"
    if asked is None:
        return None
    if not isinstance(asked, dict):
        raise wrong_type(param, "an object", asked)
    match asked.get("type"):
        case "text":
            return None
        case "json_object":
            return {"type": "object"}
        case "json_schema":
            schema = holder.get("schema") if isinstance(holder, dict) else None
            if not isinstance(schema, dict):
                raise missing(f"{place}.schema")
            return schema
        case kind:
            raise invalid_value(f"{param}.type", kind, "'text', 'json_object', and 'json_schema'")


def max_tokens_of(url: str, body: JsonObject) -> int | None:
    """The limit on output tokens that a request sets; None where it sets none."""
    keys = ("max_output_tokens",) if url == RESPONSES else ("max_completion_tokens", "max_tokens")
    for key in keys:
        limit = body.get(key)
        if type(limit) is int and limit > 0:
            return limit
    return None
