"""Conversations that go on, between the ledger and `followups`: the turn that an answer calls for, and the request that turns make."""

import os
from typing import Final

import msgspec

from batchrun.endpoints.answer import Reading
from batchrun.errors import LedgerError
from batchrun.followups import CUT, REPAIRABLE, Turn, composed, next_turn
from batchrun.ledger.connection import Ledger
from batchrun.ledger.requestfiles import read_tail
from batchrun.ledger.turns import turns_of
from batchrun.model import RepairSettings
from batchrun.planning.classify import Outcome

_GOES_ON: Final = REPAIRABLE | {CUT}


def turn_after(
    ledger: Ledger, wanted: RepairSettings | None, item: int, reading: Reading
) -> Turn | None:
    """The turn that this reading of the item's answer calls for; None where the job wants none, or has had as many as it wants."""
    if wanted is None or reading.outcome != Outcome.FAILED or reading.cause not in _GOES_ON:
        return None
    first = _first_request(ledger, item)
    if first is None:
        return None
    turns = turns_of(ledger, item)
    return next_turn(
        wanted,
        cause=reading.cause,
        message=reading.message or "",
        answer=reading.partial,
        request=composed(first, turns),
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
