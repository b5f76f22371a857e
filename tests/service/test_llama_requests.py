"""What a request asks of the local model, and how its engine's refusals read in the API's words. No model."""

from typing import Any

import pytest

from batchrun.model import JsonObject
from batchrun.service.bodies import CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES, Message
from batchrun.service.llama import requests
from batchrun.service.llama.calls import Rules, rules_of
from batchrun.service.llama.engine import EngineRefused
from batchrun.service.llama.supported import check_supported, check_tools, unanswered
from batchrun.service.refusals import ServiceError
from batchrun.service.tools import offer_of

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
    ("url", "body", "param", "code"),
    [
        (RESPONSES, {"previous_response_id": "resp_1"}, "previous_response_id", "parameter"),
        (RESPONSES, {"prompt": {"id": "pmpt_1"}}, "prompt", "parameter"),
        (RESPONSES, {"top_logprobs": 2}, "top_logprobs", "parameter"),
        (RESPONSES, {"include": ["message.output_text.logprobs"]}, "include", "value"),
        (RESPONSES, {"input": ["x", {"content": ["x"]}]}, "input[1].content", "value"),
        (RESPONSES, {"input": [{"type": "item_reference", "id": "x"}]}, "input[0]", "value"),
        (
            RESPONSES,
            {"input": [{"type": "function_call_output", "output": [{"type": "input_image"}]}]},
            "input[0].output",
            "value",
        ),
        (CHAT, {"n": 2}, "n", "value"),
        (CHAT, {"functions": [{}]}, "functions", "parameter"),
        (CHAT, {"logprobs": True}, "logprobs", "parameter"),
        (CHAT, {"modalities": ["text", "audio"]}, "modalities", "value"),
        (
            CHAT,
            {"messages": [{"content": [{"type": "image_url"}]}]},
            "messages[0].content",
            "value",
        ),
        (CHAT, {"messages": [{"content": [{"type": "file"}]}]}, "messages[0].content", "value"),
        (COMPLETIONS, {"suffix": "x"}, "suffix", "parameter"),
        (COMPLETIONS, {"best_of": 3}, "best_of", "value"),
    ],
)
def test_what_the_model_cannot_do_is_refused_not_left_out(
    url: str, body: JsonObject, param: str, code: str
) -> None:
    with pytest.raises(ServiceError) as caught:
        check_supported(url, body)
    refused = caught.value
    assert (refused.status, refused.param) == (400, param)
    assert (refused.type, refused.code) == ("invalid_request_error", f"unsupported_{code}")


@pytest.mark.parametrize(
    "kind", ["web_search", "file_search", "code_interpreter", "image_generation", "mcp", "custom"]
)
def test_tools_that_are_no_functions_are_refused(kind: str) -> None:
    with pytest.raises(ServiceError, match=kind) as caught:
        check_tools(offer_of(RESPONSES, {"tools": [{"type": kind}]}))
    assert (caught.value.status, caught.value.param) == (400, "tools")


def test_an_endpoint_of_other_models_is_a_refusal_of_the_model() -> None:
    refused = unanswered("/v1/videos")
    assert (refused.status, refused.param, refused.code) == (400, "model", "invalid_value")


def test_text_parts_are_supported() -> None:
    parts = [{"type": "input_text", "text": "a"}]
    check_supported(RESPONSES, {"input": [{"role": "user", "content": parts}], "n": 1})
    check_supported(RESPONSES, {"input": "a", "logprobs": False, "modalities": ["text"]})


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "system", "content": "only this"}],
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
        [{"role": "poet", "content": "42"}],
    ],
)
def test_a_conversation_must_end_with_the_user_or_a_tool(messages: list[JsonObject]) -> None:
    with pytest.raises(ServiceError) as caught:
        requests.messages_of(CHAT, {"messages": messages})
    assert (caught.value.status, caught.value.param) == (400, "messages")


def test_calls_and_what_they_gave_are_part_of_the_conversation_on_both_endpoints() -> None:
    items = [
        {"role": "user", "content": "Weather?"},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "function_call", "call_id": "c", "name": "weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "Rain."},
    ]
    call = {"id": "c", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    messages = [
        items[0],
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "Rain."},
    ]
    found = requests.messages_of(RESPONSES, {"input": items})
    assert found[2:] == [
        Message(
            role="assistant", text='<tool_call>{"name": "weather", "arguments": {}}</tool_call>'
        ),
        Message(role="tool", text="Rain."),
    ]
    assert requests.messages_of(CHAT, {"messages": messages}) == found


def test_the_functions_are_told_in_the_system_message() -> None:
    offer = offer_of(RESPONSES, {"tools": [{"type": "function", "name": "clock"}]})
    said = requests.messages_of(RESPONSES, {"input": "Time?"})
    rules = rules_of(offer, said, None, calls_if_it_may=False)
    asked = requests.chat_request(RESPONSES, {}, said, rules)
    system, user = asked["messages"]
    assert system["content"].startswith(requests.DEFAULT_SYSTEM)
    assert '"clock"' in system["content"]
    assert user == {"role": "user", "content": "Time?"}
    assert "call0" in asked["grammar"]


def test_answers_are_greedy_and_end_unless_the_request_says_otherwise() -> None:
    plain = requests.chat_request(RESPONSES, {}, [USER], Rules())
    assert plain == {
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": requests.DEFAULT_OUTPUT_TOKENS,
        "temperature": 0.0,
        "top_p": 1.0,
        "seed": 0,
        "cache_prompt": False,
    }


def test_the_settings_of_a_request_are_honoured() -> None:
    body = {
        "max_tokens": 5,
        "temperature": 1,
        "top_p": 0.5,
        "seed": 7,
        "stop": "x",
        "frequency_penalty": 0.5,
    }
    asked = requests.chat_request(CHAT, body, [USER], Rules(schema={"type": "object"}))
    assert {key: asked[key] for key in body} == {**body, "temperature": 1.0, "stop": ["x"]}
    assert "whitespace_flexible" in asked["grammar"]


@pytest.mark.parametrize("value", [None, True, "hot"])
def test_a_temperature_that_is_no_number_is_none(value: object) -> None:
    asked = requests.chat_request(CHAT, {"temperature": value}, [USER], Rules())
    assert asked["temperature"] == 0.0


def test_a_completion_takes_one_text_and_ends_after_16_tokens_like_the_apis() -> None:
    asked = requests.completion_request({"prompt": ["Once"], "seed": 3})
    assert (asked["prompt"], asked["n_predict"], asked["seed"]) == ("Once", 16, 3)
    assert requests.completion_request({"prompt": "Once", "max_tokens": 5})["n_predict"] == 5
    for prompt in (["a", "b"], [1, 2], [[1, 2]]):
        with pytest.raises(ServiceError, match="one text"):
            requests.completion_request({"prompt": prompt})


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


def test_vectors_come_in_the_order_of_the_inputs() -> None:
    data = [{"index": 1, "embedding": [2.0]}, {"index": 0, "embedding": [1.0]}]
    assert requests.vectors_of({"data": data}, {}) == [[1.0], [2.0]]


def test_vectors_are_cut_to_the_dimensions_that_are_asked_and_stay_of_length_1() -> None:
    answer = {"data": [{"index": 0, "embedding": [0.48, 0.64, 0.6]}]}
    assert requests.vectors_of(answer, {"dimensions": 3}) == [[0.48, 0.64, 0.6]]
    assert requests.vectors_of(answer, {"dimensions": 2}) == [pytest.approx([0.6, 0.8])]
    for wrong in (4, 0, "2", True):
        with pytest.raises(ServiceError, match="have 3"):
            requests.vectors_of(answer, {"dimensions": wrong})


def test_an_encoding_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ServiceError) as caught:
        requests.embedding_request({"input": "a", "encoding_format": "hex"})
    assert (caught.value.status, caught.value.param) == (400, "encoding_format")


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
