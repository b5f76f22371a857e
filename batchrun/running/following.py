"""Conversations that go on, between the ledger and `followups`: the turn that an answer calls for, and the request that turns make."""

import os
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from batchrun.endpoints.answer import Finish, Reading
from batchrun.endpoints.tolerant import as_object, parse
from batchrun.errors import LedgerError
from batchrun.followups import CALLS, CUT, REPAIRABLE, Turn, calling_turn, composed, next_turn
from batchrun.ledger.connection import Ledger
from batchrun.ledger.opencalls import no_open_call
from batchrun.ledger.requestfiles import read_tail
from batchrun.ledger.states import ItemEvent
from batchrun.ledger.turns import turns_of
from batchrun.model import JobSettings, RepairSettings
from batchrun.planning.classify import Outcome

_NAMED_CHARACTERS: Final = 200  # of the names that a model gave, in a message
_GOES_ON: Final = REPAIRABLE | {CUT}


class Following(NamedTuple):
    """How an answer is read in its conversation. `turn`, and the event that it is, where another request follows."""

    reading: Reading
    turn: Turn | None = None
    event: ItemEvent | None = None


def follow(
    ledger: Ledger, settings: JobSettings, item: int, reading: Reading, line: bytes
) -> Following:
    """What follows this reading of an item's answer, `line` being the answer as it came.

    Nothing follows where the job wants nothing of the kind, or has had as many turns as it wants. `settings` are the job's own, with
    the endpoint that was asked.
    """
    is_call = reading.finish is Finish.TOOL_CALLS and reading.outcome == Outcome.SUCCEEDED
    if settings.rounds is not None and is_call:
        return _called(ledger, settings, item, reading, line)
    turn = None if settings.repair is None else _repair(ledger, settings.repair, item, reading)
    return Following(reading, turn, None if turn is None else ItemEvent.REPAIR)


def uncalled(reading: Reading) -> Reading:
    """The reading of an answer whose calls nobody wants run any more."""
    message = "cancelled before the functions were run that its answer calls"
    return msgspec.structs.replace(reading, cause="cancelled", message=message, output=None)


def _called(
    ledger: Ledger, settings: JobSettings, item: int, reading: Reading, line: bytes
) -> Following:
    # Where the spool does not have the request, the next batch says so; what the answer calls is known all the same.
    turns = turns_of(ledger, item)
    request = _answered(ledger, item, turns) or _bare(settings.endpoint)
    result = as_object(parse(line.decode("utf-8", "replace").removeprefix("\ufeff")))
    turn = calling_turn(
        [tool["name"] for tool in settings.tools],
        answer=as_object(as_object(result.get("response")).get("body")),
        request=request,
    )
    if turn is None:
        return Following(reading)
    named = ", ".join(dict.fromkeys(call.name for call in turn.calls))[:_NAMED_CHARACTERS]
    if ledger.value(f"select not {no_open_call('?')}", (item,)):
        # Only a recovery brings an answer to a request that goes on from calls which this ledger has not answered.
        return _failed(reading, "lost_calls", f"it calls {named}")
    rounds = sum(turn.kind == CALLS for turn in turns)
    if settings.rounds is not None and rounds >= settings.rounds:
        return _failed(reading, "tool_rounds", f"it calls {named} after {rounds} rounds")
    return Following(reading, turn, ItemEvent.CALLED)


def _failed(reading: Reading, cause: str, message: str) -> Following:
    failed = msgspec.structs.replace(
        reading, outcome=Outcome.FAILED, cause=cause, message=message, output=None
    )
    return Following(failed)


def _bare(endpoint: str) -> bytes:
    return bytes(msgspec.json.encode({"url": endpoint, "body": {}})[1:])


def _repair(ledger: Ledger, wanted: RepairSettings, item: int, reading: Reading) -> Turn | None:
    if reading.outcome != Outcome.FAILED or reading.cause not in _GOES_ON:
        return None
    turns = turns_of(ledger, item)
    request = _answered(ledger, item, turns)
    if request is None:
        return None
    return next_turn(
        wanted,
        cause=reading.cause,
        message=reading.message or "",
        answer=reading.partial,
        request=request,
        repairs=sum(turn.kind == "repair" for turn in turns),
    )


def request_now(ledger: Ledger, item: int, first: bytes) -> bytes:
    """The bytes that the item asks now, `first` being its first request. Raises LedgerError where they cannot be made."""
    try:
        return composed(first, turns_of(ledger, item))
    except (msgspec.DecodeError, KeyError) as exc:
        raise LedgerError(
            f"item {item}: its request in the spool is damaged ({exc}). Restore the home from a backup; "
            "`batchrun verify` names the file."
        ) from exc


def _answered(ledger: Ledger, item: int, turns: Sequence[Turn]) -> bytes | None:
    """The request that the item's answer answers; None where the spool does not have it, or it was damaged since it was sent."""
    first = _first_request(ledger, item)
    try:
        return None if first is None else composed(first, turns)
    except (msgspec.DecodeError, KeyError):
        return None


def _first_request(ledger: Ledger, item: int) -> bytes | None:
    """None where the spool does not have it: then nothing can follow."""
    row = ledger.row("select file, offset from item_rows where id = ?", (item,))
    if row is None or row["file"] is None:
        return None
    try:
        descriptor = os.open(ledger.home.request_file(row["file"]), os.O_RDONLY)
    except OSError:
        return None
    try:
        return read_tail(descriptor, row["offset"])
    finally:
        os.close(descriptor)
