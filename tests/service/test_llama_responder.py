"""The responder: each endpoint's answers and refusals. With a fake engine inside the real process."""

import base64
import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from llama_fakes import install_fake

from batchrun.endpoints.schemas import label_schema
from batchrun.errors import BackendError
from batchrun.model import JsonObject
from batchrun.service.bodies import CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES
from batchrun.service.llama.requests import DEFAULT_SYSTEM
from batchrun.service.refusals import ServiceError
from batchrun.service.responders.llama import LlamaResponder

WEATHER = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object", "properties": {"echo": {"type": "string"}}},
}
CLOCK = {"type": "function", "name": "clock"}
TOPIC = label_schema(("sports", "sport cars", "politics"))

Ask = Callable[..., JsonObject]


@pytest.fixture
def responder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LlamaResponder]:
    one = LlamaResponder(install_fake(tmp_path, monkeypatch))
    yield one
    one.close()


@pytest.fixture
def ask(responder: LlamaResponder) -> Ask:
    def respond(url: str, **body: object) -> JsonObject:
        reply = responder.respond(url, {"model": "gpt-5-mini", **body}, custom_id="c-1")
        assert reply.status_code == 200
        return reply.body

    return respond


def _text(answer: JsonObject) -> str:
    text: str = answer["output"][0]["content"][0]["text"]
    return text


def _format(schema: JsonObject) -> JsonObject:
    return {"format": {"type": "json_schema", "name": "answer", "schema": schema}}


def test_an_answer_says_which_model_gave_it_and_what_it_took(ask: Ask) -> None:
    answer = ask(RESPONSES, input="hello there")
    assert (answer["status"], answer["model"]) == ("completed", "fake")
    assert _text(answer) == "hello there"
    assert answer["usage"]["input_tokens"] == 7
    assert answer["usage"]["output_tokens"] == 2


def test_chat_answers_in_its_own_shape(ask: Ask) -> None:
    answer = ask(CHAT, messages=[{"role": "user", "content": "hello there"}])
    choice = answer["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("hello there", "stop")
    assert answer["usage"]["total_tokens"] == 9


def test_a_cut_answer_says_so(ask: Ask) -> None:
    cut = ask(RESPONSES, input="one two three", max_output_tokens=2)
    assert (cut["status"], _text(cut)) == ("incomplete", "one two")
    chat = ask(CHAT, messages=[{"role": "user", "content": "one two three"}], max_tokens=1)
    assert chat["choices"][0]["finish_reason"] == "length"


def test_the_model_is_always_given_a_system_message(ask: Ask) -> None:
    sent = json.loads(_text(ask(RESPONSES, input="show messages")))
    assert sent[0] == {"role": "system", "content": DEFAULT_SYSTEM}


def test_a_schema_is_checked_once_and_its_answers_are_json(ask: Ask) -> None:
    schema = {"type": "object", "properties": {"echo": {"type": "string"}}}
    for _ in range(2):
        assert json.loads(_text(ask(RESPONSES, input="hi", text=_format(schema)))) == {"echo": "hi"}


def test_a_schema_that_the_engine_cannot_read_is_a_refusal(ask: Ask) -> None:
    with pytest.raises(ServiceError, match=r"unrecognized type wat\.$") as caught:
        ask(RESPONSES, input="hi", text=_format({"type": "wat"}))
    assert (caught.value.status, caught.value.code) == (400, "invalid_json_schema")


def test_a_schema_that_the_engine_ignores_is_a_refusal(ask: Ask) -> None:
    with pytest.raises(ServiceError, match="was not JSON"):
        ask(RESPONSES, input="prose", text=_format({"type": "object"}))


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("A game of sports and more sports", "sports"),
        ("Fast sport cars, old sport cars", "sport cars"),
        ("Of politics", "politics"),
    ],
)
def test_labels_are_told_apart_by_what_the_text_raises(ask: Ask, text: str, label: str) -> None:
    answer = ask(RESPONSES, input=text, text=_format(TOPIC))
    assert json.loads(_text(answer)) == {"label": label}
    assert answer["usage"]["input_tokens"] > 10
    assert answer["usage"]["output_tokens"] > 1


def test_the_prior_of_a_question_is_computed_once(
    responder: LlamaResponder, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(RESPONSES, input="Of politics", text=_format(TOPIC))
    engine = responder._writer
    posted: list[str] = []
    post = engine.post

    def counted(path: str, body: JsonObject) -> object:
        posted.append(path)
        return post(path, body)

    monkeypatch.setattr(engine, "post", counted)
    ask(RESPONSES, input="Of sports", text=_format(TOPIC))
    assert posted.count("/apply-template") == 1
    ask(RESPONSES, input="Of sports", instructions="Otherwise.", text=_format(TOPIC))
    assert posted.count("/apply-template") > 10


def _calls(answer: JsonObject) -> list[tuple[str, object]]:
    items = [item for item in answer["output"] if item["type"] == "function_call"]
    return [(item["name"], json.loads(item["arguments"])) for item in items]


def test_a_function_that_must_be_called_is_called_on_both_endpoints(ask: Ask) -> None:
    answer = ask(RESPONSES, input="hello", tools=[WEATHER, CLOCK], tool_choice="required")
    assert _calls(answer) == [("weather", {"echo": "hello"})]
    assert (answer["status"], len(answer["output"])) == ("completed", 1)
    tools = [{"type": "function", "function": {"name": "clock"}}]
    said = [{"role": "user", "content": "hello"}]
    chosen = {"type": "function", "function": {"name": "clock"}}
    choice = ask(CHAT, messages=said, tools=tools, tool_choice=chosen)["choices"][0]
    (call,) = choice["message"]["tool_calls"]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("tool_calls", None)
    assert call["function"]["name"] == "clock"


def test_a_model_of_the_users_own_decides_between_a_call_and_text(ask: Ask) -> None:
    assert _calls(ask(RESPONSES, input="please call", tools=[WEATHER])) != []
    assert _text(ask(RESPONSES, input="hello", tools=[WEATHER])) == "hello"
    asked = {"input": "hello", "tools": [WEATHER], "text": _format({"type": "object"})}
    assert json.loads(_text(ask(RESPONSES, **asked))) == {"echo": "hello"}


def test_the_small_model_calls_first_and_writes_once_something_was_given(
    responder: LlamaResponder, ask: Ask
) -> None:
    responder.model_path  # noqa: B018 - found, and kept
    responder._model_file = None
    said: list[JsonObject] = [{"role": "user", "content": "hello"}]
    first = ask(RESPONSES, input=said, tools=[WEATHER])
    assert _calls(first) == [("weather", {"echo": "hello"})]
    call_id = first["output"][0]["call_id"]
    given = {"type": "function_call_output", "call_id": call_id, "output": "Rain."}
    then = ask(RESPONSES, input=[*said, *first["output"], given], tools=[WEATHER])
    assert _text(then) == "<tool_response>Rain.</tool_response>"


def test_a_call_that_is_cut_has_the_arguments_so_far(ask: Ask) -> None:
    asked = {"input": "a b c d e f", "tools": [WEATHER], "tool_choice": "required"}
    cut = ask(RESPONSES, **asked, max_output_tokens=6)
    (item,) = cut["output"]
    assert (cut["status"], item["status"], item["type"]) == (
        "incomplete",
        "incomplete",
        "function_call",
    )
    assert item["arguments"] == '{"echo": "a b'
    assert _text(ask(RESPONSES, **asked, max_output_tokens=1)) == ""


def test_the_schema_of_a_function_that_the_engine_cannot_follow_is_a_refusal(ask: Ask) -> None:
    wrong = {**CLOCK, "parameters": {"type": "wat"}}
    with pytest.raises(ServiceError, match="unrecognized type wat") as caught:
        ask(RESPONSES, input="hi", tools=[WEATHER, wrong])
    assert (caught.value.code, caught.value.param) == (
        "invalid_function_parameters",
        "tools[1].parameters",
    )
    with pytest.raises(ServiceError, match="was no call"):
        ask(RESPONSES, input="prose", tools=[WEATHER], tool_choice="required")


def test_a_repaired_label_is_chosen_by_the_whole_conversation(ask: Ask) -> None:
    said = [
        {"role": "user", "content": "Of politics"},
        {"role": "assistant", "content": "poetry"},
        {"role": "user", "content": "That is none of the labels; politics, politics?"},
    ]
    assert json.loads(_text(ask(RESPONSES, input=said, text=_format(TOPIC)))) == {
        "label": "politics"
    }


def test_a_text_goes_on_at_the_old_endpoint(ask: Ask) -> None:
    answer = ask(COMPLETIONS, prompt="Once upon a time", max_tokens=2)
    (choice,) = answer["choices"]
    assert (choice["text"], choice["finish_reason"]) == ("Once upon", "length")
    assert ask(COMPLETIONS, prompt="Once")["choices"][0]["finish_reason"] == "stop"


def test_embeddings_come_as_asked(ask: Ask) -> None:
    floats = ask(EMBEDDINGS, input=["a", "b"])
    assert [one["embedding"] for one in floats["data"]] == [[0.6, 0.8]] * 2
    assert (floats["model"], floats["usage"]["prompt_tokens"]) == ("fake", 2)
    packed = ask(EMBEDDINGS, input="a", encoding_format="base64")["data"][0]["embedding"]
    assert struct.unpack("<2f", base64.b64decode(packed)) == pytest.approx((0.6, 0.8))


def test_embeddings_have_a_process_of_their_own(responder: LlamaResponder, ask: Ask) -> None:
    ask(RESPONSES, input="a")
    ask(EMBEDDINGS, input="a")
    assert len(set(responder.process_ids)) == 2


def test_another_endpoint_is_refused(ask: Ask) -> None:
    with pytest.raises(ServiceError, match="/v1/moderations") as caught:
        ask("/v1/moderations", input="a")
    assert (caught.value.status, caught.value.param) == (400, "model")


@pytest.mark.parametrize(
    ("text", "status", "code"),
    [("overlong", 400, "context_length_exceeded"), ("internal", 500, "local_model_error")],
)
def test_what_the_engine_refuses_is_typed(ask: Ask, text: str, status: int, code: str) -> None:
    with pytest.raises(ServiceError) as caught:
        ask(RESPONSES, input=text)
    assert (caught.value.status, caught.value.code) == (status, code)


def test_a_death_fails_one_request_and_the_next_is_answered(
    responder: LlamaResponder, ask: Ask
) -> None:
    ask(RESPONSES, input="hello")
    reply = responder.respond(RESPONSES, {"model": "m", "input": "boom"}, custom_id=None)
    assert (reply.status_code, reply.body["error"]["code"]) == (500, "local_model_died")
    assert "out of memory" in reply.body["error"]["message"]
    assert _text(ask(RESPONSES, input="hello")) == "hello"


def test_models_names_the_file(responder: LlamaResponder) -> None:
    assert responder.models() == ["fake"]


def test_a_closed_responder_answers_nothing(responder: LlamaResponder, ask: Ask) -> None:
    ask(RESPONSES, input="a")
    responder.close()
    responder.close()
    assert responder.process_ids == []
    with pytest.raises(BackendError, match="closed"):
        ask(RESPONSES, input="a")
    with pytest.raises(BackendError, match="closed"):
        ask(EMBEDDINGS, input="a")
