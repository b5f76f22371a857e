"""Every kind of result line that a service has been seen to send, and what becomes of it."""

import base64
import json
import struct

import pytest

from batchrun.endpoints.answer import Finish, Reading
from batchrun.endpoints.reading import MESSAGE_LIMIT, make_reader
from batchrun.errors import JobFileError, UsageError
from batchrun.model import JobSettings, Json, JsonObject
from batchrun.planning.causes import CAUSES
from batchrun.planning.classify import Outcome

RESPONSES, CHAT, EMBEDDINGS = "/v1/responses", "/v1/chat/completions", "/v1/embeddings"
SUCCEEDED, RETRY, RELEASED, FAILED = (
    Outcome.SUCCEEDED, Outcome.RETRY, Outcome.RELEASED, Outcome.FAILED,
)  # fmt: skip
SCHEMA = {
    "type": "object",
    "properties": {
        "n": {"type": "integer"},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["n"],
}


def job(url: str = RESPONSES, **keys: Json) -> JobSettings:
    return JobSettings(name="j", path="/jobs/j.jsonl", line=3, endpoint=url, **keys)


def read(line: Json, url: str = RESPONSES, **keys: Json) -> Reading:
    raw = line if isinstance(line, bytes) else json.dumps(line).encode()
    reading = make_reader(job(url, **keys))(raw)
    assert (reading.output is not None) == (reading.outcome is SUCCEEDED) == (reading.cause is None)
    assert reading.cause is None or reading.cause in CAUSES
    return reading


def output(reading: Reading) -> Json:
    assert reading.output is not None, reading
    return json.loads(reading.output)


def line(body: Json, status: Json = 200, **more: Json) -> JsonObject:
    response = {"status_code": status, "request_id": "req_1", "body": body}
    return {
        "id": "batch_req_1",
        "custom_id": "7-1-abc",
        "response": response,
        "error": None,
        **more,
    }


def message(*texts: Json, **more: Json) -> JsonObject:
    parts = [{"type": "output_text", "text": text, "annotations": []} for text in texts]
    return {"type": "message", "role": "assistant", "content": parts, **more}


def response(*items: Json, **more: Json) -> JsonObject:
    return {
        "id": "resp_1",
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "model": "m-1",
        "output": list(items),
        "usage": {
            "input_tokens": 10,
            "input_tokens_details": {"cached_tokens": 4},
            "output_tokens": 20,
            "output_tokens_details": {"reasoning_tokens": 5},
        },
        **more,
    }


def completion(content: Json, finish: Json = "stop", **more: Json) -> JsonObject:
    return {
        "id": "chatcmpl-1",
        "model": "m-1",
        "choices": [
            {
                "index": 0,
                "finish_reason": finish,
                "message": {"role": "assistant", "content": content, **more},
            }
        ],
        "usage": {
            "prompt_tokens": 10,
            "completion_tokens": 20,
            "prompt_tokens_details": {"cached_tokens": 4},
            "completion_tokens_details": {"reasoning_tokens": 5},
        },
    }


def embedding(*vectors: Json) -> JsonObject:
    return {
        "object": "list",
        "model": "m-1",
        "data": [{"index": i, "embedding": vector} for i, vector in enumerate(vectors)],
        "usage": {"prompt_tokens": 10, "total_tokens": 10},
    }


def test_a_response_is_read_whole() -> None:
    body = response({"type": "reasoning", "summary": []}, message('Hé "x"\u2028'))
    assert read(line(body)) == Reading(
        "7-1-abc", SUCCEEDED, None, None, '"Hé \\"x\\"\u2028"'.encode(), None, Finish.STOP,
        10, 4, 20, 5, "m-1", "req_1",
    )  # fmt: skip


def test_a_completion_is_read_whole() -> None:
    assert read(line(completion("Hello")), CHAT) == Reading(
        "7-1-abc",
        SUCCEEDED,
        None,
        None,
        b'"Hello"',
        None,
        Finish.STOP,
        10,
        4,
        20,
        5,
        "m-1",
        "req_1",
    )


def test_an_embedding_is_read_whole_and_keeps_its_digits() -> None:
    raw = json.dumps(line(embedding(["VECTOR"]))).encode()
    raw = raw.replace(b'["VECTOR"]', b"[ 0.10, -1e-05,\t2 ]")
    assert read(raw, EMBEDDINGS) == Reading(
        "7-1-abc", SUCCEEDED, None, None, b"[0.10,-1e-05,2]", None, Finish.STOP,
        10, 0, 0, 0, "m-1", "req_1",
    )  # fmt: skip


# Text in its many places.


def test_the_texts_of_all_messages_and_parts_are_joined() -> None:
    body = response(message("a", None, "b"), {"type": "hologram", "content": "?"}, message("c"))
    assert output(read(line(body))) == "abc"


def test_where_messages_have_phases_only_the_final_answer_counts() -> None:
    body = response(message("Let me see.", phase="commentary"), message("42", phase="final_answer"))
    assert output(read(line(body))) == "42"
    only_commentary = response(message("Let me see.", phase="commentary"))
    assert output(read(line(only_commentary))) == "Let me see."


def test_a_completion_may_give_its_text_in_parts() -> None:
    content = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}, 7]
    assert output(read(line(completion(content)), CHAT)) == "ab"


def test_the_first_choice_is_the_one_with_index_0() -> None:
    body = completion("second")
    body["choices"][0]["index"] = 1
    body["choices"].append({**completion("first")["choices"][0]})
    assert output(read(line(body), CHAT)) == "first"


@pytest.mark.parametrize("finish", ["stop", "STOP", "eos", "", None])
def test_any_finish_that_is_not_known_to_be_bad_is_a_stop(finish: Json) -> None:
    reading = read(line(completion("x", finish)), CHAT)
    assert (reading.outcome, reading.finish) == (SUCCEEDED, Finish.STOP)


@pytest.mark.parametrize("status", ["COMPLETED", None, ""])
def test_a_status_may_be_shouted_or_missing(status: Json) -> None:
    assert output(read(line(response(message("x"), status=status)))) == "x"


@pytest.mark.parametrize("status", ["200", 200.0, 201, None, "two hundred", True])
def test_a_success_is_one_whatever_the_kind_of_its_status_code(status: Json) -> None:
    assert output(read(line(response(message("x")), status))) == "x"


def test_a_body_may_be_a_json_string() -> None:
    assert output(read(line(json.dumps(response(message("x")))))) == "x"


# Usage.


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        (None, (0, 0, 0, 0)),
        ("many", (0, 0, 0, 0)),
        ({}, (0, 0, 0, 0)),
        ({"input_tokens": 5.0, "output_tokens": 7.9}, (5, 0, 7, 0)),
        ({"input_tokens": -1, "output_tokens": 2**63}, (0, 0, 0, 0)),
        ({"input_tokens": 2**63 - 1, "output_tokens": True}, (2**63 - 1, 0, 0, 0)),
        ({"input_tokens": float("nan"), "output_tokens": float("inf")}, (0, 0, 0, 0)),
        ({"input_tokens": "12", "output_tokens": None}, (0, 0, 0, 0)),
        ({"input_tokens": 3, "output_tokens": 4, "input_tokens_details": None}, (3, 0, 4, 0)),
        ({"input_tokens": 3, "output_tokens": 4, "output_tokens_details": []}, (3, 0, 4, 0)),
    ],
)
def test_odd_usage_costs_the_figures_and_never_the_answer(
    usage: Json, tokens: tuple[int, ...]
) -> None:
    reading = read(line(response(message("x"), usage=usage)))
    assert reading.outcome is SUCCEEDED
    assert reading[7:11] == tokens


@pytest.mark.parametrize(("model", "request_id"), [(None, None), ("", ""), (7, {})])
def test_a_missing_model_or_request_id_is_none(model: Json, request_id: Json) -> None:
    given = line(response(message("x"), model=model))
    given["response"]["request_id"] = request_id
    assert read(given)[-2:] == (None, None)


# Answers that are of no use.


def test_a_cut_response_fails_with_its_text_and_says_how_many_tokens_went_where() -> None:
    body = response(
        message("half a"), status="incomplete", incomplete_details={"reason": "max_output_tokens"}
    )
    reading = read(line(body))
    assert reading[1:7] == (
        FAILED,
        "length",
        "the response is incomplete: max_output_tokens (20 output tokens, 5 of them reasoning)",
        None,
        "half a",
        Finish.LENGTH,
    )
    assert reading.output_tokens == 20


@pytest.mark.parametrize("finish", ["length", "max_tokens", "MODEL_LENGTH"])
def test_a_cut_completion_fails_with_its_text(finish: str) -> None:
    reading = read(line(completion("half a", finish)), CHAT)
    assert (reading.cause, reading.partial, reading.finish) == ("length", "half a", Finish.LENGTH)


def test_a_response_cut_during_reasoning_has_no_partial() -> None:
    body = response(status="incomplete", incomplete_details={"reason": "max_output_tokens"})
    assert read(line(body))[1:3] == (FAILED, "length")
    assert read(line(body)).partial is None


@pytest.mark.parametrize("details", [None, {}, {"reason": "steered"}, "odd"])
def test_a_response_incomplete_for_an_unknown_reason_is_tried_again(details: Json) -> None:
    body = response(message("half"), status="incomplete", incomplete_details=details)
    reading = read(line(body))
    assert reading[1:3] == (RETRY, "unknown")
    assert reading.message is not None
    assert reading.message.startswith("the response is incomplete: ")
    assert reading.partial == "half"


def test_a_filtered_answer_fails_as_content_filter() -> None:
    body = response(status="incomplete", incomplete_details={"reason": "content_filter"})
    assert read(line(body))[1:3] == (FAILED, "content_filter")
    assert read(line(body)).finish is Finish.CONTENT_FILTER
    reading = read(line(completion("So", "content_filter")), CHAT)
    assert (reading.cause, reading.partial) == ("content_filter", "So")


def test_a_refusal_fails_with_its_words() -> None:
    refusal = {"type": "message", "content": [{"type": "refusal", "refusal": "I can't."}]}
    for reading in (
        read(line(response(refusal))),
        read(line(completion(None, refusal="I can't.")), CHAT),
        read(line(completion("", refusal="I can't.")), CHAT),
    ):
        assert reading[1:3] == (FAILED, "refusal")
        assert (reading.partial, reading.finish) == ("I can't.", Finish.REFUSAL)


@pytest.mark.parametrize(
    ("url", "body"),
    [
        (RESPONSES, response()),
        (RESPONSES, response({"type": "reasoning", "content": [{"type": "reasoning_text"}]})),
        (RESPONSES, response(message(""))),
        (RESPONSES, response(message(" \n"))),
        (RESPONSES, response(message(None))),
        (RESPONSES, response({"type": "message", "content": None})),
        (RESPONSES, {"status": "completed"}),
        (RESPONSES, {**response(), "output": None}),
        (CHAT, completion(None)),
        (CHAT, completion("")),
        (CHAT, completion(" ")),
        (CHAT, completion([])),
        (CHAT, completion(None, "tool_calls")),
        (CHAT, {"id": "x", "choices": []}),
        (CHAT, {"id": "x", "choices": [{"message": None}]}),
        (EMBEDDINGS, embedding()),
        (EMBEDDINGS, embedding([])),
        (EMBEDDINGS, embedding(["x"])),
        (EMBEDDINGS, embedding([True])),
        (EMBEDDINGS, embedding([float("nan")])),
        (EMBEDDINGS, embedding([1.0], None)),
        (EMBEDDINGS, embedding("not base64!")),
        (EMBEDDINGS, embedding("AAAAAAA=")),
    ],
)
def test_an_answer_with_nothing_in_it_fails_as_empty(url: str, body: JsonObject) -> None:
    assert read(line(body), url)[1:3] == (FAILED, "empty_output")


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
    assert reading[1:3] == (FAILED, cause)
    assert (reading.partial, reading.finish) == (text, Finish.STOP)
    assert read(line(completion(text)), CHAT, labels=("yes", "no"))[1:3] == (FAILED, cause)


def test_a_long_wrong_label_is_clipped_in_the_message_and_whole_in_partial() -> None:
    reading = read(line(response(message("x" * 5000))), labels=("yes", "no"))
    assert reading.message is not None
    assert len(reading.message) < 300
    assert reading.partial == "x" * 5000


def test_structured_output_is_encoded_compactly_and_exactly() -> None:
    text = '{ "n" : 123456789012345678901234567890,\n"tags": ["é"] }'
    reading = read(line(response(message(text))), schema=SCHEMA)
    assert reading.output == '{"n":123456789012345678901234567890,"tags":["é"]}'.encode()
    assert read(line(completion(text)), CHAT, schema=SCHEMA).output == reading.output


def test_what_does_not_fit_the_schema_fails_with_path_and_reason() -> None:
    text = '{"n":"one","tags":["a",2]}'
    reading = read(line(response(message(text))), schema=SCHEMA)
    assert reading[1:3] == (FAILED, "schema_mismatch")
    assert reading.message is not None
    assert "$.n: " in reading.message
    assert "$.tags[1]: " in reading.message
    assert reading.partial == text


@pytest.mark.parametrize("text", ["no", '{"n":1', '{"n":NaN}', '{"n":1}{"n":2}', "[" * 100_000])
def test_what_is_not_json_fails_as_invalid_json(text: str) -> None:
    reading = read(line(response(message(text))), schema=SCHEMA)
    assert reading[1:3] == (FAILED, "invalid_json")
    assert reading.partial == text


def test_an_answer_that_the_validator_gives_up_on_fails_as_schema_mismatch() -> None:
    deep = read(line(response(message("[" * 900 + "]" * 900))), schema={"type": "string"})
    assert deep[1:4] == (FAILED, "schema_mismatch", "Recursion limit reached")
    text = json.dumps("ab" * 40)
    backtracking = read(line(response(message(text))), schema={"pattern": "((a|b|ab)*)(?!z)c"})
    assert backtracking[1:3] == (FAILED, "schema_mismatch")
    assert "backtracking" in (backtracking.message or "")


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
def test_a_schema_that_is_none_or_leads_outside_is_an_error_of_the_job_file(schema: Json) -> None:
    with pytest.raises(
        JobFileError, match=r"^/jobs/j\.jsonl:3: 'schema' is not a valid JSON Schema"
    ):
        make_reader(job(schema=schema))


def test_an_unknown_endpoint_has_no_reader() -> None:
    with pytest.raises(UsageError):
        make_reader(job("/v1/videos"))


# Embeddings.


def test_several_inputs_give_several_vectors_in_input_order() -> None:
    body = embedding([1, 2], [3.5, 4])
    body["data"].reverse()
    assert read(line(body), EMBEDDINGS).output == b"[[1,2],[3.5,4]]"


def test_base64_vectors_are_unpacked() -> None:
    packed = base64.b64encode(struct.pack("<3f", 0.5, -2.0, 1e-3)).decode()
    vector = output(read(line(embedding(packed)), EMBEDDINGS))
    assert vector == pytest.approx([0.5, -2.0, 1e-3])


def test_vectors_without_an_index_stay_as_they_came() -> None:
    body = {"data": [{"embedding": [2]}, {"embedding": [1]}, "odd"]}
    assert read(line(body), EMBEDDINGS).output == b"[[2],[1]]"


# Errors.


def http(status: Json, error: Json) -> JsonObject:
    return line({"error": error}, status)


@pytest.mark.parametrize(
    ("given", "outcome", "cause", "said"),
    [
        pytest.param(
            {"custom_id": "7-1-abc", "response": None,
             "error": {"code": "batch_expired", "message": "This request could not be executed."}},
            RELEASED, "expired", "batch_expired: This request could not be executed.", id="expired",
        ),
        pytest.param(
            {"custom_id": "7-1-abc", "error": {"code": "batch_cancelled", "message": "Stopped."}},
            RELEASED, "cancelled", "batch_cancelled: Stopped.", id="no-response-key",
        ),
        pytest.param(
            {"custom_id": "7-1-abc", "response": None, "error": "engine died"},
            RETRY, "unknown", "engine died", id="error-is-a-string",
        ),
        pytest.param(
            {"custom_id": "7-1-abc", "response": {"status_code": 400, "body": None},
             "error": {"object": "error", "message": "bad", "type": "BadRequestError", "code": 400}},
            FAILED, "bad_request", "HTTP 400: BadRequestError: bad", id="body-null-integer-code",
        ),
        pytest.param(
            {"custom_id": "7-1-abc", "error": {"message": "busy", "code": 503}},
            RETRY, "server_error", "busy", id="status-only-in-code",
        ),
        pytest.param(
            line({}, 0, response={"status_code": 0, "request_id": "", "body": {}}),
            RETRY, "server_error", "HTTP 0: an error without a message", id="status-0",
        ),
        pytest.param(
            http(400, {"message": "too long", "type": "invalid_request_error",
                       "param": "input", "code": "context_length_exceeded"}),
            FAILED, "context_length_exceeded",
            "HTTP 400: context_length_exceeded: too long", id="context-length",
        ),
        pytest.param(
            http(429, {"message": "slow down", "code": "rate_limit_exceeded"}),
            RETRY, "rate_limited", "HTTP 429: rate_limit_exceeded: slow down", id="rate-limit",
        ),
        pytest.param(
            http(400, {"message": "We could not parse the JSON body of your request."}),
            RETRY, "bad_request",
            "HTTP 400: We could not parse the JSON body of your request.", id="spurious-400",
        ),
        pytest.param(
            http(429, {"message": "pay", "type": "insufficient_quota"}),
            FAILED, "insufficient_quota", "HTTP 429: insufficient_quota: pay", id="quota",
        ),
        pytest.param(
            http(418, {"message": "teapot", "code": "brand_new"}),
            FAILED, "bad_request", "HTTP 418: brand_new: teapot", id="unknown-code",
        ),
        pytest.param(
            line("<html>502 Bad Gateway</html>", 502),
            RETRY, "server_error", "HTTP 502: <html>502 Bad Gateway</html>", id="html",
        ),
        pytest.param(
            line({"detail": [{"loc": "x"}]}, 422),
            FAILED, "bad_request", 'HTTP 422: [{"loc":"x"}]', id="detail",
        ),
        pytest.param(
            line({"error": "model is loading"}, 503),
            RETRY, "server_error", "HTTP 503: model is loading", id="error-string-in-body",
        ),
        pytest.param(
            line(json.dumps({"error": {"message": "x"}}), "500"),
            RETRY, "server_error", "HTTP 500: x", id="body-and-status-are-strings",
        ),
        pytest.param(
            line({"error": {"message": "x"}}, None),
            RETRY, "unknown", "x", id="no-status",
        ),
        pytest.param(
            line({"object": "error", "message": "no", "type": "NotFoundError", "code": 404}),
            FAILED, "bad_request", "NotFoundError: no", id="200-that-is-an-error-object",
        ),
        pytest.param(
            http(200, {"error": {"message": "nested", "code": "server_error"}}),
            RETRY, "server_error", "server_error: nested", id="nested",
        ),
        pytest.param(
            line(response(status="failed", error={"code": "server_error", "message": "oops"})),
            RETRY, "server_error", "server_error: oops", id="200-failed",
        ),
        pytest.param(
            line(response(status="FAILED", error={"code": "rate_limit_exceeded", "message": "x"})),
            RETRY, "rate_limited", "rate_limit_exceeded: x", id="200-failed-rate-limit",
        ),
        pytest.param(
            line(response(status="failed", error={"code": "invalid_prompt", "message": "x"})),
            FAILED, "content_filter", "invalid_prompt: x", id="200-failed-for-good",
        ),
        pytest.param(
            line(response(status="failed")),
            RETRY, "unknown", "the response came back as 'failed'", id="200-failed-without-reason",
        ),
        pytest.param(
            line(response(status="queued")),
            RETRY, "unknown", "the response came back as 'queued'", id="200-queued",
        ),
    ],
)  # fmt: skip
def test_an_error_is_judged_by_its_own_words(
    given: JsonObject, outcome: Outcome, cause: str, said: str
) -> None:
    reading = read(given)
    assert reading[:4] == ("7-1-abc", outcome, cause, said)
    assert reading.finish is Finish.NONE


@pytest.mark.parametrize("where", ["choice", "finish"])
def test_a_completion_may_end_with_an_error(where: str) -> None:
    body = completion("So", "error")
    if where == "choice":
        body["choices"][0]["error"] = {"code": 502, "message": "upstream"}
    reading = read(line(body), CHAT)
    assert reading.outcome is RETRY
    assert reading.cause == ("server_error" if where == "choice" else "unknown")
    assert reading.partial == "So"


def test_a_failed_response_keeps_its_text_and_its_tokens() -> None:
    body = response(message("half"), status="failed", error={"code": "server_error"})
    reading = read(line(body))
    assert (reading.partial, reading.output_tokens, reading.model) == ("half", 20, "m-1")
    assert reading.message == "server_error"


def test_the_lines_own_error_outranks_its_response() -> None:
    reading = read(line(response(message("x")), error={"code": "batch_expired"}))
    assert reading[1:3] == (RELEASED, "expired")


@pytest.mark.parametrize("error", [None, {}, "", 0, []])
def test_an_empty_error_is_none(error: Json) -> None:
    assert output(read(line(response(message("x")), error=error))) == "x"


def test_a_very_long_message_is_clipped() -> None:
    reading = read(http(500, {"message": "x" * 10_000}))
    assert reading.message is not None
    assert len(reading.message) == MESSAGE_LIMIT
    assert reading.message.endswith("…")


# Broken lines.


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"null", b"[]", b"7", b'"text"', b"not json", b'{"custom_id":"7-1-abc"', b"\xff\xfe",
        b"{}", b'{"custom_id":null}', b'{"custom_id":7}', b'{"custom_id":""}', b"[" * 100_000,
        b'{"custom_id":"a","n":' + b"9" * 10_000 + b"}",
    ],
)  # fmt: skip
def test_a_line_that_cannot_be_placed_has_no_custom_id(raw: bytes) -> None:
    reading = read(raw)
    assert reading[:3] == (None, RETRY, "malformed_result")
    assert reading.message


@pytest.mark.parametrize(
    "given",
    [
        {"custom_id": "7-1-abc"},
        {"custom_id": "7-1-abc", "response": None, "error": None},
        {"custom_id": "7-1-abc", "response": "odd"},
        line(None),
        line({}),
        line("not json"),
        line([]),
    ],
)
def test_a_line_with_neither_answer_nor_error_is_tried_again(given: JsonObject) -> None:
    assert read(given)[:3] == ("7-1-abc", RETRY, "malformed_result")


def test_invalid_utf_8_in_an_answer_becomes_the_replacement_character() -> None:
    raw = json.dumps(line(response(message("aXb")))).encode().replace(b"aXb", b"a\xffb")
    assert output(read(raw)) == "a\ufffdb"


def test_a_lone_surrogate_becomes_the_replacement_character_and_pairs_are_kept() -> None:
    raw = json.dumps(line(response(message("XX")))).encode()
    lone = raw.replace(b"XX", b"a\\ud83db \\ud83d\\ude00")
    assert output(read(lone)) == "a\ufffdb \U0001f600"
    assert output(read(raw.replace(b"XX", b"\\uDE00"), labels=("\ufffd",))) == "\ufffd"


def test_a_byte_order_mark_and_a_carriage_return_are_passed_over() -> None:
    raw = json.dumps(line(response(message("x")))).encode()
    assert output(read(b"\xef\xbb\xbf" + raw + b"\r")) == "x"


def test_a_nul_in_an_answer_is_kept() -> None:
    assert output(read(line(response(message("a\x00b"))))) == "a\x00b"
