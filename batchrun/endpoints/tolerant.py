"""Reading foreign JSON without trust: every helper takes anything and raises nothing.

Compatible servers send null, "", numbers as strings and objects as JSON strings where OpenAI sends something else; a model's text may
hold anything. All of that ends here, so that the endpoints read plain values.
"""

import json
import re
from collections.abc import Iterator

import msgspec

from batchrun.endpoints.answer import ServiceError
from batchrun.model import Json, JsonObject, Usage

TOKENS_LIMIT = 2**40 - 1  # a larger count is a broken one; millions of these add up within 64 bits

_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def parse(text: str) -> Json:
    """The JSON value of `text`, every string in it valid Unicode; None where `text` is not JSON (or is `null`).

    A lone surrogate, which JSON can spell and UTF-8 cannot, becomes U+FFFD: one broken character must not cost a paid answer.
    """
    try:
        value = _loaded(text)
        if _ESCAPED_SURROGATE.search(text):
            spelled = json.dumps(value, ensure_ascii=False)
            value = json.loads(
                spelled.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            )
    except (ValueError, RecursionError):
        return None
    return value


def _loaded(text: str) -> Json:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise
    except ValueError:
        # An integer of more digits than Python converts, most likely a broken count: it must not cost the answer beside it.
        return json.loads(
            text, parse_int=lambda digits: float(digits) if len(digits) > 4_000 else int(digits)
        )


def as_object(value: Json) -> JsonObject:
    """`value` if it is an object, the object that it spells if it is a string, else {}."""
    if isinstance(value, str):
        value = parse(value)
    return value if isinstance(value, dict) else {}


def objects(value: Json) -> Iterator[JsonObject]:
    """The objects in `value`, if it is an array; whatever else it holds is passed over."""
    if isinstance(value, list):
        for element in value:
            if isinstance(element, dict):
                yield element


def as_text(value: Json) -> str | None:
    """`value` if it is a string with something in it, else None."""
    return value if isinstance(value, str) and value else None


def as_status(value: Json) -> int | None:
    """An HTTP status from 200, "200" or 200.0; None for anything else."""
    if isinstance(value, str):
        value = int(value) if re.fullmatch("[0-9]{1,3}", value) else None
    count = whole(value)
    return count if count is not None and count < 1000 else None


def as_word(value: Json) -> str:
    """A status or reason in lower case, "" where there is none: some servers shout."""
    return value.lower() if isinstance(value, str) else ""


def as_tokens(value: Json) -> int:
    """A count of tokens; 0 for null, text, NaN, negatives and more than TOKENS_LIMIT."""
    return whole(value) or 0


def whole(value: Json) -> int | None:
    """A number that counts something, without its fraction; None for all that counts nothing, or more than TOKENS_LIMIT."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # The comparison is False for NaN, so that int() cannot fail.
    return int(value) if 0 <= value <= TOKENS_LIMIT else None


def usage_of(body: JsonObject, *, given: str, made: str) -> Usage:
    """The tokens of a body; `given` and `made` are the endpoint's words for input and output."""
    usage = as_object(body.get("usage"))
    given_details = as_object(usage.get(f"{given}_tokens_details"))
    made_details = as_object(usage.get(f"{made}_tokens_details"))
    return Usage(
        input_tokens=as_tokens(usage.get(f"{given}_tokens")),
        cached_tokens=as_tokens(given_details.get("cached_tokens")),
        cache_write_tokens=whole(given_details.get("cache_write_tokens")),
        output_tokens=as_tokens(usage.get(f"{made}_tokens")),
        reasoning_tokens=as_tokens(made_details.get("reasoning_tokens")),
    )


def error_of(value: Json) -> ServiceError | None:
    """The error in `value`: an object, a bare sentence, or one wrapped in {"error": …}; None where there is none."""
    if isinstance(value, dict) and value:
        inner = value.get("error")
        if isinstance(inner, dict | str) and inner:
            return error_of(inner)
        code = value.get("code")
        message = value.get("message") or value.get("detail")
        return ServiceError(
            code=as_text(code),
            kind=as_text(value.get("type")),
            message=as_text(message) or (spelled(message) if message else None),
            status=as_status(code),
        )
    if isinstance(value, str) and value:
        return ServiceError(message=value)
    return None


def spelled(value: Json) -> str:
    """`value` as compact JSON text."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def kept_text(value: Json) -> str:
    """`value` as the text that a string is meant to be: itself, JSON of anything else, and nothing of null."""
    if value is None:
        return ""
    return value if isinstance(value, str) else spelled(value)


def arguments(value: Json) -> Json:
    """A tool call's arguments: the JSON that they spell, or the text itself where they spell none."""
    if not isinstance(value, str):
        return value
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, RecursionError):
        return value
