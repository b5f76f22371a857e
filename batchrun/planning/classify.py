"""What an error of the service means for the item: ask again, ask again for free, or give up. Tables, not ifs.

Servers agree on little: the same fault comes as an HTTP status, as a code, as a type, or only as a sentence. So the most
telling is asked first (code, then type, then known sentences, then the status class), and a code that nobody has seen before
gets the cause of its status class. The service's own code and words are never lost: they are in the reading's message.

One rule stands above the tables: an answer that was given, and so paid for, is never bought again unasked. A cut, refused or invalid
answer is FAILED; `batchrun retry` asks again when the user says so.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple


class Outcome(StrEnum):
    """What one result line settles for its item."""

    SUCCEEDED = "succeeded"
    RETRY = "retry"  # worth another attempt; this one is spent
    RELEASED = "released"  # never ran and was not charged: another attempt, and none spent
    FAILED = "failed"  # asking again as it is would change nothing, or would pay twice


class Verdict(NamedTuple):
    """An outcome and its cause, a key of `causes.CAUSES`."""

    outcome: Outcome
    cause: str


_RATE_LIMITED = Verdict(Outcome.RETRY, "rate_limited")
_SERVER_ERROR = Verdict(Outcome.RETRY, "server_error")
_TIMEOUT = Verdict(Outcome.RETRY, "timeout")
_UNKNOWN = Verdict(Outcome.RETRY, "unknown")
_GARBLED = Verdict(
    Outcome.RETRY, "bad_request"
)  # a sound request may be answered so, and pass the next time
_EXPIRED = Verdict(Outcome.RELEASED, "expired")
_CANCELLED = Verdict(Outcome.RELEASED, "cancelled")
_QUOTA = Verdict(Outcome.FAILED, "insufficient_quota")
_AUTH = Verdict(Outcome.FAILED, "auth")
_MODEL = Verdict(Outcome.FAILED, "model_not_found")
_CONTEXT = Verdict(Outcome.FAILED, "context_length_exceeded")
_FILTERED = Verdict(Outcome.FAILED, "content_filter")
_UNCERTAIN = Verdict(Outcome.FAILED, "uncertain")  # it may have been executed: as above
_TOO_LARGE = Verdict(Outcome.FAILED, "too_large")
_BAD_REQUEST = Verdict(Outcome.FAILED, "bad_request")

# Error codes and types, lower case. An open set: what is missing here falls through to the sentences and the status.
# Sources: openai 3.54.0 `ResponseError.code`, OpenAI's error guide, and the result lines of compatible servers.
BY_CODE: Mapping[str, Verdict] = {
    "batch_expired": _EXPIRED,
    "batch_cancelled": _CANCELLED,
    "batch_canceled": _CANCELLED,
    "cancelled": _CANCELLED,
    "canceled": _CANCELLED,
    "outcome_unknown": _UNCERTAIN,  # of our own service (service/lines.py)
    "rate_limit_exceeded": _RATE_LIMITED,
    "rate_limit_error": _RATE_LIMITED,
    "too_many_requests": _RATE_LIMITED,
    "toomanyrequests": _RATE_LIMITED,
    "tokens": _RATE_LIMITED,  # OpenAI's `type` says which of the two limits was met
    "requests": _RATE_LIMITED,
    "insufficient_quota": _QUOTA,
    "billing_hard_limit_reached": _QUOTA,
    "billing_not_active": _QUOTA,
    "server_error": _SERVER_ERROR,
    "api_error": _SERVER_ERROR,
    "internal_error": _SERVER_ERROR,
    "internal_server_error": _SERVER_ERROR,
    "internalservererror": _SERVER_ERROR,
    "overloaded_error": _SERVER_ERROR,
    "server_overloaded": _SERVER_ERROR,
    "service_unavailable": _SERVER_ERROR,
    "timeout": _TIMEOUT,
    "request_timeout": _TIMEOUT,
    "gateway_timeout": _TIMEOUT,
    "vector_store_timeout": _TIMEOUT,
    "invalid_api_key": _AUTH,
    "authentication_error": _AUTH,
    "permission_error": _AUTH,
    "permission_denied": _AUTH,
    "unsupported_country_region_territory": _AUTH,
    "model_not_found": _MODEL,
    "deploymentnotfound": _MODEL,
    "context_length_exceeded": _CONTEXT,
    "string_above_max_length": _CONTEXT,
    "content_filter": _FILTERED,
    "content_policy_violation": _FILTERED,
    "moderation_blocked": _FILTERED,
    "invalid_prompt": _FILTERED,
    "bio_policy": _FILTERED,
    "cyber_policy": _FILTERED,
    "misalignment_policy_violation": _FILTERED,
    "responsibleaipolicyviolation": _FILTERED,
    "request_too_large": _TOO_LARGE,
    "data_residency_mismatch": _BAD_REQUEST,
    "invalid_image": _BAD_REQUEST,
    "invalid_image_format": _BAD_REQUEST,
    "invalid_image_mode": _BAD_REQUEST,
    "invalid_image_url": _BAD_REQUEST,
    "invalid_base64_image": _BAD_REQUEST,
    "image_parse_error": _BAD_REQUEST,
    "image_too_small": _BAD_REQUEST,
    "image_file_not_found": _BAD_REQUEST,
    "empty_image_file": _BAD_REQUEST,
    "unsupported_image_media_type": _BAD_REQUEST,
    "image_too_large": _TOO_LARGE,
    "image_file_too_large": _TOO_LARGE,
    "image_content_policy_violation": _FILTERED,
    "failed_to_download_image": _GARBLED,  # the address may answer the next time
}

# Sentences, lower case, for servers that give no code; the first that occurs in the message decides.
BY_SENTENCE: tuple[tuple[str, Verdict], ...] = (
    # A request that was sound is at times called unparsable; a second attempt then passes.
    ("could not parse the json body", _GARBLED),
    ("exceeded your current quota", _QUOTA),
    ("maximum context length", _CONTEXT),
    ("context window", _CONTEXT),
    ("content management policy", _FILTERED),
)

BY_STATUS: Mapping[int, Verdict] = {
    0: _SERVER_ERROR,  # the request never reached a model: no status, no body
    401: _AUTH,
    403: _AUTH,
    408: _TIMEOUT,
    409: _SERVER_ERROR,
    413: _TOO_LARGE,
    425: _SERVER_ERROR,
    429: _RATE_LIMITED,
    504: _TIMEOUT,
    524: _TIMEOUT,
}

# Types too broad to outrank a status; they speak where there is none.
BY_BROAD_TYPE: Mapping[str, Verdict] = {
    "invalid_request_error": _BAD_REQUEST,
    "badrequesterror": _BAD_REQUEST,
    "not_found_error": _BAD_REQUEST,
    "notfounderror": _BAD_REQUEST,
}


def classify(
    status: int | None,
    code: str | None = None,
    kind: str | None = None,
    message: str | None = None,
) -> Verdict:
    """The verdict on a request that got an error instead of an answer.

    `status` is the line's HTTP status_code, None where there was none or where it was 200 with an error inside; `code`, `kind` (the
    JSON's "type") and `message` are the error's own. Never SUCCEEDED.
    """
    for word in (code, kind):
        if word is not None and (verdict := BY_CODE.get(word.lower())) is not None:
            return verdict
    sentence = (message or "").lower()
    for part, verdict in BY_SENTENCE:
        if part in sentence:
            return verdict
    if status is not None:
        return _by_status(status, sentence)
    for word in (code, kind):
        if word is not None and (verdict := BY_BROAD_TYPE.get(word.lower())) is not None:
            return verdict
    return _UNKNOWN


def _by_status(status: int, sentence: str) -> Verdict:
    """The verdict of the status class: 5xx is theirs and passes, 4xx is ours and stays."""
    if (verdict := BY_STATUS.get(status)) is not None:
        return verdict
    if status >= 500:
        return _SERVER_ERROR
    if status == 404 and ("model" in sentence or "deployment" in sentence):
        return _MODEL
    if status >= 400:
        return _BAD_REQUEST
    return _UNKNOWN
