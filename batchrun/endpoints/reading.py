"""From one raw line of a result file to a Reading: fast where the line is plain, carefully where it is not, never an exception.

What can be on a line, and what becomes of it, is told in docs/endpoints.md and tested mode by mode in tests/pure/test_reading.py.
"""

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from batchrun.endpoints import endpoint_of
from batchrun.endpoints.answer import Answer, Finish, Interpret, Mismatch, Reading, ServiceError
from batchrun.endpoints.base import Endpoint
from batchrun.endpoints.extras import encoded_extras
from batchrun.endpoints.tolerant import (
    as_object,
    as_status,
    as_text,
    error_of,
    parse,
)
from batchrun.endpoints.values import interpreter
from batchrun.model import RESULT_LINE_LIMIT_BYTES, JobSettings, Json, JsonObject
from batchrun.planning.classify import Outcome, classify

MESSAGE_LIMIT = (
    1_000  # characters; some servers put a stack trace or the whole request into the message
)

_encode = msgspec.json.Encoder().encode
_NO_ANSWER = Answer()
_WORDLESS = ServiceError()

# Finishes after which the answer is of no use, though it was given; the finish is the cause.
_UNUSABLE = {
    Finish.LENGTH: "the answer was cut",
    Finish.CONTENT_FILTER: "the content filter stopped the answer",
    Finish.REFUSAL: "the model declined to answer",
}


def make_reader(settings: JobSettings) -> Callable[[bytes], Reading]:
    """A reader of the lines, without newline, of both files of this job's batches: results and failures may be in either.

    The reader raises nothing. Making it raises UsageError for an unknown endpoint and JobFileError for a schema that is none; compile
    once, read many.
    """
    endpoint = endpoint_of(settings.endpoint)
    interpret = interpreter(settings)
    fast = endpoint.fast_reader(interpret)

    def read(line: bytes) -> Reading:
        try:
            reading = fast(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            reading = None
        return read_carefully(endpoint, interpret, line) if reading is None else reading

    return read


def read_carefully(endpoint: Endpoint, interpret: Interpret, line: bytes) -> Reading:
    """The reading of any line, by way of plain dicts: several times slower than the fast path, and the one that knows everything."""
    if len(line) > RESULT_LINE_LIMIT_BYTES:
        return _reading(
            None, _malformed(f"the line is longer than {RESULT_LINE_LIMIT_BYTES:,} bytes")
        )
    result = parse(line.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace"))
    if not isinstance(result, dict):
        return _reading(None, _malformed("the line is not a JSON object"))
    custom_id = as_text(result.get("custom_id"))
    if custom_id is None:
        return _reading(None, _malformed("the line has no custom_id"))
    response = as_object(result.get("response"))
    body = as_object(response.get("body"))
    answer = endpoint.read(body)
    error, status = _error_in(result, response, body, answer)
    if error is not None:
        judged = _judge_error(error, status, answer)
    elif not body:
        judged = _malformed("the line has neither an answer nor an error")
    else:
        judged = _judge_answer(answer, interpret)
    extras = answer.extras
    if answer.choices:
        extras = {**extras, "choices": [_choice(choice, interpret) for choice in answer.choices]}
    return _reading(
        custom_id, judged, answer, as_text(response.get("request_id")), encoded_extras(extras)
    )


class _Judged(NamedTuple):
    """The judged part of a Reading, in its order."""

    outcome: Outcome
    cause: str | None = None
    message: str | None = None
    output: bytes | None = None
    partial: str | None = None
    finish: Finish = Finish.NONE


def _reading(
    custom_id: str | None,
    judged: _Judged,
    answer: Answer = _NO_ANSWER,
    request_id: str | None = None,
    extras: bytes | None = None,
) -> Reading:
    usage = answer.usage
    return Reading(
        custom_id,
        *judged,
        usage.input_tokens,
        usage.cached_tokens,
        usage.cache_write_tokens,
        usage.output_tokens,
        usage.reasoning_tokens,
        answer.model,
        request_id,
        extras,
    )


def _malformed(message: str) -> _Judged:
    # It stands among the results, so it may have been billed: asking again unasked could be buying again.
    return _Judged(Outcome.FAILED, "malformed_result", message)


def _error_in(
    result: JsonObject, response: JsonObject, body: JsonObject, answer: Answer
) -> tuple[ServiceError | None, int | None]:
    """The error on the line and the HTTP status that speaks of it, None for both where there is none.

    It may be the line's own, the body's, or (status without words) nobody's. Inside a 2xx the status says nothing of the error.
    """
    error = error_of(result.get("error"))
    if body and error == _WORDLESS:
        error = None  # {"code": "", "message": ""} beside an answer: the place of an error, and none in it
    error = error or answer.error
    status = as_status(response.get("status_code"))
    if status is not None and not 200 <= status < 300:
        # The body itself may be the error object, or an HTML page of a proxy.
        return error or error_of(body or response.get("body")) or ServiceError(), status
    if error is None and body.get("object") == "error":
        error = error_of(body)
    return error, None


def _judge_error(error: ServiceError, status: int | None, answer: Answer) -> _Judged:
    told = error.status if status is None else status
    verdict = classify(told, error.code, error.kind, error.message)
    words = str(error) or "an error without a message"
    if status is not None:
        words = f"HTTP {status}: {words}"
    return _Judged(*verdict, _clipped(words), partial=answer.text)


def _judge_answer(answer: Answer, interpret: Interpret) -> _Judged:
    finish, text = answer.finish, answer.text
    if (mismatch := answer.mismatch) is not None:
        return _Judged(Outcome.FAILED, mismatch.cause, _clipped(mismatch.message), finish=finish)
    if finish in _UNUSABLE:
        partial = answer.refusal if finish is Finish.REFUSAL else text
        return _Judged(Outcome.FAILED, finish.value, _told(answer), None, partial, finish)
    if finish is Finish.TOOL_CALLS:
        value: JsonObject = {"tool_calls": list(answer.tool_calls)} if answer.tool_calls else {}
        value |= answer.pending
        if text is not None:
            value["text"] = text
        return _of_value(value, finish)
    if answer.value is not None:
        return _of_value(answer.value, finish)
    if text is None or text.isspace():
        return _Judged(Outcome.FAILED, "empty_output", _told(answer), finish=finish)
    output = interpret(text)
    if isinstance(output, Mismatch):
        message = _clipped(output.message)
        return _Judged(Outcome.FAILED, output.cause, message, partial=text, finish=finish)
    return _Judged(Outcome.SUCCEEDED, output=output, finish=finish)


def _of_value(value: Json, finish: Finish) -> _Judged:
    try:
        return _Judged(Outcome.SUCCEEDED, output=_encode(value), finish=finish)
    except RecursionError:
        return _malformed("the answer is nested too deep")


def _choice(choice: Answer, interpret: Interpret) -> JsonObject:
    """One of several answers to a request, judged like an only one."""
    judged = _judge_answer(choice, interpret)
    told: JsonObject = {
        "output": None if judged.output is None else msgspec.Raw(judged.output),
        "finish": judged.finish.value,
    }
    if judged.cause is not None:
        told |= {"cause": judged.cause, "message": judged.message, "partial": judged.partial}
    return told | choice.extras


def _told(answer: Answer) -> str:
    """How an answer came to be unusable, with the figures that say what to change."""
    made, reasoning = answer.usage.output_tokens, answer.usage.reasoning_tokens
    what = answer.detail or _UNUSABLE.get(answer.finish, "the answer is empty")
    return f"{what} ({made} output tokens, {reasoning} of them reasoning)"


def _clipped(message: str) -> str:
    return message if len(message) <= MESSAGE_LIMIT else message[: MESSAGE_LIMIT - 1] + "…"
