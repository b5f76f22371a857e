"""Answers that come in parts put together into the very object that the same request would have got at once. Pure.

Each endpoint that streams has a class here: `take` an event's data for the text that it shows, and ask for `answer` at the end. An answer
is whole when it says how it ended; what broke off before that is no answer at all.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Final, Protocol

import msgspec

from batchrun.backends.live.events import Event
from batchrun.model import JsonObject

_DONE: Final = b"[DONE]"
_NOT_OF_THE_ANSWER: Final = frozenset({"choices", "object", "obfuscation"})
# Texts that come whole, and in some servers again and again; all others come in parts.
_WHOLE: Final = frozenset({"id", "type", "role", "name", "finish_reason", "stop_reason"})


class BrokenStream(Exception):
    """It ended before its end, reports an error, or is no such stream; the message says which."""


class Assembler(Protocol):
    """Puts one answer together. `options` go into the request beside `"stream": true`."""

    options: JsonObject

    def take(self, event: Event) -> str:
        """The text that this event adds to what a person would read ("": none). Raises BrokenStream."""
        ...

    def answer(self) -> JsonObject:
        """The whole object. Raises BrokenStream where its end never came."""
        ...


class ResponseParts:
    """`/v1/responses`: the last event bears the whole object."""

    def __init__(self, _body: JsonObject) -> None:
        self.options: JsonObject = {}
        self._answer: JsonObject | None = None

    def take(self, event: Event) -> str:
        """As the protocol says."""
        data = _decoded(event)
        if data is None:
            return ""
        match data.get("type") or event.name:
            case "response.completed" | "response.incomplete" | "response.failed":
                answer = data.get("response")
                if not isinstance(answer, dict):
                    raise BrokenStream("its last event bears no response")
                self._answer = answer
            case "response.output_text.delta" | "response.refusal.delta":
                return _text(data.get("delta"))
            case "error":
                raise _told(data)
            case _ if isinstance(data.get("error"), dict):
                raise _told(data)
        return ""

    def answer(self) -> JsonObject:
        """As the protocol says."""
        if self._answer is None:
            raise _cut()
        return self._answer


class _Choices(ABC):
    """What the endpoints with `choices` have in common: chunks whose choices go on by their index."""

    def __init__(self, body: JsonObject) -> None:
        self.options: JsonObject = {"stream_options": {"include_usage": True}}
        n = body.get("n")
        self._wanted = n if isinstance(n, int) else 1
        self._top: JsonObject = {}
        self._choices: dict[int, JsonObject] = {}

    def take(self, event: Event) -> str:
        """As the protocol says: the text of the first choice."""
        chunk = _decoded(event)
        if chunk is None:
            return ""
        if event.name == "error" or chunk.get("error"):
            raise _told(chunk)
        for key, value in chunk.items():
            if key not in _NOT_OF_THE_ANSWER and (value is not None or key not in self._top):
                self._top[key] = value
        shown = ""
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if not isinstance(choice, dict):
                continue
            index = _index(choice) or 0
            _add(self._choices.setdefault(index, {}), choice)
            shown += self._shown(choice) if index == 0 else ""
        return shown

    def answer(self) -> JsonObject:
        """As the protocol says."""
        choices = [choice for _, choice in sorted(self._choices.items())]
        if len(choices) < self._wanted or not all(c.get("finish_reason") for c in choices):
            raise _cut()
        return {
            "object": self._object,
            **self._top,
            "choices": [self._choice(choice) for choice in choices],
        }

    _object = ""

    @abstractmethod
    def _shown(self, choice: JsonObject) -> str:
        """What of a chunk's choice is text to show."""

    @abstractmethod
    def _choice(self, choice: JsonObject) -> JsonObject:
        """A choice of the answer, of the parts put together."""


class ChatParts(_Choices):
    """`/v1/chat/completions`."""

    _object = "chat.completion"

    def _shown(self, choice: JsonObject) -> str:
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            return ""
        return _text(delta.get("content")) + _text(delta.get("refusal"))

    def _choice(self, choice: JsonObject) -> JsonObject:
        given = choice.get("delta")
        message = {"role": "assistant", "content": None, "refusal": None}
        message |= given if isinstance(given, dict) else {}
        calls = message.get("tool_calls")
        if isinstance(calls, list):
            message["tool_calls"] = [
                _without(call, "index") for call in calls if isinstance(call, dict)
            ]
            message["content"] = message["content"] or None
        return {"logprobs": None, **_without(choice, "delta"), "message": message}


class CompletionParts(_Choices):
    """`/v1/completions`."""

    _object = "text_completion"

    def _shown(self, choice: JsonObject) -> str:
        return _text(choice.get("text"))

    def _choice(self, choice: JsonObject) -> JsonObject:
        return {"text": "", "logprobs": None, **choice}


STREAMED: Final[Mapping[str, type[ResponseParts | ChatParts | CompletionParts]]] = {
    "/v1/responses": ResponseParts,
    "/v1/chat/completions": ChatParts,
    "/v1/completions": CompletionParts,
}


def _add(into: JsonObject, part: JsonObject) -> None:
    """Let an object go on with its next part: texts and lists grow, objects do so key by key."""
    for key, value in part.items():
        old = into.get(key)
        if value is None:
            into.setdefault(key, None)
        elif isinstance(old, str) and isinstance(value, str):
            into[key] = (value or old) if key in _WHOLE else old + value
        elif isinstance(old, dict) and isinstance(value, dict):
            _add(old, value)
        elif isinstance(value, list):
            into[key] = _grown(old if isinstance(old, list) else [], value)
        elif isinstance(value, dict):
            into[key] = {}
            _add(into[key], value)
        else:
            into[key] = value


def _grown(old: list[Any], more: list[Any]) -> list[Any]:
    """A list with more of it; entries that bear an index go on where that one was."""
    by_index = {_index(entry): entry for entry in old}
    for entry in more:
        index = _index(entry)
        if index is None:
            old.append(entry)
        elif index in by_index:
            _add(by_index[index], entry)
        else:
            old.append(by_index.setdefault(index, {}))
            _add(old[-1], entry)
    return old


def _index(entry: object) -> int | None:
    """Which of several something is part of; None where it does not say."""
    index = entry.get("index") if isinstance(entry, dict) else None
    return index if type(index) is int else None


def _decoded(event: Event) -> JsonObject | None:
    """The object of an event; None for the mark at the end."""
    if event.data.strip() == _DONE:
        return None
    try:
        data = msgspec.json.decode(event.data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BrokenStream("it has an event that is no JSON") from None
    if not isinstance(data, dict):
        raise BrokenStream("it has an event that is no JSON object")
    return data


def _told(data: JsonObject) -> BrokenStream:
    """The error that the server reports in the middle of its answer."""
    inner = data.get("error")
    said = inner if isinstance(inner, dict) else data
    message = said.get("message") or said.get("code") or inner
    return BrokenStream(f"the server reports an error in it: {message}")


def _cut() -> BrokenStream:
    return BrokenStream("it ended before the answer did")


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _without(entry: JsonObject, key: str) -> JsonObject:
    return {name: value for name, value in entry.items() if name != key}
