"""A finished answer cut into server-sent events, of the shapes that OpenAI documents for `"stream": true`. Pure.

The service answers at once, so nothing comes earlier this way; but whoever expects a stream gets one.
"""

import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import msgspec

from batchrun.model import JsonObject
from batchrun.service.prompts import CHAT, COMPLETIONS, RESPONSES

_WORD: Final = re.compile(r"\S*\s*")
_KINDS: Final = {"output_text": "text", "refusal": "refusal"}  # of parts: where their text stands


def is_streamed(url: str, body: JsonObject) -> bool:
    """Whether this request asks for a stream, on an endpoint that has any."""
    return body.get("stream") is True and url in _EVENTS


def without_stream(body: JsonObject) -> JsonObject:
    """The request for the whole answer."""
    return {key: value for key, value in body.items() if key not in {"stream", "stream_options"}}


def events_of(url: str, body: JsonObject, answer: JsonObject) -> Iterator[bytes]:
    """The events, as they stand on the wire, that tell the `answer` to the request `body`."""
    options = body.get("stream_options")
    wants_usage = isinstance(options, dict) and options.get("include_usage") is True
    return _EVENTS[url](answer, wants_usage)


def _response_events(answer: JsonObject, _wants_usage: bool) -> Iterator[bytes]:
    numbers = itertools.count()

    def event(kind: str, **more: object) -> bytes:
        data = {"type": kind, "sequence_number": next(numbers), **more}
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), msgspec.json.encode(data))

    begun = {
        **answer,
        "status": "in_progress",
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "output": [],
        "usage": None,
    }
    yield event("response.created", response=begun)
    yield event("response.in_progress", response=begun)
    for index, item in enumerate(answer["output"]):
        yield from _item_events(item, index, event)
    yield event(f"response.{answer['status']}", response=answer)


def _item_events(item: JsonObject, index: int, event: Callable[..., bytes]) -> Iterator[bytes]:
    is_call = item["type"] == "function_call"
    begun: JsonObject = {**item, "status": "in_progress"}
    begun["arguments" if is_call else "content"] = "" if is_call else []
    yield event("response.output_item.added", output_index=index, item=begun)
    where = {"item_id": item.get("id"), "output_index": index}
    if is_call:
        for piece in _pieces(item["arguments"]):
            yield event("response.function_call_arguments.delta", **where, delta=piece)
        yield event(
            "response.function_call_arguments.done",
            **where,
            name=item["name"],
            arguments=item["arguments"],
        )
    for number, part in enumerate(item.get("content") or ()):
        yield from _part_events(part, {**where, "content_index": number}, event)
    yield event("response.output_item.done", output_index=index, item=item)


def _part_events(
    part: JsonObject, where: JsonObject, event: Callable[..., bytes]
) -> Iterator[bytes]:
    kind = part["type"]
    key = _KINDS[kind]
    more: JsonObject = {"logprobs": []} if kind == "output_text" else {}
    yield event("response.content_part.added", **where, part={**part, key: ""})
    for piece in _pieces(part[key]):
        yield event(f"response.{kind}.delta", **where, delta=piece, **more)
    yield event(f"response.{kind}.done", **where, **{key: part[key]}, **more)
    yield event("response.content_part.done", **where, part=part)


def _chat_events(answer: JsonObject, wants_usage: bool) -> Iterator[bytes]:
    for choice in answer["choices"]:
        message = dict(choice["message"])
        texts = {
            key: message.pop(key) for key in ("content", "refusal") if message.get(key) is not None
        }
        calls = message.pop("tool_calls", None) or []
        begun = {**message, **dict.fromkeys(texts, "")}

        def chunk(
            delta: JsonObject, reason: str | None = None, choice: JsonObject = choice
        ) -> bytes:
            part = {**choice, "delta": delta, "finish_reason": reason}
            del part["message"]
            return _chunk(answer, "chat.completion.chunk", [part], wants_usage=wants_usage)

        yield chunk(begun)
        for key, text in texts.items():
            yield from (chunk({key: piece}) for piece in _pieces(text))
        for index, call in enumerate(calls):
            name = {**call["function"], "arguments": ""}
            yield chunk({"tool_calls": [{"index": index, **call, "function": name}]})
            for piece in _pieces(call["function"]["arguments"]):
                part = {"index": index, "function": {"arguments": piece}}
                yield chunk({"tool_calls": [part]})
        yield chunk({}, choice["finish_reason"])
    yield from _ending(answer, "chat.completion.chunk", wants_usage=wants_usage)


def _completion_events(answer: JsonObject, wants_usage: bool) -> Iterator[bytes]:
    for choice in answer["choices"]:
        for piece in _pieces(choice["text"]):
            part = {**choice, "text": piece, "finish_reason": None}
            yield _chunk(answer, "text_completion", [part], wants_usage=wants_usage)
        last = {**choice, "text": ""}
        yield _chunk(answer, "text_completion", [last], wants_usage=wants_usage)
    yield from _ending(answer, "text_completion", wants_usage=wants_usage)


def _ending(answer: JsonObject, kind: str, *, wants_usage: bool) -> Iterator[bytes]:
    if wants_usage:
        yield _chunk(answer, kind, [], usage=answer["usage"])
    yield b"data: [DONE]\n\n"


def _chunk(
    answer: JsonObject,
    kind: str,
    choices: list[JsonObject],
    *,
    wants_usage: bool = False,
    usage: JsonObject | None = None,
) -> bytes:
    data = {**answer, "object": kind, "choices": choices}
    del data["usage"]
    if wants_usage or usage is not None:
        data["usage"] = usage
    return b"data: %b\n\n" % msgspec.json.encode(data)


def _pieces(text: str) -> Iterator[str]:
    """A text word by word; all of it and nothing else."""
    return (found.group() for found in _WORD.finditer(text) if found.group())


_EVENTS: Final[Mapping[str, Callable[[JsonObject, bool], Iterator[bytes]]]] = {
    RESPONSES: _response_events,
    CHAT: _chat_events,
    COMPLETIONS: _completion_events,
}
