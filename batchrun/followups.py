"""What is asked next when an answer was given and is not the last: the same conversation, carried on. Pure.

A first request is rendered once and never changes; what it became is that request and its turns, each of them the consequence of one
answer. So nothing is rendered again, and the same turns give the same bytes whoever composes them.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec
import xxhash

from batchrun.endpoints import ENDPOINTS
from batchrun.endpoints.base import Endpoint
from batchrun.endpoints.calling import ToolCall
from batchrun.endpoints.tolerant import as_object
from batchrun.model import Json, JsonObject, RepairSettings

REPAIRABLE: Final = frozenset({"invalid_json", "schema_mismatch", "label_mismatch"})
CUT: Final = "length"
CALLS: Final = "calls"  # the kind of a turn that waits until its calls are answered
_GROWTH: Final = 2  # a cut answer gets twice the room, and then twice that
_COMPLAINT: Final = "This answer cannot be used: {message}\n\nAnswer again: the whole corrected answer and nothing else."
_COMPLAINS: Final = _COMPLAINT.partition("{")[0]
_USERS: Final = frozenset({"user", "system", "developer"})  # who says what no turn adds

_encode: Final = msgspec.json.Encoder().encode
_encode_sorted: Final = msgspec.json.Encoder(order="sorted").encode
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

    `answer` is its text, `request` the request that was answered (see `composed`); a broken one has no turn. `repairs`: how many this
    item has had.
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
    if (free := freed(choice)) != choice:
        changes["tool_choice"] = free
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
    endpoint, body = ENDPOINTS[request["url"]], request["body"]
    for turn in turns:
        if turn.additions:
            body = endpoint.continued(body, turn.additions)
        body = {**body, **turn.changes}
    return bytes(_encode({**request, "body": body})[1:])


class Said(NamedTuple):
    """A request as a conversation.

    `stages` are digests of it without what turns may have added at its end, from all of that away to nothing away: the last one is of
    the whole. None of them tells of the parameters that turns may change: `model`, `caps` (which bound an answer, None where there is
    none) and `choice` (whether a function must be called).
    """

    stages: tuple[bytes, ...]
    model: Json
    caps: tuple[Json, ...]
    choice: Json


def said_in(tail: bytes) -> Said | None:
    """What a request says, given as in `composed`; None where it is no conversation, or no request of ours."""
    try:
        endpoint, body = _parts(tail)
    except (msgspec.DecodeError, KeyError):
        return None
    key = endpoint.conversation_key
    if key is None:
        return None
    said = endpoint.continued(body, ())[key]
    first = len(said)
    if said and (_is_complaint(said[-1]) or _is_returned(said[-1])):
        while first and (_is_complaint(said[first - 1]) or not _is_users(said[first - 1])):
            first -= 1
    may_change = {key, "model", "tool_choice", *endpoint.cap_keys}
    rest = {name: value for name, value in body.items() if name not in may_change}
    hasher = xxhash.xxh3_128(_encode_sorted([endpoint.url, rest]))
    stages = []
    for number, entry in enumerate((None, *said)):
        hasher.update(_encode_sorted(entry))
        if number >= first:
            stages.append(hasher.digest())
    caps = tuple(body.get(name) for name in endpoint.cap_keys)
    return Said(tuple(stages), body.get("model"), caps, body.get("tool_choice"))


def _is_complaint(entry: Json) -> bool:
    is_users = isinstance(entry, dict) and entry.get("role") == "user"
    return is_users and str(as_object(entry).get("content")).startswith(_COMPLAINS)


def _is_returned(entry: Json) -> bool:
    found = as_object(entry)
    return found.get("role") == "tool" or found.get("type") == "function_call_output"


def _is_users(entry: Json) -> bool:
    return not isinstance(entry, dict) or entry.get("role") in _USERS


def may_go_on(wanted: RepairSettings | None, first: Said, later: Said) -> bool:
    """Whether turns, of which repairs are as `wanted`, may have made `later` of `first`, with whose last stage one of its own agrees.

    Only parameters are compared; of `first`, the stages are not needed but to tell whether `later` says more.
    """
    wanted = wanted or RepairSettings()
    is_longer = first.stages[-1] != later.stages[-1]
    models = {first.model, wanted.model} if is_longer and wanted.model else {first.model}
    choices = (first.choice, freed(first.choice)) if is_longer else (first.choice,)
    return (
        later.model in models
        and later.choice in choices
        and all(
            now == then or _has_grown(then, now, wanted.max_output_tokens)
            for then, now in zip(first.caps, later.caps, strict=True)
        )
    )


def _has_grown(then: Json, now: Json, limit: int | None) -> bool:
    return type(then) is int and type(now) is int and limit is not None and then < now <= limit


def freed(choice: Json) -> Json:
    """A `tool_choice` that demands no call, else as it was: a model that must call could never come to an end.

    Where it allows some functions only, it goes on to do so; the two endpoints say that at different depths.
    """
    if not isinstance(choice, dict):
        return "auto" if choice == "required" else choice
    if choice.get("type") == "allowed_tools":
        if isinstance(inner := choice.get("allowed_tools"), dict):
            return {**choice, "allowed_tools": _optional(inner)}
        return _optional(choice)
    return "auto" if choice.get("type") == "function" else choice


def _optional(allowed: JsonObject) -> JsonObject:
    return {**allowed, "mode": "auto"} if allowed.get("mode") == "required" else allowed


def _parts(tail: bytes) -> tuple[Endpoint, JsonObject]:
    request = _decode(b"{" + tail)
    return ENDPOINTS[request["url"]], request["body"]
