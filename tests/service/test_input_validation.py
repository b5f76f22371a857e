"""What makes an input file unusable, with the code and the line that the batch then shows."""

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servicekit import OpenDesk, jsonl, request

from batchrun.model import JsonObject, Limits
from batchrun.service.options import Options
from batchrun.service.validation import PROBLEM_LIMIT, Checked, check_input

GOOD = request("good")


def check(content: bytes, endpoint: str = "/v1/responses", **settings: Any) -> Checked:
    arguments = {"limits": Limits(), "models": None, **settings}
    return check_input(io.BytesIO(content), endpoint=endpoint, size=len(content), **arguments)


def found(checked: Checked) -> list[tuple[str, int | None, str | None]]:
    return [(one["code"], one["line"], one["param"]) for one in checked.problems]


def without(line: JsonObject, key: str) -> JsonObject:
    return {name: value for name, value in line.items() if name != key}


def test_a_good_file_is_counted() -> None:
    content = jsonl(request("a"), request("b"))
    checked = check(content)
    assert checked.problems == ()
    assert (checked.total, checked.model) == (2, "gpt-5-mini")
    assert checked.prompt_tokens == len(content) // 4


def test_the_last_line_needs_no_newline() -> None:
    assert check(jsonl(GOOD).rstrip(b"\n")).problems == ()


@pytest.mark.parametrize(
    ("second", "code", "param"),
    [
        (b"{", "invalid_json_line", None),
        (b"", "invalid_json_line", None),
        (b"[1]", "invalid_json_line", None),
        (b"[" * 100_000, "invalid_json_line", None),
        (b'{"custom_id": NaN}', "invalid_json_line", None),
        (b"\xff\xfe", "invalid_json_line", None),
        (b'{"custom_id": "\xff"}', "invalid_json_line", None),
        (b"\xef\xbb\xbf" + jsonl(GOOD).strip(), "invalid_json_line", None),
        (jsonl(without(request("b"), "custom_id")), "missing_required_parameter", "custom_id"),
        (jsonl(request("")), "missing_required_parameter", "custom_id"),
        (jsonl({**GOOD, "custom_id": 7}), "invalid_request", "custom_id"),
        (jsonl(without(request("b"), "method")), "missing_required_parameter", "method"),
        (jsonl(request("b", method="GET")), "invalid_request", "method"),
        (jsonl(without(request("b"), "url")), "missing_required_parameter", "url"),
        (jsonl(request("b", url="/v1/chat/completions")), "url_mismatch", "url"),
        (jsonl(without(request("b"), "body")), "missing_required_parameter", "body"),
        (jsonl(request("b", body="hello")), "invalid_request", "body"),
        (jsonl(request("b", body={"input": "x"})), "missing_required_parameter", "body.model"),
        (jsonl(request("b", body={"model": "gpt-9"})), "model_mismatch", "body.model"),
        (
            jsonl(request("b", body={"model": "gpt-5-mini", "stream": True})),
            "invalid_request",
            "body.stream",
        ),
        (jsonl(request("good")), "duplicate_custom_id", "custom_id"),
    ],
)
def test_one_bad_line_is_named_with_its_number(second: bytes, code: str, param: str | None) -> None:
    content = jsonl(GOOD) + second.rstrip(b"\n") + b"\n" + jsonl(request("last"))
    assert found(check(content)) == [(code, 2, param)]


def test_an_empty_file_is_empty() -> None:
    assert found(check(b"")) == [("empty_file", None, None)]


def test_a_model_that_does_not_exist_is_not_found() -> None:
    checked = check(jsonl(GOOD), models=frozenset({"gpt-9"}))
    assert found(checked) == [("model_not_found", 1, "body.model")]


def test_too_many_requests_end_the_reading() -> None:
    content = jsonl(*(request(str(number)) for number in range(4)))
    assert check(content, limits=Limits(request_count=4)).problems == ()
    assert found(check(content, limits=Limits(request_count=3))) == [("too_many_tasks", None, None)]


def test_a_file_above_the_limit_is_not_read() -> None:
    content = jsonl(GOOD)
    assert check(content, limits=Limits(input_bytes=len(content))).problems == ()
    checked = check(content, limits=Limits(input_bytes=len(content) - 1))
    assert found(checked) == [("invalid_request", None, None)]
    assert checked.total == 0


def test_embedding_inputs_are_counted_over_all_requests() -> None:
    def ask(custom_id: str, asked: Any) -> JsonObject:
        return request(custom_id, url="/v1/embeddings", body={"model": "e", "input": asked})

    # 2 texts, 1 text, 1 text in tokens, 2 texts in tokens: 6 inputs.
    lines = [ask("a", ["x", "y"]), ask("b", "x"), ask("c", [1, 2, 3]), ask("d", [[1], [2]])]
    exact = check(jsonl(*lines), "/v1/embeddings", limits=Limits(embedding_inputs=6))
    assert exact.problems == ()
    above = check(jsonl(*lines, ask("e", "x")), "/v1/embeddings", limits=Limits(embedding_inputs=5))
    assert found(above) == [("invalid_request", 4, "body.input")]


def test_all_problems_are_found_up_to_a_limit() -> None:
    many = check(b"{\n" * (PROBLEM_LIMIT + 50))
    assert [one["line"] for one in many.problems] == list(range(1, PROBLEM_LIMIT + 1))


def test_a_failed_batch_shows_its_problems_and_nothing_else(open_desk: OpenDesk) -> None:
    desk = open_desk()
    batch_id = desk.create_raw(b"{\n" + jsonl(GOOD) + b"{\n")
    assert desk.work() is False
    batch = desk.batch(batch_id)
    assert batch["status"] == "failed"
    assert batch["failed_at"] == desk.clock.now()
    assert batch["errors"]["object"] == "list"
    assert [(one["code"], one["line"]) for one in batch["errors"]["data"]] == [
        ("invalid_json_line", 1),
        ("invalid_json_line", 3),
    ]
    assert batch["in_progress_at"] is None
    assert batch["request_counts"] == {"total": 0, "completed": 0, "failed": 0}
    assert (batch["output_file_id"], batch["error_file_id"]) == (None, None)


def test_a_full_queue_fails_a_batch_until_others_have_ended(open_desk: OpenDesk) -> None:
    content = jsonl(GOOD)
    # Room for one batch; a line takes an hour, so that the first is still there when the second comes.
    desk = open_desk(options=Options(queue_tokens=len(content) // 4, line_s=3600))
    first = desk.create_raw(content)
    second = desk.create_raw(content)
    desk.work()
    assert desk.status(first) == "in_progress"
    (problem,) = desk.batch(second)["errors"]["data"]
    assert (problem["code"], problem["line"]) == ("token_limit_exceeded", None)
    desk.clock.advance(3600)
    desk.work()
    assert desk.status(first) == "completed"
    third = desk.create_raw(content)
    desk.work()
    assert desk.status(third) == "in_progress"


@given(st.lists(st.binary(max_size=60) | st.builds(lambda text: jsonl(request(text)), st.text())))
def test_any_bytes_are_either_counted_or_explained(lines: list[bytes]) -> None:
    content = b"\n".join(lines)
    checked = check(content)
    assert all(one["code"] and one["message"] for one in checked.problems)
    if not checked.problems:
        decoded = [json.loads(line) for line in io.BytesIO(content)]
        assert checked.total == len(decoded) == len({line["custom_id"] for line in decoded})
