"""Server-sent events read in any pieces, and the parts of answers put together as if they had come whole."""

import json
from typing import Any

import pytest
from openai.types.chat import ChatCompletion
from openai.types.completion import Completion
from openai.types.responses import Response

from batchrun.backends.live.assembling import STREAMED, BrokenStream
from batchrun.backends.live.events import Event, EventReader
from batchrun.model import JsonObject
from batchrun.service import streams
from batchrun.service.bodies import Finish
from batchrun.service.responders.script import Rule, ScriptedCall
from batchrun.service.responders.scripted import ScriptedResponder
from batchrun.testing import ManualClock

RESPONSES, CHAT, COMPLETIONS = "/v1/responses", "/v1/chat/completions", "/v1/completions"
MODELS: dict[str, Any] = {RESPONSES: Response, CHAT: ChatCompletion, COMPLETIONS: Completion}
SAID: dict[str, JsonObject] = {
    RESPONSES: {"input": "x"},
    CHAT: {"messages": [{"role": "user", "content": "x"}]},
    COMPLETIONS: {"prompt": "x"},
}
TEXT = "Good  day\r\nto\u2028you, \U0001f600.\n"


def read(*pieces: bytes) -> list[Event]:
    reader = EventReader()
    events = [event for piece in pieces for event in reader.feed(piece)]
    last = reader.close()
    return events if last is None else [*events, last]


WIRE = (
    "\ufeff: hello\r\n\r\nevent: one\ndata: {\n data : no\ndata:}\n\nretry: 5\rid: 7\rdata\rdata:  \u2028x\r\r"
    "event: empty\n\ndata: last\r\n"
).encode()
EVENTS = [
    Event("one", b"{\n}"),
    Event("", b"\n \xe2\x80\xa8x"),
    Event("", b"last"),
]


def test_events_are_the_same_wherever_their_bytes_are_cut() -> None:
    assert read(WIRE) == EVENTS
    assert read(*(bytes([byte]) for byte in WIRE)) == EVENTS
    for at in range(len(WIRE)):
        assert read(WIRE[:at], WIRE[at:]) == EVENTS


def test_a_stream_without_events_has_none() -> None:
    assert read() == read(b"") == read(b": ping\n\n: ping\n\n") == []


CASES = [
    (url, more, rule)
    for url in SAID
    for more, rule in [
        ({}, Rule(reply=TEXT)),
        ({}, Rule(reply="")),
        ({"max_tokens": 2, "max_output_tokens": 2}, Rule(reply="one two three four")),
        ({}, Rule(reply="So", finish=Finish.CONTENT_FILTER)),
        *(
            [
                ({}, Rule(reply="No, I won't.", finish=Finish.REFUSAL)),
                (
                    {},
                    Rule(
                        calls=(
                            ScriptedCall(name="a", arguments={"x": "1 2"}),
                            ScriptedCall(name="b", arguments={}),
                        )
                    ),
                ),
            ]
            if url != COMPLETIONS
            else []
        ),
        *([({}, Rule(finish=Finish.FAILED, reply="It broke."))] if url == RESPONSES else []),
    ]
]


@pytest.mark.parametrize(("url", "more", "rule"), CASES)
def test_an_answer_in_parts_becomes_the_answer_that_comes_whole(
    url: str, more: JsonObject, rule: Rule, clock: ManualClock
) -> None:
    body = {"model": "m", **SAID[url], **more}
    whole = ScriptedResponder([rule], clock=clock).respond(url, body, custom_id=None).body
    parts = STREAMED[url](body)
    wire = b"".join(streams.events_of(url, {**body, **parts.options}, whole))
    shown = "".join(map(parts.take, read(*(wire[at : at + 37] for at in range(0, len(wire), 37)))))
    answer = parts.answer()
    assert json.loads(json.dumps(answer)) == whole
    MODELS[url].model_validate(answer, strict=False)
    texts = {RESPONSES: _response_text, CHAT: _chat_text, COMPLETIONS: _completion_text}
    assert shown == texts[url](whole)


def _response_text(whole: JsonObject) -> str:
    parts = [part for item in whole["output"] for part in item.get("content") or ()]
    return "".join(part.get("text") or part.get("refusal") or "" for part in parts)


def _chat_text(whole: JsonObject) -> str:
    message = whole["choices"][0]["message"]
    return (message["content"] or "") + (message["refusal"] or "")


def _completion_text(whole: JsonObject) -> str:
    return str(whole["choices"][0]["text"])


def chat(*chunks: JsonObject, **body: Any) -> JsonObject:
    """The answer that these chunks make."""
    parts = STREAMED[CHAT]({"model": "m", **body})
    for chunk in chunks:
        parts.take(Event("", json.dumps(chunk).encode()))
    parts.take(Event("", b"[DONE]"))
    return parts.answer()


def part(
    delta: JsonObject, reason: str | None = None, *, index: int = 0, **more: Any
) -> JsonObject:
    """A chunk with one choice."""
    choice = {"index": index, "delta": delta, "finish_reason": reason, **more}
    return {"id": "c", "object": "chat.completion.chunk", "choices": [choice]}


def test_choices_calls_and_probabilities_of_several_chunks_find_their_places() -> None:
    def call(index: int, arguments: str, **more: Any) -> JsonObject:
        return {"tool_calls": [{"index": index, "function": {"arguments": arguments}, **more}]}

    def odds(token: str) -> JsonObject:
        return {"content": [{"token": token, "logprob": -1.0, "bytes": None, "top_logprobs": []}]}

    answer = chat(
        part({"role": "assistant", "content": "a"}, index=1, logprobs=odds("a")),
        part(call(1, '{"x"', id="call_1", type="function")),
        part(call(0, "{", id="call_0", type="function")),
        part({"content": "b", "role": "assistant"}, index=1, logprobs=odds("b")),
        part(call(0, "}", id="", type="function")),
        part(call(1, ":1}")),
        part({"reasoning_content": "so "}),
        part({"reasoning_content": "be it"}, "tool_calls"),
        part({}, "stop", index=1),
        {"choices": [], "usage": {"prompt_tokens": 1}, "model": "m", "created": 5},
        n=2,
    )
    first, second = answer["choices"]
    calls = first["message"]["tool_calls"]
    assert [call["id"] for call in calls] == ["call_1", "call_0"]
    assert [call["function"]["arguments"] for call in calls] == ['{"x":1}', "{}"]
    assert first["message"]["content"] is None
    assert first["message"]["reasoning_content"] == "so be it"
    assert second["message"] == {"role": "assistant", "content": "ab", "refusal": None}
    assert [one["token"] for one in second["logprobs"]["content"]] == ["a", "b"]
    assert answer["usage"] == {"prompt_tokens": 1}
    assert answer["object"] == "chat.completion"


@pytest.mark.parametrize(
    ("chunks", "why"),
    [
        ([], "ended before"),
        ([part({"content": "hal"})], "ended before"),
        ([part({"content": "a"}, "stop")], "ended before"),  # and its second choice never came
        ([part({"content": "a"}), {"error": {"message": "overloaded"}}], "overloaded"),
        ([part({"content": "a"}), [1]], "no JSON object"),
    ],
)
def test_a_chat_completion_that_breaks_off_is_none(chunks: list[Any], why: str) -> None:
    with pytest.raises(BrokenStream, match=why):
        chat(*chunks, n=2)


@pytest.mark.parametrize("index", [None, [0], {"a": 1}, "0", 0.5, True])
def test_what_does_not_say_its_place_is_the_first_choice_or_a_call_by_itself(index: Any) -> None:
    call = {"index": index, "id": "call_0", "function": {"name": "f", "arguments": "{}"}}
    one, two = part({"tool_calls": [call, 7]}), part({"tool_calls": [call]}, "tool_calls")
    two["choices"][0]["index"] = index
    (choice,) = chat(one, two)["choices"]
    assert [one["id"] for one in choice["message"]["tool_calls"]] == ["call_0", "call_0"]


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (
            Event("response.created", b'{"type": "response.created", "response": {}}'),
            "ended before",
        ),
        (Event("error", b'{"type": "error", "code": "c", "message": "too much"}'), "too much"),
        (Event("", b'{"error": {"message": "too much"}}'), "too much"),
        (Event("response.completed", b'{"type": "response.completed"}'), "no response"),
        (Event("response.completed", b'{"type": "resp'), "no JSON"),
    ],
)
def test_a_response_that_breaks_off_is_none(event: Event, why: str) -> None:
    def follow() -> None:
        parts = STREAMED[RESPONSES]({})
        parts.take(event)
        parts.answer()

    with pytest.raises(BrokenStream, match=why):
        follow()
