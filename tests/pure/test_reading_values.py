"""Tool calls, labels and structured output: from an answer to a value."""

import json

import pytest
from msgspec.structs import astuple
from reading_lines import (
    CHAT,
    FAILED,
    SUCCEEDED,
    completion,
    job,
    line,
    message,
    output,
    read,
    response,
)

from batchrun.endpoints.answer import Finish
from batchrun.endpoints.reading import make_reader
from batchrun.errors import JobFileError, UsageError
from batchrun.model import Json

# Tool calls.


def test_calls_of_a_response_are_an_answer() -> None:
    calls = [
        {"type": "function_call", "name": "f", "arguments": '{"a": 1}', "call_id": "c1"},
        {"type": "custom_tool_call", "name": "g", "input": "free text", "call_id": "c2"},
        {"type": "web_search_call", "id": "ws_1"},
    ]
    reading = read(line(response(*calls)))
    assert reading.finish is Finish.TOOL_CALLS
    assert output(reading) == {
        "tool_calls": [
            {"name": "f", "arguments": {"a": 1}, "call_id": "c1"},
            {"name": "g", "arguments": "free text", "call_id": "c2"},
        ]
    }


def test_calls_of_a_completion_are_an_answer() -> None:
    calls = [
        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
        {"id": "c2", "type": "custom", "custom": {"name": "g", "input": "free text"}},
    ]
    reading = read(line(completion(None, "tool_calls", tool_calls=calls)), CHAT)
    assert reading.finish is Finish.TOOL_CALLS
    assert output(reading)["tool_calls"] == [
        {"name": "f", "arguments": {"a": 1}, "call_id": "c1"},
        {"name": "g", "arguments": "free text", "call_id": "c2"},
    ]


@pytest.mark.parametrize("finish", ["stop", "tool_calls", "function_call"])
def test_text_beside_calls_is_kept(finish: str) -> None:
    calls = [{"id": "c1", "function": {"name": "f", "arguments": "{}"}}]
    reading = read(line(completion("Calling.", finish, tool_calls=calls)), CHAT)
    assert output(reading)["text"] == "Calling."


def test_a_legacy_function_call_is_a_call_without_an_id() -> None:
    call = {"name": "f", "arguments": '{"a":1}'}
    reading = read(line(completion(None, "function_call", function_call=call)), CHAT)
    assert output(reading) == {
        "tool_calls": [{"name": "f", "arguments": {"a": 1}, "call_id": None}]
    }


@pytest.mark.parametrize("made", ["not json", "", '{"a":', {"a": 1}, None, "[" * 100_000])
def test_arguments_that_are_not_json_are_kept_as_they_are(made: Json) -> None:
    call = {"type": "function_call", "name": "f", "arguments": made, "call_id": "c"}
    assert output(read(line(response(call))))["tool_calls"][0]["arguments"] == made


SCHEMA = {
    "type": "object",
    "properties": {
        "n": {"type": "integer"},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["n"],
}


# Labels and schemas.


@pytest.mark.parametrize(
    "text",
    ['{"label":"yes"}', '{"label": "yes"}', '{\n "label" : "yes"\n}', '"yes"', "yes", " yes\n"],
)
def test_a_label_is_unwrapped(text: str) -> None:
    assert read(line(response(message(text))), labels=("yes", "no")).output == b'"yes"'


@pytest.mark.parametrize("label", ['"quoted"', "日本", "a\\b", "{", "1"])
def test_labels_may_hold_anything(label: str) -> None:
    for text in (json.dumps({"label": label}), json.dumps(label), label):
        assert output(read(line(response(message(text))), labels=("x", label))) == label


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ('{"label":"maybe"}', "label_mismatch"),
        ('{"label":1}', "label_mismatch"),
        ('{"Label":"yes"}', "label_mismatch"),
        ("[]", "label_mismatch"),
        ("I think yes", "label_mismatch"),
        ('{"label":"yes"', "invalid_json"),
        ('"yes', "invalid_json"),
    ],
)
def test_what_is_none_of_the_labels_fails_with_the_text(text: str, cause: str) -> None:
    reading = read(line(response(message(text))), labels=("yes", "no"))
    assert astuple(reading)[1:3] == (FAILED, cause)
    assert (reading.partial, reading.finish) == (text, Finish.STOP)
    assert astuple(read(line(completion(text)), CHAT, labels=("yes", "no")))[1:3] == (FAILED, cause)


def test_a_long_wrong_label_is_clipped_in_the_message_and_whole_in_partial() -> None:
    reading = read(line(response(message("x" * 5000))), labels=("yes", "no"))
    assert reading.message is not None
    assert len(reading.message) < 300
    assert reading.partial == "x" * 5000


@pytest.mark.fault(49)
def test_structured_output_is_encoded_compactly_and_exactly() -> None:
    text = '{ "n" : 123456789012345678901234567890,\n"tags": ["é"] }'
    reading = read(line(response(message(text))), schema=SCHEMA)
    assert reading.output == '{"n":123456789012345678901234567890,"tags":["é"]}'.encode()
    assert read(line(completion(text)), CHAT, schema=SCHEMA).output == reading.output


def test_a_fraction_of_structured_output_is_that_of_a_float_and_the_last_of_twins_counts() -> None:
    text = '{"n": 2, "x": 2.50, "y": 0.12345678901234567890, "n": 1}'
    reading = read(line(response(message(text))), schema=SCHEMA)
    assert reading.output == b'{"n":1,"x":2.5,"y":0.12345678901234568}'


def test_what_does_not_fit_the_schema_fails_with_path_and_reason() -> None:
    text = '{"n":"one","tags":["a",2]}'
    reading = read(line(response(message(text))), schema=SCHEMA)
    assert astuple(reading)[1:3] == (FAILED, "schema_mismatch")
    assert reading.message is not None
    assert "$.n: " in reading.message
    assert "$.tags[1]: " in reading.message
    assert reading.partial == text


@pytest.mark.parametrize(("wrong", "has_more"), [(20, False), (21, True)])
def test_every_error_of_an_answer_is_told_up_to_a_bound(wrong: int, *, has_more: bool) -> None:
    schema = {"items": {"enum": [0]}}
    reading = read(line(response(message(json.dumps([1] * wrong)))), schema=schema)
    told = (reading.message or "").split("; ")
    assert len(told) == 20 + has_more
    assert (told[-1] == "and more") is has_more


@pytest.mark.parametrize("text", ["no", '{"n":1', '{"n":NaN}', '{"n":1}{"n":2}', "[" * 100_000])
def test_what_is_not_json_fails_as_invalid_json(text: str) -> None:
    reading = read(line(response(message(text))), schema=SCHEMA)
    assert astuple(reading)[1:3] == (FAILED, "invalid_json")
    assert reading.partial == text


def test_an_answer_that_the_validator_gives_up_on_fails_as_schema_mismatch() -> None:
    deep = read(line(response(message("[" * 900 + "]" * 900))), schema={"type": "string"})
    assert astuple(deep)[1:4] == (FAILED, "schema_mismatch", "Recursion limit reached")
    text = json.dumps("ab" * 40)
    backtracking = read(line(response(message(text))), schema={"pattern": "((a|b|ab)*)(?!z)c"})
    assert astuple(backtracking)[1:3] == (FAILED, "schema_mismatch")
    assert "backtracking" in (backtracking.message or "")


@pytest.mark.fault(47)
def test_json_as_deep_as_the_decoder_goes_is_read() -> None:
    assert read(line(response(message("[" * 900 + "]" * 900))), schema={}).outcome is SUCCEEDED


def test_a_schema_may_refer_to_itself() -> None:
    schema = {"$defs": {"n": {"type": "integer"}}, "properties": {"n": {"$ref": "#/$defs/n"}}}
    assert read(line(response(message('{"n":1}'))), schema=schema).outcome is SUCCEEDED
    assert read(line(response(message('{"n":"1"}'))), schema=schema).cause == "schema_mismatch"


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nonsense"},
        {"$ref": "https://example.com/schema.json"},
        {"$ref": "file:///etc/hostname"},
        {"$ref": "#/missing"},
    ],
)
@pytest.mark.fault(58)
def test_a_schema_that_is_none_or_leads_outside_is_an_error_of_the_job_file(schema: Json) -> None:
    with pytest.raises(
        JobFileError, match=r"^/jobs/j\.jsonl:3: 'schema' is not a valid JSON Schema"
    ):
        make_reader(job(schema=schema))


def test_an_unknown_endpoint_has_no_reader() -> None:
    with pytest.raises(UsageError):
        make_reader(job("/v1/audio/speech"))
