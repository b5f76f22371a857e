"""What the service's own tools did for an answer: searches, calls of servers, code, images."""

import pytest
from reading_lines import (
    FAILED,
    PACKED,
    PICTURE,
    extras,
    extras_of,
    line,
    message,
    output,
    read,
    response,
)

from batchrun.endpoints.answer import Finish
from batchrun.model import Json, JsonObject


def test_a_file_search_has_its_queries_and_results() -> None:
    result = {"file_id": "f", "filename": "a.pdf", "score": 0.5, "text": "…", "attributes": {}}
    item = {
        "type": "file_search_call",
        "id": "i",
        "status": "completed",
        "queries": ["a", "b"],
        "results": [result],
    }
    plain = {"id": "i", "status": "completed", "queries": ["a", "b"]}
    assert extras_of(item, message("x")) == {"file_searches": [{**plain, "results": [result]}]}
    assert extras_of({**item, "results": None}, message("x")) == {"file_searches": [plain]}


@pytest.mark.parametrize(
    ("action", "told"),
    [
        (None, {}),
        (
            {"type": "search", "query": "q", "queries": ["q"], "sources": [{"url": "u"}]},
            {"action": "search", "query": "q", "queries": ["q"], "sources": [{"url": "u"}]},
        ),
        ({"type": "open_page", "url": "u"}, {"action": "open_page", "url": "u"}),
        (
            {"type": "find_in_page", "url": "u", "pattern": "p"},
            {"action": "find_in_page", "url": "u", "pattern": "p"},
        ),
    ],
)
def test_a_web_search_says_what_it_did(action: Json, told: JsonObject) -> None:
    item = {"type": "web_search_call", "id": "i", "status": "completed", "action": action}
    assert extras_of(item, message("x")) == {
        "web_searches": [{"id": "i", "status": "completed", **told}]
    }


def test_mcp_calls_and_lists_of_tools_are_told_apart() -> None:
    call = {
        "type": "mcp_call",
        "id": "i",
        "server_label": "s",
        "name": "roll",
        "arguments": '{"dice":2}',
        "output": "7",
        "error": None,
        "status": "completed",
    }
    lists = {
        "type": "mcp_list_tools",
        "id": "l",
        "server_label": "s",
        "tools": [{"name": "roll", "input_schema": {"type": "object"}}],
    }
    broken = {**lists, "tools": [], "error": "no route"}
    assert extras_of(lists, broken, call, message("x")) == {
        "mcp_calls": [
            {"kind": "list_tools", "id": "l", "server": "s", "tools": ["roll"]},
            {"kind": "list_tools", "id": "l", "server": "s", "tools": [], "error": "no route"},
            {
                "kind": "call",
                "id": "i",
                "server": "s",
                "name": "roll",
                "arguments": {"dice": 2},
                "output": "7",
                "status": "completed",
            },
        ]
    }


def test_code_comes_with_its_logs_and_pictures_without_their_bytes() -> None:
    item = {
        "type": "code_interpreter_call",
        "id": "i",
        "container_id": "k",
        "code": "print(1)",
        "status": "completed",
        "outputs": [
            {"type": "logs", "logs": "1\n"},
            {"type": "image", "url": "https://example.org/plot.png"},
            {"type": "image", "url": f"data:image/png;base64,{PACKED}"},
        ],
    }
    (call,) = extras_of(item, message("x"))["code_calls"]
    assert call["kind"] == "code_interpreter"
    assert call["code"] == "print(1)"
    assert call["outputs"] == [*item["outputs"][:2], {"type": "image", "images": [PICTURE]}]


def test_an_image_that_was_made_is_told_by_its_hash_and_is_the_answer_where_nothing_was_said() -> (
    None
):
    item = {
        "type": "image_generation_call",
        "id": "i",
        "status": "completed",
        "result": PACKED,
        "output_format": "png",
        "revised_prompt": "a cat",
    }
    entry = {"id": "i", "status": "completed", "revised_prompt": "a cat", "images": [PICTURE]}
    reading = read(line(response(item)))
    assert (output(reading), reading.finish) == ({"images": [PICTURE]}, Finish.STOP)
    assert extras(reading) == {"image_calls": [entry]}
    assert PACKED.encode() not in (reading.extras or b"")
    assert output(read(line(response(item, message("Here."))))) == "Here."


@pytest.mark.parametrize("result", [None, "not base64!"])
def test_an_image_that_did_not_come_is_no_answer(result: Json) -> None:
    item = {"type": "image_generation_call", "id": "i", "status": "failed", "result": result}
    reading = read(line(response(item)))
    assert (reading.outcome, reading.cause) == (FAILED, "empty_output")
    assert extras(reading)["image_calls"][0]["status"] == "failed"
