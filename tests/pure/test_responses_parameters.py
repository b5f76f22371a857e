"""Every parameter of /v1/responses passes from `body` into the request as it was written; what no batch can do is refused or doubted."""

import json

import pytest
from reading_lines import job

from batchrun.model import Json, JsonObject
from batchrun.requests import RequestBuilder

COMPARED: JsonObject = {"type": "eq", "key": "year", "value": 2024}
FILE_SEARCH: JsonObject = {"type": "file_search", "vector_store_ids": ["vs_1"]}
EMPTY: JsonObject = {
    "type": "object",
    "properties": {},
    "required": [],
    "additionalProperties": False,
}
FUNCTION: JsonObject = {"type": "function", "name": "f", "parameters": {"type": "object"}}


def built(body: JsonObject) -> tuple[JsonObject, tuple[str, ...], list[str]]:
    """(request body, problems, warnings) of a job line with this `body`."""
    builder = RequestBuilder(job(model="m", body=body))
    problems = builder.check()
    request = builder.build({"id": "a", "input": "x"})
    return json.loads(b"{" + request.tail)["body"], problems, builder.warnings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("include", ["file_search_call.results", "reasoning.encrypted_content"]),
        ("instructions", "Be brief."),
        ("max_output_tokens", 100),
        ("metadata", {"team": "a"}),
        ("parallel_tool_calls", False),
        *[("reasoning", {"effort": effort}) for effort in ("low", "medium", "high")],
        *[("reasoning", {"summary": kind}) for kind in ("auto", "concise", "detailed")],
        ("reasoning", {"generate_summary": "auto"}),
        ("service_tier", "auto"),
        ("service_tier", "default"),
        ("store", False),
        ("stream", False),
        ("temperature", 0),
        ("temperature", 1.5),
        ("top_p", 0.1),
        ("text", {"format": {"type": "text"}}),
        ("text", {"format": {"type": "json_object"}}),
        (
            "text",
            {"format": {"type": "json_schema", "name": "a", "schema": EMPTY, "strict": True}},
        ),
        *[("tool_choice", mode) for mode in ("none", "auto", "required")],
        *[
            ("tool_choice", {"type": kind})
            for kind in ("file_search", "web_search_preview", "computer_use_preview", "mcp")
        ],
        ("tool_choice", {"type": "function", "name": "f"}),
        ("tool_choice", {"type": "custom", "name": "f"}),
        ("tool_choice", {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "mcp"}]}),
        ("tools", [FUNCTION, {"type": "custom", "name": "g"}]),
        ("truncation", "auto"),
        ("truncation", "disabled"),
        ("user", "u-1"),
    ],
)
def test_a_parameter_goes_out_as_it_was_written(name: str, value: Json) -> None:
    request, problems, warnings = built({name: value})
    assert request == {"model": "m", "input": "x", name: value}
    assert problems == ()
    assert warnings == []


@pytest.mark.parametrize(
    "tools",
    [
        [{**FILE_SEARCH, "filters": COMPARED, "max_num_results": 50}],
        [{**FILE_SEARCH, "filters": {"type": "or", "filters": [COMPARED, COMPARED]}}],
        [{**FILE_SEARCH, "ranking_options": {"ranker": "auto", "score_threshold": 0.5}}],
        [
            {
                "type": "web_search_preview",
                "search_context_size": "low",
                "user_location": {"type": "approximate", "country": "US"},
            }
        ],
        [{"type": "web_search", "filters": {"allowed_domains": ["example.org"]}}],
        [{"type": "mcp", "server_label": "s", "server_url": "https://example.org"}],
        [{"type": "code_interpreter", "container": {"type": "auto"}}, {"type": "image_generation"}],
        [
            {
                "type": "computer_use_preview",
                "display_width": 1,
                "display_height": 1,
                "environment": "mac",
            }
        ],
    ],
)
def test_tools_beside_functions_go_out_with_one_warning(tools: list[JsonObject]) -> None:
    request, problems, warnings = built({"tools": tools})
    assert request["tools"] == tools
    assert problems == ()
    assert len(warnings) == 1


def test_an_earlier_response_goes_out_with_a_warning() -> None:
    request, problems, warnings = built({"previous_response_id": "resp_1"})
    assert request["previous_response_id"] == "resp_1"
    assert (problems, len(warnings)) == ((), 1)


@pytest.mark.parametrize("name", ["stream", "background"])
def test_what_no_batch_can_do_is_refused_with_the_reason(name: str) -> None:
    (problem,) = RequestBuilder(job(model="m", body={name: True})).check()
    assert problem.startswith(f"{name!r} cannot be true: a batch ")
