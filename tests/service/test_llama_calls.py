"""What the local model is told of functions, what its answer is held to, and how a call is read from it. No model."""

import json

import pytest

from batchrun.model import JsonObject
from batchrun.service.bodies import RESPONSES, Message
from batchrun.service.llama.calls import Rules, call_in, grammar, rules_of, shown, told
from batchrun.service.tools import Offer, offer_of

PLACE: JsonObject = {"type": "object", "properties": {"place": {"type": "string"}}}
WEATHER: JsonObject = {
    "type": "function",
    "name": "weather",
    "description": "Wie ist’s?",
    "parameters": PLACE,
}
CLOCK: JsonObject = {"type": "function", "name": "clock"}
USER = Message(role="user", text="Weather in Boston?")
CALLED = Message(role="assistant", text="<tool_call>…</tool_call>")
GIVEN = Message(role="tool", text="Rain.")
DAY = '<tool_call>{"name": "weather", "arguments": {"place": "Boston"}}</tool_call>'


def offer(choice: object = "auto") -> Offer:
    return offer_of(RESPONSES, {"tools": [WEATHER, CLOCK], "tool_choice": choice})


def rules(choice: object = "auto", *messages: Message, **settings: bool) -> Rules:
    settings = {"calls_if_it_may": False, **settings}
    return rules_of(offer(choice), messages or (USER,), None, **settings)


def test_a_model_that_can_decide_may_call_or_write() -> None:
    for said in ([USER], [USER, CALLED, GIVEN]):
        found = rules("auto", *said)
        assert (len(found.functions), found.must_call) == (2, False)


def test_a_small_model_calls_first_and_answers_in_text_once_something_is_given() -> None:
    first = rules(calls_if_it_may=True)
    assert (len(first.functions), first.must_call) == (2, True)
    then = rules("auto", USER, CALLED, GIVEN, calls_if_it_may=True)
    assert then == Rules()
    again = rules("auto", USER, CALLED, GIVEN, CALLED, USER, calls_if_it_may=True)
    assert again.must_call


@pytest.mark.parametrize("is_small", [False, True])
def test_what_a_request_demands_is_demanded_of_every_model(is_small: bool) -> None:
    said = [USER, CALLED, GIVEN]
    assert rules("required", *said, calls_if_it_may=is_small).must_call
    assert rules("none", *said, calls_if_it_may=is_small) == Rules()


def test_the_functions_are_told_one_a_line() -> None:
    first, second = told(offer().functions).splitlines()[1:3]
    assert json.loads(first) == {
        "name": "weather",
        "description": "Wie ist’s?",
        "parameters": PLACE,
    }
    assert json.loads(second).keys() == {"name", "parameters"}
    assert "’" in first


def test_free_text_needs_no_grammar() -> None:
    assert grammar(Rules()) is None


def test_each_function_has_a_rule_with_its_name_and_schema() -> None:
    lines = (grammar(rules("required")) or "").splitlines()
    assert lines[1] == "start: call0 | call1"
    assert r"\"name\": \"weather\"" in lines[2]
    schema = json.loads(lines[3].removeprefix("arguments0: %json "))
    assert schema.pop("x-guidance")["whitespace_flexible"] is False
    assert schema == PLACE


def test_text_that_is_no_call_is_free_or_json() -> None:
    free = (grammar(rules()) or "").splitlines()
    assert free[1] == "start: call0 | call1 | text"
    assert free[-2:] == ["text: FREE", "FREE: /[^<](?s:.*)/"]
    held = rules_of(offer(), [USER], PLACE, calls_if_it_may=False)
    assert (grammar(held) or "").splitlines()[-1].startswith("text: %json ")
    assert held.schemas == {
        None: PLACE,
        "tools[0].parameters": PLACE,
        "tools[1].parameters": offer().functions[1].parameters,
    }


def test_a_call_is_read_whole() -> None:
    call = call_in(DAY, is_whole=True)
    assert call is not None
    assert (call.name, call.arguments) == ("weather", '{"place": "Boston"}')
    assert call.text == DAY


@pytest.mark.parametrize("length", range(len(DAY)))
def test_a_call_that_was_cut_has_what_there_is_of_its_arguments(length: int) -> None:
    call = call_in(DAY[:length], is_whole=False)
    if length < DAY.index("{", 15):
        assert call is None
    else:
        assert call is not None
        assert '{"place": "Boston"}'.startswith(call.arguments)
    assert call_in(DAY[:-20], is_whole=True) is None


def test_prose_is_no_call() -> None:
    assert call_in("It rains.", is_whole=True) is None


def test_what_a_function_gave_is_shown_as_the_users_and_nobody_speaks_twice() -> None:
    said = [USER, CALLED, Message(role="assistant", text="Wait."), GIVEN, GIVEN]
    assert shown(said) == [
        USER,
        Message(role="assistant", text=f"{CALLED.text}\nWait."),
        Message(
            role="user",
            text="<tool_response>Rain.</tool_response>\n<tool_response>Rain.</tool_response>",
        ),
    ]
