"""What a request says of tools: which functions may be called, and whether one must be. And what is wrong with it, as the API says it."""

import pytest

from batchrun.model import Json, JsonObject
from batchrun.service.bodies import CHAT, RESPONSES
from batchrun.service.refusals import ServiceError
from batchrun.service.tools import NO_PARAMETERS, Choice, Offer, offer_of

PLACE: JsonObject = {"type": "object", "properties": {"place": {"type": "string"}}}
WEATHER: JsonObject = {"type": "function", "name": "weather", "parameters": PLACE}
CLOCK: JsonObject = {"type": "function", "name": "clock", "description": "Tells the time."}
SEARCH: JsonObject = {"type": "web_search"}


def in_chat(tool: JsonObject) -> JsonObject:
    inner = {name: value for name, value in tool.items() if name != "type"}
    return {"type": "function", "function": inner} if tool["type"] == "function" else tool


def offer(*tools: JsonObject, choice: Json = None, url: str = RESPONSES) -> Offer:
    given = [in_chat(tool) if url == CHAT else tool for tool in tools]
    return offer_of(url, {"tools": given, "tool_choice": choice})


def names(found: Offer) -> list[str]:
    return [function.name for function in found.functions]


@pytest.mark.parametrize("url", [RESPONSES, CHAT])
def test_functions_are_found_with_their_schemas_on_both_endpoints(url: str) -> None:
    found = offer(WEATHER, CLOCK, url=url)
    assert names(found) == ["weather", "clock"]
    assert [function.parameters for function in found.functions] == [PLACE, NO_PARAMETERS]
    assert [function.description for function in found.functions] == [None, "Tells the time."]
    assert found.choice is Choice.AUTO


@pytest.mark.parametrize("body", [{}, {"tools": []}, {"tools": None, "tool_choice": "auto"}])
def test_without_tools_nothing_may_be_called(body: JsonObject) -> None:
    assert offer_of(RESPONSES, body) == Offer()


def test_tools_of_other_kinds_are_told_by_their_types() -> None:
    found = offer(SEARCH, WEATHER)
    assert (names(found), found.others) == (["weather"], ("web_search",))
    assert offer(SEARCH, choice={"type": "web_search"}).choice is Choice.REQUIRED


def test_a_choice_says_which_and_whether() -> None:
    assert offer(WEATHER, CLOCK, choice="required").choice is Choice.REQUIRED
    assert offer(WEATHER, CLOCK, choice="none").functions == ()
    one = offer(WEATHER, CLOCK, choice={"type": "function", "name": "clock"})
    assert (names(one), one.choice) == (["clock"], Choice.REQUIRED)
    named = {"type": "function", "function": {"name": "clock"}}
    assert names(offer(WEATHER, CLOCK, choice=named, url=CHAT)) == ["clock"]


@pytest.mark.parametrize("mode", [Choice.AUTO, Choice.REQUIRED])
def test_a_choice_may_allow_some_of_the_tools(mode: Choice) -> None:
    allowed = {"mode": mode.value, "tools": [{"type": "function", "name": "clock"}]}
    found = offer(WEATHER, CLOCK, choice={"type": "allowed_tools", **allowed})
    assert (names(found), found.choice) == (["clock"], mode)
    inner = {**allowed, "tools": [{"type": "function", "function": {"name": "clock"}}]}
    chat = offer(WEATHER, CLOCK, choice={"type": "allowed_tools", "allowed_tools": inner}, url=CHAT)
    assert (names(chat), chat.choice) == (["clock"], mode)


@pytest.mark.parametrize(
    ("url", "body", "param"),
    [
        (RESPONSES, {"tools": {}}, "tools"),
        (RESPONSES, {"tools": ["weather"]}, "tools[0]"),
        (RESPONSES, {"tools": [WEATHER, {}]}, "tools[1].type"),
        (RESPONSES, {"tools": [{"type": "function"}]}, "tools[0].name"),
        (RESPONSES, {"tools": [{**WEATHER, "name": "the weather"}]}, "tools[0].name"),
        (RESPONSES, {"tools": [{**WEATHER, "parameters": "x"}]}, "tools[0].parameters"),
        (CHAT, {"tools": [WEATHER]}, "tools[0].function"),
        (CHAT, {"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        (RESPONSES, {"tool_choice": "required"}, "tool_choice"),
        (RESPONSES, {"tools": [WEATHER], "tool_choice": "weather"}, "tool_choice"),
        (RESPONSES, {"tools": [WEATHER], "tool_choice": 1}, "tool_choice"),
        (RESPONSES, {"tools": [WEATHER], "tool_choice": {"type": "web_search"}}, "tool_choice"),
        (
            RESPONSES,
            {"tools": [WEATHER], "tool_choice": {"type": "function", "name": "clock"}},
            "tool_choice",
        ),
        (
            CHAT,
            {"tools": [in_chat(WEATHER)], "tool_choice": {"type": "function", "name": "weather"}},
            "tool_choice",
        ),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(url: str, body: JsonObject, param: str) -> None:
    with pytest.raises(ServiceError) as refused:
        offer_of(url, body)
    assert (refused.value.status, refused.value.param) == (400, param)
