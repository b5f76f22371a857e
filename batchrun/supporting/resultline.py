"""A result line as support knows it: what the service calls this exchange, and how it ended. Of the answer itself nothing is taken. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec

from batchrun.endpoints.tolerant import as_object, as_status, error_of
from batchrun.model import Json
from batchrun.supporting.redacting import redacted, texts_in

# Whatever a service calls something: no sentence is taken for a name.
_NAME: Final = re.compile(r"[\w.:/@+=\[\]-]{1,200}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """`line_id` and `request_id` are the service's (of the line, and of the request as its logs have it), `answer_id` that of the response.

    `message` is what it said, redacted; None where it said nothing, or where nothing is there to hold it against.
    """

    line_id: str | None = None
    request_id: str | None = None
    answer_id: str | None = None
    status: int | None = None
    model: str | None = None
    code: str | None = None
    kind: str | None = None
    param: str | None = None
    message: str | None = None
    is_withheld: bool = False


def exchange_of(
    line: bytes | None, request: Json, *, ours: Iterable[str], secrets: tuple[str, ...]
) -> Exchange:
    """What a raw result line tells of its exchange. `request` is what was sent, None where it is gone: then its words are withheld."""
    try:
        result = as_object(msgspec.json.decode(line or b"{}"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Exchange()
    response = as_object(result.get("response"))
    body = as_object(response.get("body"))
    error = error_of(result.get("error")) or error_of(body.get("error"))
    said = None if error is None else error.message
    known = (*ours, *texts_in(request), *texts_in(body, leave_out=frozenset({"error"})))

    def name(value: Json) -> str | None:
        return named(value, secrets)

    return Exchange(
        line_id=name(result.get("id")),
        request_id=name(response.get("request_id")),
        answer_id=name(body.get("id")),
        status=as_status(response.get("status_code")),
        model=name(body.get("model")),
        code=None if error is None else named(error.code, secrets, known),
        kind=None if error is None else named(error.kind, secrets, known),
        param=named(as_object(body.get("error")).get("param"), secrets, known),
        message=redacted(said, secrets=secrets, ours=known) if said and request else None,
        is_withheld=bool(said) and not request,
    )


def named(value: Json, secrets: Iterable[str] = (), ours: Iterable[str] = ()) -> str | None:
    """A name that the service gave, without keys and whatever else it repeats of ours; None for whatever looks like none."""
    if not isinstance(value, str) or _NAME.fullmatch(value) is None:
        return None
    return redacted(value, secrets=secrets, ours=ours)
