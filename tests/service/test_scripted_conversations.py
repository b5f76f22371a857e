"""Scripts of conversations: calls of functions, answers to what they gave, and repairs, each by rules about the whole conversation."""

import json
from pathlib import Path
from typing import Any

import pytest

from batchrun.errors import UsageError
from batchrun.model import Json, JsonObject
from batchrun.service.bodies import CHAT, COMPLETIONS, RESPONSES, Message
from batchrun.service.conversation import answers_in
from batchrun.service.refusals import ServiceError
from batchrun.service.responders.script import Rule, ScriptedCall, read_rules
from batchrun.service.responders.scripted import ScriptedResponder
from batchrun.testing import ManualClock

PARAMETERS: JsonObject = {
    "type": "object",
    "properties": {"place": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
}
WEATHER: JsonObject = {"type": "function", "name": "weather", "parameters": PARAMETERS}
IN_CHAT: JsonObject = {
    "type": "function",
    "function": {"name": "weather", "parameters": PARAMETERS},
}
ASKED: JsonObject = {"role": "user", "content": "Weather in Boston?"}
BOSTON = ScriptedCall(name="weather", arguments={"place": "Boston"})
LOOP = [Rule(turn=1, calls=(BOSTON, BOSTON)), Rule(prompt="Rain", reply="Take an umbrella.")]


def respond(*rules: Rule, url: str = RESPONSES, **body: Any) -> JsonObject:
    responder = ScriptedResponder(rules, clock=ManualClock())
    reply = responder.respond(url, {"model": "m", **body}, custom_id="1-1-abc")
    assert reply.status_code == 200
    return reply.body


def text_of(body: JsonObject) -> str:
    text: str = body["output"][0]["content"][0]["text"]
    return text


def test_calls_come_in_the_shape_of_responses_and_their_results_get_the_next_rule() -> None:
    first = respond(*LOOP, input=[ASKED], tools=[WEATHER])
    assert [(item["type"], item["arguments"]) for item in first["output"]] == [
        ("function_call", '{"place":"Boston"}')
    ] * 2
    ids = [item["call_id"] for item in first["output"]]
    assert len(set(ids)) == 2
    given = [{"type": "function_call_output", "call_id": one, "output": "Rain."} for one in ids]
    then = respond(*LOOP, input=[ASKED, *first["output"], *given], tools=[WEATHER])
    assert text_of(then) == "Take an umbrella."


def test_calls_come_in_the_shape_of_chat_and_their_results_get_the_next_rule() -> None:
    choice = respond(*LOOP, url=CHAT, messages=[ASKED], tools=[IN_CHAT])["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    message = choice["message"]
    assert [call["function"]["name"] for call in message["tool_calls"]] == ["weather"] * 2
    given = [
        {"role": "tool", "tool_call_id": call["id"], "content": "Rain."}
        for call in message["tool_calls"]
    ]
    then = respond(*LOOP, url=CHAT, messages=[ASKED, message, *given], tools=[IN_CHAT])
    assert then["choices"][0]["message"]["content"] == "Take an umbrella."


def test_the_same_request_gets_calls_with_the_same_ids() -> None:
    one, other = (respond(*LOOP, input=[ASKED]) for _ in range(2))
    assert one == other


@pytest.mark.parametrize("arguments", ["{not json", {"a": "é"}, []])
def test_arguments_may_be_anything_that_a_model_might_write(arguments: Json) -> None:
    rule = Rule(calls=(ScriptedCall(name="nobody_has_this", arguments=arguments),))
    (item,) = respond(rule, input="x")["output"]
    if isinstance(arguments, str):
        assert item["arguments"] == arguments
    else:
        assert json.loads(item["arguments"]) == arguments


def test_a_repair_is_another_turn_and_so_another_rule() -> None:
    rules = [
        Rule(prompt="cannot be used.*turn 9", reply="never"),
        Rule(turn=1, reply="no json"),
        Rule(turn=2, prompt="cannot be used", json={"n": "x"}),
        Rule(turn=3, json={"n": 1}),
    ]
    said = [ASKED]
    answers = []
    for _ in range(3):
        answers.append(text_of(respond(*rules, input=said)))
        said += [
            {"role": "assistant", "content": answers[-1]},
            {"role": "user", "content": "This answer cannot be used: n is no integer."},
        ]
    assert answers == ["no json", '{"n":"x"}', '{"n":1}']


def test_what_a_model_says_in_one_go_is_one_answer() -> None:
    roles = ["system", "user", "assistant", "assistant", "tool", "tool", "assistant", "user"]
    assert answers_in([Message(role=role, text="") for role in roles]) == 2
    assert answers_in([]) == 0


@pytest.mark.parametrize(("url", "tool"), [(RESPONSES, WEATHER), (CHAT, IN_CHAT)])
def test_without_a_rule_a_function_is_called_where_one_must_be(url: str, tool: JsonObject) -> None:
    key = "messages" if url == CHAT else "input"
    asked = {key: [ASKED], "tools": [tool]}
    free, forced = (
        respond(url=url, **asked, tool_choice=choice) for choice in ("auto", "required")
    )
    if url == CHAT:
        assert free["choices"][0]["message"]["content"] == ASKED["content"]
        call = forced["choices"][0]["message"]["tool_calls"][0]["function"]
    else:
        assert text_of(free) == ASKED["content"]
        call = forced["output"][0]
    assert json.loads(call["arguments"]) == {"place": "example", "days": 1}


def test_a_rule_of_calls_is_for_conversations_only() -> None:
    rules = [Rule(calls=(BOSTON,)), Rule(reply="text")]
    found = respond(*rules, url=COMPLETIONS, prompt="Once")
    assert found["choices"][0]["text"] == "text"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format.schema"),
        ({"text": {"format": "json"}}, "text.format"),
        ({"input": [{"type": "function_call_output", "call_id": "c"}]}, "input[0].output"),
    ],
)
def test_tools_and_formats_of_a_wrong_shape_are_refused(body: JsonObject, param: str) -> None:
    with pytest.raises(ServiceError) as refused:
        respond(**{"input": "x", **body})
    assert (refused.value.status, refused.value.param) == (400, param)


@pytest.mark.parametrize(
    ("rule", "what"),
    [
        ({"turn": 0}, "rule 1: 'turn' must be at least 1"),
        ({"calls": [{"nam": "x"}]}, "unknown key 'nam' (did you mean 'name'?)"),
        ({"calls": [{}]}, "rule 1: 'name' is missing"),
        ({"calls": {}}, "'calls': it takes a list, not a table"),
        ({"calls": [], "reply": "x"}, "one answer, this one gives reply and calls"),
        ({"calls": [], "url": "/v1/videos"}, "'calls' exist on /v1/responses and /v1/chat"),
    ],
)
def test_a_wrong_rule_is_explained(tmp_path: Path, rule: JsonObject, what: str) -> None:
    path = tmp_path / "script.json"
    path.write_text(json.dumps({"rules": [rule]}))
    with pytest.raises(UsageError) as wrong:
        read_rules(path)
    assert what in str(wrong.value)
