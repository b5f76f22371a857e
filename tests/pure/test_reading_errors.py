"""Errors and broken lines, and what becomes of their items."""

import json

import pytest
from msgspec.structs import astuple
from reading_lines import (
    CHAT,
    FAILED,
    RELEASED,
    RETRY,
    completion,
    line,
    message,
    output,
    read,
    response,
)

from batchrun.endpoints.answer import Finish
from batchrun.endpoints.reading import MESSAGE_LIMIT
from batchrun.model import Json, JsonObject
from batchrun.planning.classify import Outcome

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
    assert astuple(reading)[:4] == ("7-1-abc", outcome, cause, said)
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


@pytest.mark.fault(28)
def test_the_lines_own_error_outranks_its_response() -> None:
    reading = read(line(response(message("x")), error={"code": "batch_expired"}))
    assert astuple(reading)[1:3] == (RELEASED, "expired")


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
        b'{"custom_id":"a","n":' + b"9" * 10_000,
    ],
)  # fmt: skip
def test_a_line_that_cannot_be_placed_has_no_custom_id(raw: bytes) -> None:
    reading = read(raw)
    assert astuple(reading)[:3] == (None, FAILED, "malformed_result")
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
@pytest.mark.fault(28)
def test_a_line_with_neither_answer_nor_error_fails_and_is_not_asked_again_unasked(
    given: JsonObject,
) -> None:
    assert astuple(read(given))[:3] == ("7-1-abc", FAILED, "malformed_result")


def test_invalid_utf_8_in_an_answer_becomes_the_replacement_character() -> None:
    raw = json.dumps(line(response(message("aXb")))).encode().replace(b"aXb", b"a\xffb")
    assert output(read(raw)) == "a\ufffdb"


@pytest.mark.fault(43)
def test_a_lone_surrogate_becomes_the_replacement_character_and_pairs_are_kept() -> None:
    raw = json.dumps(line(response(message("XX")))).encode()
    lone = raw.replace(b"XX", b"a\\ud83db \\ud83d\\ude00")
    assert output(read(lone)) == "a\ufffdb \U0001f600"
    assert output(read(raw.replace(b"XX", b"\\uDE00"), labels=("\ufffd",))) == "\ufffd"


@pytest.mark.fault(45)
def test_a_byte_order_mark_and_a_carriage_return_are_passed_over() -> None:
    raw = json.dumps(line(response(message("x")))).encode()
    assert output(read(b"\xef\xbb\xbf" + raw + b"\r")) == "x"


@pytest.mark.fault(42)
def test_a_nul_in_an_answer_is_kept() -> None:
    assert output(read(line(response(message("a\x00b"))))) == "a\x00b"
