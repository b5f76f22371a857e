"""What can come back: the answer inside a body, the error inside a line, and the reading that the ledger stores."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

import msgspec

from batchrun.model import Json, JsonObject, Usage
from batchrun.planning.classify import Outcome

NO_TOKENS = Usage()


class Finish(StrEnum):
    """Why the model stopped. The order is fixed: its position is what the ledger stores."""

    NONE = "none"  # there is no answer
    STOP = "stop"
    LENGTH = "length"
    REFUSAL = "refusal"
    CONTENT_FILTER = "content_filter"
    TOOL_CALLS = "tool_calls"


class Reading(msgspec.Struct, frozen=True, gc=False):
    """One result line, read. A msgspec struct: it is made a million times, at a third of what a tuple with names costs.

    `output` is one JSON value in UTF-8 (text and label as JSON strings, an embedding as an array of numbers), there exactly when the
    outcome is SUCCEEDED; otherwise `cause` is a key of `planning.causes.CAUSES` and `message` is the service's words or ours.
    `partial` is the text of an answer that was cut, refused or broke its schema. `custom_id` is None where the line is not ours to place.
    Tokens are as the service counted them, 0 where it did not, also for failures; all fit 64 bits. `cache_write_tokens` is None where it did
    not, since older models bill no such tokens and newer ones do. `extras` is a JSON object of what came
    beside the text, of failures too; see `extras.EXTRAS`.
    """

    custom_id: str | None
    outcome: Outcome
    cause: str | None
    message: str | None
    output: bytes | None
    partial: str | None
    finish: Finish
    input_tokens: int
    cached_tokens: int
    cache_write_tokens: int | None
    output_tokens: int
    reasoning_tokens: int
    model: str | None
    request_id: str | None
    extras: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceError:
    """An error object in whatever shape it came; `kind` is its "type", `status` the HTTP status that some put into "code"."""

    code: str | None = None
    kind: str | None = None
    message: str | None = None
    status: int | None = None

    def __str__(self) -> str:
        """`code: message`, as much of it as there is."""
        return ": ".join(part for part in (self.code or self.kind, self.message) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A response body of one endpoint, read tolerantly and not yet judged.

    `text` is all visible text or None; `refusal` the words of a refusal; `value` what is not text (a vector). `error` stands where the
    service answered 200 and put a failure inside. `detail` explains a finish that is not a plain stop. `pending` are calls of other kinds
    that wait for the caller, by their name in `extras`, which has everything that came beside the text. `choices` are all of them, where
    several were asked: answers of their own, of which this is the first.
    """

    finish: Finish = Finish.NONE
    text: str | None = None
    refusal: str | None = None
    tool_calls: tuple[JsonObject, ...] = ()
    pending: JsonObject = field(default_factory=dict)
    value: Json = None
    error: ServiceError | None = None
    mismatch: "Mismatch | None" = None
    detail: str | None = None
    usage: Usage = NO_TOKENS
    model: str | None = None
    extras: JsonObject = field(default_factory=dict)
    choices: tuple["Answer", ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """Why what was given is no valid answer to the job; `cause` is a key of CAUSES."""

    cause: str
    message: str


# A text's output as JSON bytes, or why there is none. Takes text without lone surrogates; raises nothing.
Interpret: TypeAlias = Callable[[str], bytes | Mismatch]
