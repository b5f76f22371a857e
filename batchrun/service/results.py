"""The lines of output and error files, and what one of them says about success and usage. Pure.

Source of the shapes: OpenAI's Batch guide and its published line schema: an answer with HTTP status 200 belongs to the output file,
everything else to the error file, where `response` is null only for lines
that were never executed, and for those of which nobody knows it.
"""

import msgspec

from batchrun.model import Json, JsonObject, Usage
from batchrun.service.responders.base import Reply

_EXPIRED = {
    "code": "batch_expired",
    "message": "This request could not be executed before the completion window expired.",
}


def answered_line(custom_id: str, reply: Reply, *, line_id: str, request_id: str) -> bytes:
    """The result line of an executed request, with its newline."""
    response = {"status_code": reply.status_code, "request_id": request_id, "body": reply.body}
    line = {"id": line_id, "custom_id": custom_id, "response": response, "error": None}
    return msgspec.json.encode(line) + b"\n"


def expired_line(custom_id: str, *, line_id: str) -> bytes:
    """The error line of a request that the window closed upon, with its newline."""
    line = {"id": line_id, "custom_id": custom_id, "response": None, "error": _EXPIRED}
    return msgspec.json.encode(line) + b"\n"


def uncertain_line(custom_id: str, message: str, *, line_id: str) -> bytes:
    """The error line of a request that may have been executed, without anybody knowing its answer, with its newline.

    OpenAI has no such line; the code is ours, and its readers know it.
    """
    error = {"code": "outcome_unknown", "message": message}
    line = {"id": line_id, "custom_id": custom_id, "response": None, "error": error}
    return msgspec.json.encode(line) + b"\n"


def usage_of(body: JsonObject) -> Usage:
    """The tokens that an answer's body counts, whatever its endpoint calls them; zeros where it counts none."""
    usage = body.get("usage")
    if not isinstance(usage, dict):
        return Usage()
    inputs = usage.get("input_tokens_details") or usage.get("prompt_tokens_details")
    outputs = usage.get("output_tokens_details") or usage.get("completion_tokens_details")
    return Usage(
        input_tokens=_count(usage, "input_tokens") or _count(usage, "prompt_tokens"),
        cached_tokens=_count(inputs, "cached_tokens"),
        output_tokens=_count(usage, "output_tokens") or _count(usage, "completion_tokens"),
        reasoning_tokens=_count(outputs, "reasoning_tokens"),
    )


def _count(holder: Json, key: str) -> int:
    value = holder.get(key) if isinstance(holder, dict) else None
    return value if type(value) is int else 0
