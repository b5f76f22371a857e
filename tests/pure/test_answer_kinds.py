"""One test for each kind of answer: what a service sends, and the plain fields that come of it."""

from typing import get_args

import pytest
from openai.types.responses.response import IncompleteDetails
from openai.types.responses.response_error import ResponseError
from reading_lines import (
    CHAT,
    FAILED,
    SUCCEEDED,
    completion,
    extras,
    extras_of,
    line,
    message,
    output,
    read,
    response,
)

from batchrun.endpoints.answer import Finish
from batchrun.endpoints.responses_items import CALLS, CITATIONS, ITEMS
from batchrun.model import Json, JsonObject
from batchrun.planning.classify import BY_CODE

# Calls that the caller answers.


def test_function_calls_come_with_their_arguments_parsed_and_stand_in_the_output_alone() -> None:
    call = {"type": "function_call", "name": "f", "call_id": "c1", "arguments": '{"x": 1}'}
    custom = {"type": "custom_tool_call", "name": "g", "call_id": "c2", "input": "as it is"}
    reading = read(line(response(call, custom)))
    assert output(reading) == {
        "tool_calls": [
            {"name": "f", "arguments": {"x": 1}, "call_id": "c1"},
            {"name": "g", "arguments": "as it is", "call_id": "c2"},
        ]
    }
    assert (reading.finish, reading.extras) == (Finish.TOOL_CALLS, None)


@pytest.mark.parametrize(
    ("item", "group", "entry"),
    [
        (
            {
                "type": "computer_call",
                "id": "i",
                "call_id": "c",
                "status": "completed",
                "action": {"type": "click", "x": 1, "y": 2, "button": "left"},
                "pending_safety_checks": [{"id": "s", "code": "k", "message": "m"}],
            },
            "computer_calls",
            {
                "id": "i",
                "call_id": "c",
                "status": "completed",
                "action": {"type": "click", "x": 1, "y": 2, "button": "left"},
                "pending_safety_checks": [{"id": "s", "code": "k", "message": "m"}],
            },
        ),
        (
            {
                "type": "mcp_approval_request",
                "id": "i",
                "server_label": "s",
                "name": "n",
                "arguments": '{"a":[]}',
            },
            "mcp_calls",
            {
                "kind": "approval_request",
                "id": "i",
                "server": "s",
                "name": "n",
                "arguments": {"a": []},
            },
        ),
        (
            {"type": "shell_call", "id": "i", "call_id": "c", "action": {"commands": ["ls"]}},
            "code_calls",
            {"kind": "shell", "id": "i", "call_id": "c", "action": {"commands": ["ls"]}},
        ),
        (
            {"type": "local_shell_call", "call_id": "c", "action": {"command": ["ls"]}},
            "code_calls",
            {"kind": "local_shell", "call_id": "c", "action": {"command": ["ls"]}},
        ),
        (
            {
                "type": "apply_patch_call",
                "call_id": "c",
                "status": "completed",
                "operation": {"type": "delete_file", "path": "a"},
            },
            "code_calls",
            {
                "kind": "apply_patch",
                "call_id": "c",
                "status": "completed",
                "operation": {"type": "delete_file", "path": "a"},
            },
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_call_that_waits_for_the_caller_is_the_answer(
    item: JsonObject, group: str, entry: JsonObject
) -> None:
    reading = read(line(response(item)))
    assert (reading.outcome, reading.finish) == (SUCCEEDED, Finish.TOOL_CALLS)
    assert output(reading) == {group: [entry]}
    assert extras(reading) == {group: [entry]}
    spoken = read(line(response(message("Look."), item)))
    assert output(spoken) == {group: [entry], "text": "Look."}


def test_a_call_that_the_service_carried_out_is_no_answer_but_stands_beside_it() -> None:
    call = {"type": "shell_call", "call_id": "c", "action": {"commands": ["ls"]}}
    ran = {"type": "shell_call_output", "call_id": "c", "output": [{"stdout": "a\n"}]}
    reading = read(line(response(call, ran, message("One file."))))
    assert (output(reading), reading.finish) == ("One file.", Finish.STOP)
    assert [entry["kind"] for entry in extras(reading)["code_calls"]] == ["shell", "shell_output"]


@pytest.mark.parametrize("kind", ["shell", "local_shell"])
def test_a_call_waits_for_the_caller_beside_another_that_was_carried_out(kind: str) -> None:
    shared = "id" if kind == "local_shell" else "call_id"
    calls = [{"type": f"{kind}_call", "call_id": name} for name in ("done", "open")]
    ran = {"type": f"{kind}_call_output", shared: "done", "output": "a"}
    reading = read(line(response(*calls, ran)))
    assert output(reading) == {"code_calls": [{"kind": kind, "call_id": "open"}]}


# Reasoning, logprobs, choices.


def test_a_reasoning_summary_is_its_paragraphs() -> None:
    item = {
        "type": "reasoning",
        "summary": [
            {"type": "summary_text", "text": "First."},
            {"type": "summary_text", "text": "Then."},
        ],
    }
    assert extras_of(item, message("x")) == {"reasoning": "First.\n\nThen."}
    for name in ("reasoning_content", "reasoning"):
        reading = read(line(completion("x", **{name: "Hm."})), CHAT)
        assert extras(reading) == {"reasoning": "Hm."}


def test_the_reasoning_itself_stands_where_a_response_has_no_summary_of_it() -> None:
    parts = [{"type": "reasoning_text", "text": text} for text in ("Hm.", "Aha.")]
    item = {"type": "reasoning", "summary": [], "content": parts}
    assert extras_of(item, message("x")) == {"reasoning": "Hm.\n\nAha."}
    summed = {**item, "summary": [{"type": "summary_text", "text": "In short."}]}
    assert extras_of(summed, message("x")) == {"reasoning": "In short."}


def test_logprobs_are_kept_and_bytes_only_where_they_say_more_than_the_token() -> None:
    told = [
        {
            "token": "é",
            "logprob": -0.5,
            "bytes": [195, 169],
            "top_logprobs": [{"token": "\ufffd", "logprob": -1.0, "bytes": [195]}],
        }
    ]
    wanted = [
        {
            "token": "é",
            "logprob": -0.5,
            "top_logprobs": [{"token": "\ufffd", "logprob": -1.0, "bytes": [195]}],
        }
    ]
    spoken = message("é")
    spoken["content"][0]["logprobs"] = told
    assert extras_of(spoken) == {"logprobs": wanted}
    body = completion("é")
    body["choices"][0]["logprobs"] = {"content": told, "refusal": None}
    assert extras(read(line(body), CHAT)) == {"logprobs": wanted}


def test_several_choices_are_each_judged_and_the_first_is_the_answer() -> None:
    body = completion("yes")
    body["choices"] = [
        {"index": 1, "finish_reason": "stop", "message": {"content": "maybe"}},
        {"index": 0, "finish_reason": "stop", "message": {"content": '{"label":"yes"}'}},
        {"index": 2, "finish_reason": "length", "message": {"content": "n"}},
    ]
    reading = read(line(body), CHAT, labels=("yes", "no"))
    assert output(reading) == "yes"
    first, second, third = extras(reading)["choices"]
    assert first == {"output": "yes", "finish": "stop"}
    assert (second["output"], second["cause"], second["partial"]) == (
        None,
        "label_mismatch",
        "maybe",
    )
    assert (third["cause"], third["finish"], third["partial"]) == ("length", "length", "n")


# What nobody knows yet, and what is too much.


def test_items_and_parts_of_unknown_kinds_are_kept_as_they_came() -> None:
    items = [{"type": "hologram", "depth": {"cm": 3}}, {"no": "type"}, {"type": 7}]
    part = {"type": "output_smell", "smell": "rose"}
    spoken = {"type": "message", "content": [part, {"type": "output_text", "text": "x"}]}
    reading = read(line(response(*items, spoken)))
    assert output(reading) == "x"
    assert extras(reading) == {"other": [part, *items]}


def test_a_failed_answer_keeps_what_came_beside_it() -> None:
    body = response(
        {"type": "web_search_call", "id": "i", "status": "completed"},
        {"type": "message", "content": [{"type": "refusal", "refusal": "No."}]},
    )
    reading = read(line(body))
    assert (reading.outcome, reading.cause) == (FAILED, "refusal")
    assert extras(reading) == {"web_searches": [{"id": "i", "status": "completed"}]}


# Against the types of the official SDK.


def _kinds(union: Json) -> set[str]:
    """The values of `type` of all members of a union of models."""
    members = get_args(get_args(union)[0])
    return {kind for member in members for kind in get_args(member.model_fields["type"].annotation)}


def test_every_kind_of_item_and_citation_of_the_sdk_is_read_or_known_to_be_kept_raw() -> None:
    from openai.types.responses import ResponseOutputItem
    from openai.types.responses.response_output_text import Annotation

    raw = {
        *("function_call_output", "custom_tool_call_output", "computer_call_output"),
        *("program", "program_output", "tool_search_call", "tool_search_output"),
        *("additional_tools", "compaction", "mcp_approval_response"),
    }
    known = {"message", "reasoning", *CALLS, *ITEMS}
    assert _kinds(ResponseOutputItem) - known == raw
    assert known <= _kinds(ResponseOutputItem)
    assert _kinds(Annotation) == set(CITATIONS)


def test_every_error_and_reason_inside_a_200_has_its_cause() -> None:
    for code in get_args(ResponseError.model_fields["code"].annotation):
        reading = read(line(response(status="failed", error={"code": code, "message": "m"})))
        assert (reading.outcome, reading.cause) == BY_CODE[code]
    reasons = get_args(get_args(IncompleteDetails.model_fields["reason"].annotation)[0])
    causes = {}
    for reason in reasons:
        body = response(status="incomplete", incomplete_details={"reason": reason})
        causes[reason] = read(line(body)).cause
    assert causes == {
        "max_output_tokens": "length",
        "max_messages": "length",
        "content_filter": "content_filter",
        "steered": "unknown",  # by a person at a socket: no batch can be
    }
