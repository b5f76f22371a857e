"""The frame of the fast path: types that only a plain success fits.

Nearly every line of a result file is a success of the commonest shape, and reading it is the hottest loop of COLLECT. So each endpoint
spells that shape in types, all of it: a line that is anything else does not decode, and goes to the careful path, where
every oddity has its one place. A test holds the two paths to the same reading.

gc=False everywhere: these objects live for one line and hold no cycle.
"""

from typing import Annotated, Final, Generic, Literal, TypeVar

import msgspec

from batchrun.endpoints.answer import Finish, Reading
from batchrun.endpoints.tolerant import TOKENS_LIMIT
from batchrun.planning.classify import Outcome

# Looking up an enum's member is not free.
_SUCCEEDED: Final = Outcome.SUCCEEDED
_STOP: Final = Finish.STOP

Body = TypeVar("Body")

Tokens = Annotated[int, msgspec.Meta(ge=0, le=TOKENS_LIMIT)]
NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
Nothing = Annotated[list[msgspec.Raw], msgspec.Meta(max_length=0)]  # an array with nothing in it


class Response(msgspec.Struct, Generic[Body], gc=False):
    """`response` of a result line."""

    status_code: Literal[200]
    body: Body
    request_id: str | None = None


class Line(msgspec.Struct, Generic[Body], gc=False):
    """A result line; `Line[X]` has an X for its body."""

    custom_id: NonEmpty
    response: Response[Body]
    error: None = None


class GivenDetails(msgspec.Struct, gc=False):
    """Details of the input's tokens."""

    cached_tokens: Tokens = 0
    cache_write_tokens: Tokens | None = None


class MadeDetails(msgspec.Struct, gc=False):
    """Details of the output's tokens."""

    reasoning_tokens: Tokens = 0


class Usage(msgspec.Struct, gc=False):
    """The tokens of a request, in the words of /v1/responses."""

    input_tokens: Tokens
    output_tokens: Tokens = 0
    input_tokens_details: GivenDetails | None = None
    output_tokens_details: MadeDetails | None = None


class PromptUsage(Usage, gc=False):
    """The same in the words of the other endpoints."""

    input_tokens: Tokens = msgspec.field(name="prompt_tokens")
    output_tokens: Tokens = msgspec.field(default=0, name="completion_tokens")
    input_tokens_details: GivenDetails | None = msgspec.field(
        default=None, name="prompt_tokens_details"
    )
    output_tokens_details: MadeDetails | None = msgspec.field(
        default=None, name="completion_tokens_details"
    )


class PlainBody(msgspec.Struct, kw_only=True, gc=False):
    """What the bodies of most endpoints have in common."""

    usage: Usage
    model: str | None = None
    error: None = None


Plain = TypeVar("Plain", bound=PlainBody)


def success(line: Line[Plain], output: bytes, extras: bytes | None = None) -> Reading:
    """The reading of an answer that stopped by itself."""
    response = line.response
    body = response.body
    usage = body.usage
    given, made = usage.input_tokens_details, usage.output_tokens_details
    return Reading(
        line.custom_id,
        _SUCCEEDED,
        None,
        None,
        output,
        None,
        _STOP,
        usage.input_tokens,
        0 if given is None else given.cached_tokens,
        None if given is None else given.cache_write_tokens,
        usage.output_tokens,
        0 if made is None else made.reasoning_tokens,
        body.model or None,
        response.request_id or None,
        extras,
    )
