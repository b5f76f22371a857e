"""Parts of messages, links and tools that a service surely refuses are refused before anything is sent; so does the service here."""

import pytest

from batchrun.endpoints import endpoint_of
from batchrun.model import Json, JsonObject
from batchrun.service.prompts import prompt_of
from batchrun.service.refusals import ServiceError

RESPONSES, CHAT = "/v1/responses", "/v1/chat/completions"
URL = "https://a.example/a.png"


def said(role: str, *parts: Json) -> list[JsonObject]:
    return [{"role": role, "content": list(parts)}]


@pytest.mark.parametrize(
    ("url", "body", "told"),
    [
        (RESPONSES, {"tools": [5]}, "'tools[0]' must be an object"),
        (RESPONSES, {"tools": [{}]}, "'tools[0]' has no 'type'."),
        (RESPONSES, {"tools": [{"type": "function"}]}, "'tools[0]' is a function without a 'name'"),
        (
            RESPONSES,
            {"tools": [{"type": "function", "function": {"name": "f"}}]},
            "They stand beside 'type' here, not in 'function'.",
        ),
        (CHAT, {"tools": [{"type": "function", "name": "f"}]}, "it stands in 'function' here."),
        (CHAT, {"tools": [7]}, "'tools[0]' must be an object"),
        (RESPONSES, {"text": {"format": "json"}}, "'text.format' must be object, not string."),
        (RESPONSES, {"reasoning": {"effort": 3}}, "'reasoning.effort' must be string or null"),
        (RESPONSES, {"input": [5]}, "'input[0]' must be an object"),
        (RESPONSES, {"input": said("user", {"type": "text", "text": "x"})}, "it is 'input_text'."),
        (RESPONSES, {"input": [{"type": "image_url"}]}, "Here it is 'input_image'."),
        (
            RESPONSES,
            {"input": said("user", {"type": "input_image", "image_url": {"url": URL}})},
            "must be a string: the URL itself.",
        ),
        (
            RESPONSES,
            {"input": said("user", {"type": "input_image", "image_url": "../pics/a.png"})},
            "'input[0].content[0].image_url' is no URL",
        ),
        (
            CHAT,
            {"messages": said("user", {"type": "input_image", "image_url": URL})},
            "'messages[0].content[0]' is a part of the type 'input_image'",
        ),
        (
            CHAT,
            {"messages": said("user", {"type": "image_url", "image_url": URL})},
            '{"url": "https://…"}',
        ),
        (
            CHAT,
            {"messages": said("user", {"type": "image_url", "image_url": {"url": "a.png"}})},
            "is no URL",
        ),
        (CHAT, {"messages": ["Hi"]}, "'messages[0]' must be an object"),
        (CHAT, {"max_tokens": 5, "max_completion_tokens": 6}, "both 'max_tokens' and"),
    ],
)
def test_what_a_service_surely_refuses_is_told(url: str, body: JsonObject, told: str) -> None:
    (found,) = endpoint_of(url).check_body(body)[0]
    assert told in found


@pytest.mark.parametrize(
    ("url", "body"),
    [
        (RESPONSES, {"tools": [{"type": "function", "name": "f"}, {"type": "brand_new"}]}),
        (RESPONSES, {"input": said("assistant", {"type": "output_text", "text": "x"})}),
        (RESPONSES, {"input": said("user", {"type": "input_image", "image_url": URL})}),
        (RESPONSES, {"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]}),
        (RESPONSES, {"input": said("user", {"type": "input_image", "file_id": "file-1"})}),
        (CHAT, {"tools": [{"type": "function", "function": {"name": "f"}}]}),
        (CHAT, {"messages": said("user", {"type": "text", "text": "x"})}),
        (CHAT, {"messages": said("user", {"type": "brand_new"})}),
        (
            CHAT,
            {"messages": said("user", {"type": "image_url", "image_url": {"url": "data:,x"}})},
        ),
    ],
)
def test_what_it_may_take_is_let_through(url: str, body: JsonObject) -> None:
    assert endpoint_of(url).check_body(body)[0] == ()


@pytest.mark.parametrize(
    ("url", "body", "param"),
    [
        (RESPONSES, {"input": said("user", {"type": "text"})}, "input[0].content[0].type"),
        (CHAT, {"messages": said("user", {"type": "input_text"})}, "messages[0].content[0].type"),
    ],
)
def test_the_service_refuses_the_parts_of_another_endpoint_as_openai_does(
    url: str, body: JsonObject, param: str
) -> None:
    with pytest.raises(ServiceError, match=r"Invalid value: .* Supported values are: ") as caught:
        prompt_of(url, body)
    assert (caught.value.status, caught.value.code, caught.value.param) == (
        400,
        "invalid_value",
        param,
    )


def test_a_tool_without_a_type_is_not_doubted_besides() -> None:
    assert endpoint_of(RESPONSES).check_body({"tools": [{}]})[1] == ()
