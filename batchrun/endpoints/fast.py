"""The frame of the fast path: types that only a plain success fits.

Nearly every line of a result file is a success of the commonest shape, and reading it is the hottest loop of COLLECT. So each endpoint
spells that shape in types, all of it: a line that is anything else does not decode, and goes to the careful path, where
every oddity has its one place. A test holds the two paths to the same reading.

gc=False everywhere: these objects live for one line and hold no cycle.
"""

from typing import Annotated, Generic, Literal, TypeVar

import msgspec

from batchrun.endpoints.tolerant import TOKENS_LIMIT

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


class MadeDetails(msgspec.Struct, gc=False):
    """Details of the output's tokens."""

    reasoning_tokens: Tokens = 0
