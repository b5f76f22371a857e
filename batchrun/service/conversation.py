"""A conversation as messages, whatever its endpoint calls its parts: calls of functions and what came of them are messages too. Pure.

So it can be searched by the rules of a script, and shown to a model, as a whole.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from batchrun.model import Json, JsonObject
from batchrun.service.refusals import ServiceError, invalid_value, missing, wrong_type

ASSISTANT: Final = "assistant"
TOOL: Final = "tool"
CALL_ITEMS: Final = ("function_call", "custom_tool_call")
OUTPUT_ITEMS: Final = ("function_call_output", "custom_tool_call_output")

# What each endpoint refuses of the other's parts, and what it says that it has.
_FOREIGN_PARTS: Final = (
    ("input_text", "input_image", "input_file"),
    "'text', 'image_url', 'input_audio', 'refusal', 'audio', and 'file'",
)
_FOREIGN_ITEMS: Final = (
    ("text", "image_url", "file"),
    "'input_text', 'input_image', 'output_text', 'refusal', 'input_file', 'computer_screenshot', and 'summary_text'",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a prompt; parts that are not text are left out of `text`.

    `role` is the request's own word; `assistant` for a call (its text is `Call.text`), and `tool` for what came of one.
    """

    role: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call of a function. `arguments` is JSON, as text; the rest of it may be missing in an answer that was cut."""

    name: str
    arguments: str

    @property
    def text(self) -> str:
        """The call as it stands in a conversation."""
        name = msgspec.json.encode(self.name).decode()
        return f'<tool_call>{{"name": {name}, "arguments": {self.arguments}}}</tool_call>'


def messages_in(body: JsonObject, key: str) -> list[Message]:
    """The messages of the array `key`. Raises ServiceError 400 where it is none, or holds what is no message."""
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
    found: list[Message] = []
    for number, message in enumerate(messages):
        if not isinstance(message, dict):
            raise wrong_type(f"{key}[{number}]", "an object", message)
        _refuse_parts(message.get("content"), key, f"{key}[{number}].content")
        found += _said(message, f"{key}[{number}]")
    return found


def _refuse_parts(content: Json, key: str, param: str) -> None:
    """The parts of the other endpoint's messages, as the API refuses them."""
    foreign, supported = _FOREIGN_PARTS if key == "messages" else _FOREIGN_ITEMS
    for number, part in enumerate(content if isinstance(content, list) else ()):
        kind = part.get("type") if isinstance(part, dict) else None
        if isinstance(kind, str) and kind in foreign:
            raise invalid_value(f"{param}[{number}].type", kind, supported)


def _said(message: JsonObject, param: str) -> Iterator[Message]:
    """A message with the calls in it (chat), or an item that is a call or what came of one (/v1/responses)."""
    kind = message.get("type", "message")
    if kind in CALL_ITEMS:
        yield Message(role=ASSISTANT, text=_call_of(message).text)
    elif kind in OUTPUT_ITEMS:
        output = message.get("output")
        if output is None:
            raise missing(f"{param}.output")
        yield Message(role=TOOL, text=text_of(output, f"{param}.output"))
    elif kind == "reasoning":
        yield Message(role=ASSISTANT, text="")
    else:
        role = str(message.get("role", "user"))
        text = text_of(message.get("content"), f"{param}.content")
        calls = message.get("tool_calls")
        if text or not calls:
            yield Message(role=role, text=text)
        for call in calls if isinstance(calls, list) else ():
            if isinstance(call, dict):
                inner = call.get(str(call.get("type", "function")))
                yield Message(role=role, text=_call_of(inner).text)


def _call_of(found: Json) -> Call:
    call = found if isinstance(found, dict) else {}
    arguments = call.get("arguments")
    if arguments is None:  # a custom tool is called with plain text
        arguments = msgspec.json.encode(call.get("input")).decode()
    return Call(name=str(call.get("name", "")), arguments=str(arguments))


def text_of(content: Json, param: str) -> str:
    """The text of a message's content: a string, or parts, of which those that are not text are left out."""
    match content:
        case None:  # items without content of their own
            return ""
        case str():
            return content
        case list():
            parts = (part.get("text") for part in content if isinstance(part, dict))
            return "\n".join(part for part in parts if isinstance(part, str))
        case _:
            raise wrong_type(param, "a string or an array of parts", content)


def answers_in(prompt: Sequence[Message]) -> int:
    """How many answers of the model stand in a conversation; what it said in one go, calls included, is one answer."""
    said = [message.role == ASSISTANT for message in prompt]
    return sum(now and not before for before, now in zip([False, *said], said, strict=False))
