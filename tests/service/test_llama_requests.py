"""What a request asks of the local model, and how its engine's refusals read in the API's words. No model."""

import json
from typing import Any

import pytest

from batchrun.model import JsonObject
from batchrun.service.bodies import CHAT, EMBEDDINGS, RESPONSES, Message
from batchrun.service.llama import requests
from batchrun.service.llama.engine import EngineRefused
from batchrun.service.refusals import ServiceError

USER = Message(role="user", text="hi")


def test_a_system_message_is_put_in_where_there_is_none() -> None:
    assert requests.messages_of(RESPONSES, {"input": "hi"}) == [
        Message(role="system", text=requests.DEFAULT_SYSTEM),
        USER,
    ]


def test_instructions_and_developer_messages_become_one_system_message() -> None:
    body = {
        "instructions": "one",
        "input": [
            {"role": "developer", "content": "two"},
            {"role": "user", "content": "hi"},
        ],
    }
    assert requests.messages_of(RESPONSES, body) == [
        Message(role="system", text="one\n\ntwo"),
        USER,
    ]


def test_turns_stay_in_order() -> None:
    said = [("user", "a"), ("assistant", "b"), ("user", "c")]
    body = {"messages": [{"role": role, "content": text} for role, text in said]}
    turns = requests.messages_of(CHAT, body)[1:]
    assert [(turn.role, turn.text) for turn in turns] == said


@pytest.mark.parametrize(
    ("url", "body", "param"),
    [
        (RESPONSES, {"input": "x", "tools": [{}]}, "tools"),
        (RESPONSES, {"input": "x", "previous_response_id": "resp_1"}, "previous_response_id"),
        (CHAT, {"messages": [], "n": 2}, "n"),
        (
            CHAT,
            {"messages": [{"content": [{"type": "image_url"}]}]},
            "messages[0].content",
        ),
        (RESPONSES, {"input": ["x", {"content": ["x"]}]}, "input[1].content"),
    ],
)
def test_what_the_model_cannot_do_is_refused_not_left_out(
    url: str, body: JsonObject, param: str
) -> None:
    with pytest.raises(ServiceError) as caught:
        requests.check_supported(url, body)
    assert (caught.value.status, caught.value.param) == (400, param)


def test_text_parts_are_supported() -> None:
    parts = [{"type": "input_text", "text": "a"}]
    requests.check_supported(RESPONSES, {"input": [{"role": "user", "content": parts}], "n": 1})
    requests.check_supported(RESPONSES, {"input": "a", "tools": []})


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "system", "content": "only this"}],
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
        [{"role": "tool", "content": "42"}],
    ],
)
def test_a_conversation_must_end_with_the_user(messages: list[JsonObject]) -> None:
    with pytest.raises(ServiceError) as caught:
        requests.messages_of(CHAT, {"messages": messages})
    assert (caught.value.status, caught.value.param) == (400, "messages")


def test_answers_are_greedy_and_end_unless_the_request_says_otherwise() -> None:
    plain = requests.chat_request(RESPONSES, {}, [USER], None)
    assert plain == {
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": requests.DEFAULT_OUTPUT_TOKENS,
        "temperature": 0.0,
        "top_p": 1.0,
        "seed": 0,
        "cache_prompt": False,
    }


def test_the_settings_of_a_request_are_honoured() -> None:
    body = {"max_tokens": 5, "temperature": 1, "top_p": 0.5, "seed": 7, "stop": ["x"]}
    asked = requests.chat_request(CHAT, body, [USER], {"type": "object"})
    assert {key: asked[key] for key in body} == {**body, "temperature": 1.0}
    assert "whitespace_flexible" in asked["grammar"]


@pytest.mark.parametrize("value", [None, True, "hot"])
def test_a_temperature_that_is_no_number_is_none(value: object) -> None:
    asked = requests.chat_request(CHAT, {"temperature": value}, [USER], None)
    assert asked["temperature"] == 0.0


def test_the_grammar_holds_the_schema_and_forbids_free_white_space() -> None:
    first, second = requests.compact_grammar({"type": "object"}).splitlines()
    assert first.startswith("%llguidance")
    schema = json.loads(second.removeprefix("start: %json "))
    assert schema["type"] == "object"
    assert schema["x-guidance"]["whitespace_flexible"] is False


def test_the_schema_check_carries_schema_and_messages() -> None:
    asked = requests.schema_check_request([USER], {"type": "string"})
    assert asked["response_format"]["json_schema"]["schema"] == {"type": "string"}
    assert asked["messages"] == [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize(("text", "is_whole"), [('{"a": 1}', True), ('{"a', False), ('"x', False)])
def test_json_is_accepted_whole_or_cut(text: str, is_whole: bool) -> None:
    requests.check_is_json(text, is_whole=is_whole)


@pytest.mark.parametrize(("text", "is_whole"), [("Lyon", True), ('{"a', True), ("Lyon", False)])
def test_prose_shows_that_the_engine_ignored_the_grammar(text: str, is_whole: bool) -> None:
    with pytest.raises(ServiceError) as caught:
        requests.check_is_json(text, is_whole=is_whole)
    assert caught.value.code == "invalid_json_schema"


@pytest.mark.parametrize(("asked", "sent"), [("a", ["a"]), (["a", "b"], ["a", "b"])])
def test_texts_to_embed_are_sent_as_a_list(asked: Any, sent: list[str]) -> None:
    assert requests.embedding_request({"input": asked}) == {"input": sent}


@pytest.mark.parametrize("asked", [[1, 2], [[1, 2]]])
def test_token_numbers_of_another_model_are_refused(asked: Any) -> None:
    with pytest.raises(ServiceError, match="give text"):
        requests.embedding_request({"input": asked})


def test_vectors_have_one_length() -> None:
    requests.check_dimensions({}, 576)
    requests.check_dimensions({"dimensions": 576}, 576)
    with pytest.raises(ServiceError, match="576"):
        requests.check_dimensions({"dimensions": 256}, 576)


def test_vectors_come_in_the_order_of_the_inputs() -> None:
    data = [{"index": 1, "embedding": [2.0]}, {"index": 0, "embedding": [1.0]}]
    assert requests.vectors_of({"data": data}) == [[1.0], [2.0]]


def _refused(status: int, kind: str, message: str) -> EngineRefused:
    return EngineRefused(status=status, kind=kind, message=message)


@pytest.mark.parametrize(
    ("refused", "status", "code"),
    [
        (_refused(400, "exceed_context_size_error", "a, try increasing it"), 400, "context"),
        (
            _refused(500, "server_error", "input (9 tokens) is too large to process. increase"),
            400,
            "context",
        ),
        (_refused(400, "invalid_request_error", "no"), 400, None),
        (_refused(503, "unavailable_error", "loading"), 500, "local_model_error"),
    ],
)
def test_refusals_of_the_engine_are_typed(
    refused: EngineRefused, status: int, code: str | None
) -> None:
    error = requests.refusal_of(RESPONSES, refused)
    expected = "context_length_exceeded" if code == "context" else code
    assert (error.status, error.code) == (status, expected)
    assert "increas" not in str(error)


def test_a_context_error_names_the_parameter_of_its_endpoint() -> None:
    refused = _refused(400, "exceed_context_size_error", "too long")
    assert requests.refusal_of(CHAT, refused).param == "messages"
    assert requests.refusal_of(EMBEDDINGS, refused).param == "input"
