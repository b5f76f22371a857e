"""The real model. Skipped, with the reason, where it is not installed; everything else about it is tested with a fake engine."""

import http.client
import json
import math
import os
import signal
from collections.abc import Callable, Iterator

import pytest
from llama_fakes import is_alive

from batchrun.endpoints.schemas import label_schema
from batchrun.errors import BackendError
from batchrun.model import JsonObject
from batchrun.service.bodies import CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES
from batchrun.service.refusals import ServiceError
from batchrun.service.responders.llama import LlamaResponder, find_model

try:
    find_model()
except BackendError as missing:
    pytestmark = [pytest.mark.model, pytest.mark.skip(reason=str(missing))]
else:
    pytestmark = [pytest.mark.model]

Ask = Callable[..., JsonObject]


@pytest.fixture(scope="module")
def responder() -> Iterator[LlamaResponder]:
    one = LlamaResponder()
    yield one
    one.close()


@pytest.fixture
def ask(responder: LlamaResponder) -> Ask:
    def respond(url: str, **body: object) -> JsonObject:
        reply = responder.respond(url, {"model": "gpt-5-mini", **body}, custom_id=None)
        assert reply.status_code == 200, reply.body
        return reply.body

    return respond


def _text(answer: JsonObject) -> str:
    text: str = answer["output"][0]["content"][0]["text"]
    return text


def _dot(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def _format(schema: JsonObject) -> JsonObject:
    return {"format": {"type": "json_schema", "name": "answer", "strict": True, "schema": schema}}


def test_with_the_system_message_put_in_the_model_knows_a_capital(ask: Ask) -> None:
    """With the one of its own template it answers in broken French."""
    answer = ask(RESPONSES, input="What is the capital of France?", max_output_tokens=20)
    assert "Paris" in _text(answer)
    assert (answer["status"], answer["model"]) == ("completed", "SmolLM2-135M-Instruct.Q4_1")
    assert answer["usage"]["input_tokens"] == 27
    assert 5 <= answer["usage"]["output_tokens"] < 20


def test_the_same_request_gets_the_same_answer_whatever_came_between(ask: Ask) -> None:
    asked = {"input": "Write one sentence about rain.", "max_output_tokens": 30}
    first = _text(ask(RESPONSES, **asked))
    ask(RESPONSES, input="Write one sentence about rain and snow.", max_output_tokens=10)
    assert _text(ask(RESPONSES, **asked)) == first


def test_a_limit_on_the_answer_is_kept(ask: Ask) -> None:
    messages = [{"role": "user", "content": "Tell me a long story about a horse."}]
    answer = ask(CHAT, messages=messages, max_completion_tokens=7)
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 7


def test_a_conversation_of_several_turns_is_answered(ask: Ask) -> None:
    turns = [
        {"role": "user", "content": "My favourite colour is green."},
        {"role": "assistant", "content": "Green is a nice colour."},
        {"role": "user", "content": "What is my favourite colour? Answer with one word."},
    ]
    assert "green" in _text(ask(RESPONSES, input=turns, max_output_tokens=20)).casefold()


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("I absolutely love it, the best thing I have bought this year.", "positive"),
        ("Wonderful service, friendly staff and delicious food!", "positive"),
        ("It broke after two days and nobody answered my calls.", "negative"),
        ("Terrible. A complete waste of money, I want a refund.", "negative"),
    ],
)
def test_clear_praise_and_clear_blame_are_told_apart(ask: Ask, text: str, label: str) -> None:
    answer = ask(
        RESPONSES,
        instructions="Classify the sentiment of the text as positive or negative.",
        input=f"{text}\n\nSentiment:",
        text=_format(label_schema(("positive", "negative"))),
    )
    assert json.loads(_text(answer)) == {"label": label}


def test_labels_that_share_a_first_token_are_told_apart(ask: Ask) -> None:
    labels = ("sports news", "sports equipment")
    found = [
        json.loads(_text(ask(RESPONSES, input=text, text=_format(label_schema(labels)))))["label"]
        for text in (
            "The home team won the final by two goals last night.",
            "A light racket with a soft grip, strings included.",
        )
    ]
    assert found == list(labels)


def test_answers_to_a_schema_parse_and_stand_on_one_line(ask: Ask) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string"}, "people": {"type": "integer"}},
        "required": ["city", "people"],
        "additionalProperties": False,
    }
    answer = ask(
        RESPONSES,
        instructions="Extract the booking.",
        input="A table for four in Lyon on Friday, please.",
        text=_format(schema),
        max_output_tokens=60,
    )
    extracted = json.loads(_text(answer))
    assert set(extracted) == {"city", "people"}
    assert (extracted["city"], type(extracted["people"])) == ("Lyon", int)
    assert "\n" not in _text(answer)


def test_a_function_is_called_with_arguments_of_its_schema_and_its_result_answered_in_text(
    ask: Ask,
) -> None:
    unit = {"$ref": "#/$defs/unit"}
    parameters = {
        "type": "object",
        "properties": {"city": {"type": "string"}, "unit": unit},
        "required": ["city", "unit"],
        "additionalProperties": False,
        "$defs": {"unit": {"enum": ["celsius", "fahrenheit"]}},
    }
    tools = [
        {"type": "function", "name": "get_weather", "parameters": parameters},
        {"type": "function", "name": "send_email"},
    ]
    said: list[JsonObject] = [{"role": "user", "content": "What is the weather in Boston?"}]
    first = ask(RESPONSES, input=said, tools=tools)
    (call,) = first["output"]
    assert (call["type"], call["name"]) == ("function_call", "get_weather")
    arguments = json.loads(call["arguments"])
    assert (arguments.keys(), arguments["city"]) == ({"city", "unit"}, "Boston")
    assert arguments["unit"] in ("celsius", "fahrenheit")
    given = {"type": "function_call_output", "call_id": call["call_id"], "output": "Rain."}
    then = ask(RESPONSES, input=[*said, call, given], tools=tools, max_output_tokens=12)
    assert "Boston" in _text(then)


def test_a_function_that_is_named_is_called_in_chat(ask: Ask) -> None:
    tools = [{"type": "function", "function": {"name": name}} for name in ("wait", "stop")]
    answer = ask(
        CHAT,
        messages=[{"role": "user", "content": "Go on."}],
        tools=tools,
        tool_choice={"type": "function", "function": {"name": "stop"}},
    )
    (call,) = answer["choices"][0]["message"]["tool_calls"]
    assert call["function"] == {"name": "stop", "arguments": "{}"}


def test_a_text_goes_on_at_the_old_endpoint(ask: Ask) -> None:
    asked = {"prompt": "One, two, three, four,", "max_tokens": 4}
    answer = ask(COMPLETIONS, **asked)
    assert answer["choices"][0]["text"].startswith(" five")
    assert answer["usage"]["completion_tokens"] == 4
    assert ask(COMPLETIONS, **asked)["choices"] == answer["choices"]


@pytest.mark.parametrize("schema", [{"type": "wat"}, {"type": "string", "pattern": "^(?<=a)b$"}])
def test_a_schema_beyond_the_engine_is_refused_not_ignored(ask: Ask, schema: JsonObject) -> None:
    with pytest.raises(ServiceError) as caught:
        ask(RESPONSES, input="Name a city.", text=_format(schema), max_output_tokens=10)
    assert (caught.value.status, caught.value.code) == (400, "invalid_json_schema")


@pytest.mark.parametrize("is_labelled", [False, True])
def test_a_prompt_longer_than_the_context_is_a_typed_refusal(ask: Ask, is_labelled: bool) -> None:
    more = {"text": _format(label_schema(("a", "b")))} if is_labelled else {}
    with pytest.raises(ServiceError, match="4096 tokens") as caught:
        ask(RESPONSES, input="word " * 5000, **more)
    assert (caught.value.status, caught.value.code) == (400, "context_length_exceeded")


def test_embeddings_are_unit_vectors_and_alike_for_like_texts(ask: Ask) -> None:
    texts = ["A cat sleeps.", "A kitten is asleep.", "Interest rates rose again."]
    answer = ask(EMBEDDINGS, input=texts)
    vectors = [one["embedding"] for one in answer["data"]]
    assert [len(vector) for vector in vectors] == [576] * 3
    assert [math.hypot(*vector) for vector in vectors] == pytest.approx([1.0] * 3, abs=1e-4)
    assert answer["usage"]["prompt_tokens"] > 9
    cat, kitten, rates = vectors
    assert _dot(cat, kitten) > _dot(cat, rates)
    (alone,) = ask(EMBEDDINGS, input=texts[0])["data"]
    assert alone["embedding"] == cat
    (short,) = ask(EMBEDDINGS, input=texts[0], dimensions=64)["data"]
    assert len(short["embedding"]) == 64
    assert math.hypot(*short["embedding"]) == pytest.approx(1.0)
    with pytest.raises(ServiceError) as caught:
        ask(EMBEDDINGS, input="word " * 3000)
    assert caught.value.code == "context_length_exceeded"


def test_a_killed_model_fails_one_request_and_is_started_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = {"model": "m", "input": "What is the capital of France?", "max_output_tokens": 9}
    get_response = http.client.HTTPConnection.getresponse
    responder = LlamaResponder()

    def killed_after_asking(connection: http.client.HTTPConnection) -> http.client.HTTPResponse:
        monkeypatch.undo()
        os.kill(responder.process_ids[0], signal.SIGKILL)
        return get_response(connection)

    try:
        responder.respond(RESPONSES, asked, custom_id=None)
        before = responder.process_ids
        monkeypatch.setattr(http.client.HTTPConnection, "getresponse", killed_after_asking)
        reply = responder.respond(RESPONSES, asked, custom_id=None)
        assert (reply.status_code, reply.body["error"]["code"]) == (500, "local_model_died")
        assert responder.respond(RESPONSES, asked, custom_id=None).status_code == 200
        (after,) = responder.process_ids
        assert [after] != before
    finally:
        responder.close()
    assert responder.process_ids == []
    assert not is_alive(after)
