"""What is asked next when an answer was given and is not the last: the same conversation, carried on. Pure.

A first request is rendered once and never changes; what it became is that request and its turns, each of them the consequence of one
answer. So nothing is rendered again, and the same turns give the same bytes whoever composes them.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from batchrun.endpoints import endpoint_of
from batchrun.endpoints.base import Endpoint
from batchrun.endpoints.calling import ToolCall
from batchrun.model import Json, JsonObject, RepairSettings

REPAIRABLE: Final = frozenset({"invalid_json", "schema_mismatch", "label_mismatch"})
CUT: Final = "length"
CALLS: Final = "calls"  # the kind of a turn that waits until its calls are answered
_GROWTH: Final = 2  # a cut answer gets twice the room, and then twice that
_COMPLAINT: Final = "This answer cannot be used: {message}\n\nAnswer again: the whole corrected answer and nothing else."

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What one answer adds to the request that follows it.

    `kind`: repair (the answer and what is wrong with it are shown), grow (more room), calls (`calls` are answered). `additions` go to the
    end of the conversation, `changes` are parameters that replace the request's own.
    """

    kind: str
    additions: tuple[Json, ...] = ()
    changes: JsonObject = field(default_factory=dict)
    calls: tuple[ToolCall, ...] = ()


def next_turn(
    wanted: RepairSettings,
    *,
    cause: str,
    message: str,
    answer: str | None,
    request: bytes,
    repairs: int,
) -> Turn | None:
    """The turn after an answer that failed with `cause`, or None: give it up.

    `answer` is its text. `request`: the request that was answered (see `composed`), None-safe only in that a broken one gives no turn.
    `repairs`: repairs that this item has had.
    """
    try:
        endpoint, body = _parts(request)
    except (msgspec.DecodeError, KeyError):
        return None
    if cause == CUT:
        return _grown(wanted, endpoint, body)
    if cause not in REPAIRABLE or not answer or endpoint.conversation_key is None:
        return None
    if repairs < wanted.attempts:
        changes: JsonObject = {}
    elif repairs == wanted.attempts and wanted.model is not None:
        changes = {"model": wanted.model}
    else:
        return None
    complaint = _COMPLAINT.format(message=message)
    return Turn(
        kind="repair",
        additions=(
            {"role": "assistant", "content": answer},
            {"role": "user", "content": complaint},
        ),
        changes=changes,
    )


def _grown(wanted: RepairSettings, endpoint: Endpoint, body: JsonObject) -> Turn | None:
    limit = wanted.max_output_tokens
    for key in endpoint.cap_keys:
        cap = body.get(key)
        if type(cap) is int and limit is not None and cap < limit:
            return Turn(kind="grow", changes={key: min(cap * _GROWTH, limit)})
    return None


def calling_turn(names: Collection[str], *, answer: JsonObject, request: bytes) -> Turn | None:
    """The turn after an answer (a response body) that calls functions, still without what they return; None where it calls others.

    `names` are the functions that are run here. One that the request declares and that is none of them is the user's own: its call is
    the answer. Any other name is the model's invention, and the model is told so.
    """
    try:
        endpoint, body = _parts(request)
    except (msgspec.DecodeError, KeyError):
        return None
    if endpoint.calling is None:
        return None
    said = endpoint.calling.said(answer, body)
    if said is None:
        return None
    others = set(endpoint.calling.declared(body)).difference(names)
    if any(call.name in others for call in said.calls):
        return None
    changes: JsonObject = {}
    choice = body.get("tool_choice")
    if choice == "required" or (isinstance(choice, dict) and choice.get("type") == "function"):
        changes["tool_choice"] = "auto"  # a model that must call could never come to an end
    return Turn(kind=CALLS, additions=said.additions, changes=changes, calls=said.calls)


def told_in(request: bytes) -> dict[str, str]:
    """What a request tells the model of its calls, by call id; of an id that was given twice, the later."""
    try:
        endpoint, body = _parts(request)
    except (msgspec.DecodeError, KeyError):
        return {}
    return {} if endpoint.calling is None else dict(endpoint.calling.told(body))


def composed(tail: bytes, turns: Sequence[Turn]) -> bytes:
    """The request that the turns make of the first one. Both are the bytes of a line behind its custom_id, without the newline.

    Raises msgspec.DecodeError and KeyError for bytes that are no request of ours.
    """
    if not turns:
        return tail
    request = _decode(b"{" + tail)
    endpoint, body = endpoint_of(request["url"]), request["body"]
    for turn in turns:
        if turn.additions:
            body = endpoint.continued(body, turn.additions)
        body = {**body, **turn.changes}
    return bytes(_encode({**request, "body": body})[1:])


def goes_on_from(first: bytes, later: bytes) -> bool:
    """Whether `later` is what turns made of the request `first`: the same, with more said at the end, another model or another cap.

    A model that had to call a function need not do so again.
    """
    if first == later:
        return False
    try:
        (endpoint, asked), (other, body) = _parts(first), _parts(later)
    except (msgspec.DecodeError, KeyError):
        return False
    key = endpoint.conversation_key
    if endpoint is not other or key is None:
        return False
    begun, said = endpoint.continued(asked, ())[key], endpoint.continued(body, ())[key]
    may_differ = {key, "model", "tool_choice", *endpoint.cap_keys}
    return bool(
        said[: len(begun)] == begun
        and {k: v for k, v in asked.items() if k not in may_differ}
        == {k: v for k, v in body.items() if k not in may_differ}
    )


def _parts(tail: bytes) -> tuple[Endpoint, JsonObject]:
    request = _decode(b"{" + tail)
    return endpoint_of(request["url"]), request["body"]
