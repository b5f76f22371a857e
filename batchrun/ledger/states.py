"""Every state that the ledger stores, and every transition of items and batches. Nothing else in batchrun decides what may follow what.

The tables are data: a missing key *is* the illegal transition. `docs/state-machine.md` is generated from this file
(`python -m batchrun.ledger.states`) and a test compares the two. The numbers are what the ledger stores: they are never reused.
"""

from collections.abc import Mapping
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Final

from batchrun.errors import IllegalTransition


class ItemState(IntEnum):
    """Where one item stands. An item has at most one open attempt: exactly while it is IN_FLIGHT."""

    PENDING = 0
    IN_FLIGHT = 1
    SUCCEEDED = 2
    FAILED = 3
    CANCELLED = 4


class ItemEvent(StrEnum):
    """What can happen to an item."""

    ADDED = "added"  # read from the job file for the first time
    BAD = "bad"  # read, unusable, and within the job's bad_items
    ASSIGNED = "assigned"  # put into a batch
    SUCCEEDED = "succeeded"  # answered
    SHARED = "shared"  # answered, by the answer to an equal request
    RETRY = "retry"  # not answered, worth another attempt; one is spent
    REPAIR = "repair"  # answered, but of no use: the conversation goes on with what was wrong; one attempt is spent
    CALLED = "called"  # answered by calls of functions: the conversation goes on with what they return; one attempt is spent
    RELEASED = "released"  # never ran: goes again, free of charge
    SUPERSEDED = (
        "superseded"  # settled, but the item had changed meanwhile: the new revision goes out
    )
    GAVE_UP = "gave_up"  # refused for good, or out of attempts
    CANCELLED = "cancelled"  # the user's wish, once nothing of it can run any more
    REQUEUED = "requeued"  # the user asks again
    REVISED = "revised"  # submitted again with another request
    REOPENED = "reopened"  # its batch was given up as lost, or refused, and is there all the same


class BatchState(IntEnum):
    """Where one batch of ours stands; the service's own word is kept beside it in `remote_status`."""

    PLANNED = 0
    UPLOADED = 1
    CREATING = 2
    CREATED = 3
    ENDED = 4
    COLLECTED = 5
    REJECTED = 6
    LOST = 7


class SubmissionState(IntEnum):
    """Where a submission stands. Only a ready one counts: `verifying/visible.py` tells what the other hides."""

    PREPARING = 0
    READY = 1


class FileState(IntEnum):
    """Where a request file stands."""

    WRITING = 0
    FRESH = 1  # its items wait for a batch
    USED = 2
    REMOVED = 3  # no longer on disk, or to go from there: pruned, or a copy that no batch needs


class BatchEvent(StrEnum):
    """What can happen to a batch."""

    PLANNED = "planned"  # items assigned, token minted, input file immutable on disk
    UPLOADED = "uploaded"  # the service has the input file
    UPLOAD_LOST = (
        "upload_lost"  # the service no longer knows that file: it expired, or was never visible
    )
    INTENT = "intent"  # committed *before* POST /batches
    CREATED = "created"  # the answer names a batch with our input file, or a sweep found it
    DECLINED = "declined"  # known dead, input file intact: not sent at all, or refused for now (a rate limit, a key)
    ABSENT = "absent"  # known dead, and the input file is gone or must be new: refused, or fenced and swept twice
    ENDED = "ended"  # the service says completed, failed, expired or cancelled
    COLLECTED = "collected"  # every attempt settled in one transaction
    LOST = (
        "lost"  # the service no longer knows the batch, or an intent grew too old to be disproved
    )
    REAPPEARED = "reappeared"  # a batch that was lost or refused is there all the same: items not asked again meanwhile reopen
    REJECTED = (
        "rejected"  # the service will not run it and did not bill it: items released or failed
    )


IS, IE, BS, BE = ItemState, ItemEvent, BatchState, BatchEvent  # only for the tables below

ITEM_INITIAL: Final[Mapping[ItemEvent, ItemState]] = MappingProxyType(
    {IE.ADDED: IS.PENDING, IE.BAD: IS.FAILED}
)
ITEM_TRANSITIONS: Final[Mapping[ItemState, Mapping[ItemEvent, ItemState]]] = MappingProxyType(
    {
        IS.PENDING: {
            IE.ASSIGNED: IS.IN_FLIGHT,
            IE.SHARED: IS.SUCCEEDED,
            IE.CANCELLED: IS.CANCELLED,
            IE.REVISED: IS.PENDING,
            IE.REOPENED: IS.IN_FLIGHT,
        },
        IS.IN_FLIGHT: {
            IE.SUCCEEDED: IS.SUCCEEDED,
            IE.RETRY: IS.PENDING,
            IE.REPAIR: IS.PENDING,
            IE.CALLED: IS.PENDING,
            IE.RELEASED: IS.PENDING,
            IE.SUPERSEDED: IS.PENDING,
            IE.GAVE_UP: IS.FAILED,
            IE.CANCELLED: IS.CANCELLED,
        },
        IS.SUCCEEDED: {IE.REQUEUED: IS.PENDING, IE.REVISED: IS.PENDING},
        IS.FAILED: {
            IE.REQUEUED: IS.PENDING,
            IE.REVISED: IS.PENDING,
            IE.REOPENED: IS.IN_FLIGHT,
        },
        IS.CANCELLED: {IE.REQUEUED: IS.PENDING, IE.REVISED: IS.PENDING},
    }
)
OPEN_ITEM_STATES: Final = frozenset({IS.PENDING, IS.IN_FLIGHT})
IS_OPEN_ITEM: Final = f"state <= {int(IS.IN_FLIGHT)}"  # in SQL; an alias may stand before it

BATCH_INITIAL: Final[Mapping[BatchEvent, BatchState]] = MappingProxyType({BE.PLANNED: BS.PLANNED})
BATCH_TRANSITIONS: Final[Mapping[BatchState, Mapping[BatchEvent, BatchState]]] = MappingProxyType(
    {
        BS.PLANNED: {BE.UPLOADED: BS.UPLOADED, BE.REJECTED: BS.REJECTED},
        BS.UPLOADED: {
            BE.INTENT: BS.CREATING,
            BE.UPLOAD_LOST: BS.PLANNED,
            BE.REJECTED: BS.REJECTED,
        },
        BS.CREATING: {
            BE.CREATED: BS.CREATED,
            BE.DECLINED: BS.UPLOADED,
            BE.ABSENT: BS.PLANNED,
            BE.REJECTED: BS.REJECTED,
            BE.LOST: BS.LOST,
        },
        BS.CREATED: {BE.ENDED: BS.ENDED, BE.LOST: BS.LOST},
        BS.ENDED: {
            BE.COLLECTED: BS.COLLECTED,
            BE.UPLOAD_LOST: BS.PLANNED,
            BE.REJECTED: BS.REJECTED,
            BE.LOST: BS.LOST,
        },
        BS.COLLECTED: {},
        BS.REJECTED: {BE.REAPPEARED: BS.CREATED},
        BS.LOST: {BE.REAPPEARED: BS.ENDED},
    }
)
# States in which a batch holds no item in flight. A lost one is looked for a while longer, and nobody waits for it.
FINAL_BATCH_STATES: Final = frozenset({BS.COLLECTED, BS.REJECTED, BS.LOST})
IS_OPEN_BATCH: Final = f"state < {int(BS.COLLECTED)}"  # in SQL, in the words of the index `batches_open`; an alias may stand before it

NEXT_ACTION: Final[Mapping[BatchState, str]] = MappingProxyType(
    {
        BS.PLANNED: "upload the input file",
        BS.UPLOADED: "commit the intent, then create",
        BS.CREATING: "find it on the service; never create blindly",
        BS.CREATED: "poll, or cancel",
        BS.ENDED: "download both files and settle every attempt",
        BS.COLLECTED: "none: final",
        BS.REJECTED: "where its creation was refused: look once, after SETTLE, whether the service has it all the same",
        BS.LOST: "once a day, until 30 days after its creation: look whether it is there again",
    }
)


def advance_item(state: ItemState, event: ItemEvent) -> ItemState:
    """The state after `event`. Raises IllegalTransition where the table has no such key."""
    try:
        return ITEM_TRANSITIONS[state][event]
    except KeyError:
        raise IllegalTransition(state=state.name.lower(), event=str(event)) from None


def advance_batch(state: BatchState, event: BatchEvent) -> BatchState:
    """The state after `event`. Raises IllegalTransition where the table has no such key."""
    try:
        return BATCH_TRANSITIONS[state][event]
    except KeyError:
        raise IllegalTransition(state=state.name.lower(), event=str(event)) from None


def _table(
    title: str,
    initial: Mapping[ItemEvent, ItemState] | Mapping[BatchEvent, BatchState],
    transitions: Mapping[ItemState, Mapping[ItemEvent, ItemState]]
    | Mapping[BatchState, Mapping[BatchEvent, BatchState]],
) -> list[str]:
    lines = [f"## {title}", "", "```mermaid", "stateDiagram-v2"]
    lines += [f"    [*] --> {to.name.lower()}: {event}" for event, to in initial.items()]
    rows = [
        (state.name.lower(), str(event), to.name.lower())
        for state, row in transitions.items()
        for event, to in row.items()
    ]
    lines += [f"    {a} --> {b}: {event}" for a, event, b in rows]
    lines += ["```", "", "| state | event | next state |", "|---|---|---|"]
    lines += [f"| | {event} | {to.name.lower()} |" for event, to in initial.items()]
    lines += [f"| {a} | {event} | {b} |" for a, event, b in rows]
    return [*lines, ""]


def state_machine_markdown() -> str:
    """The text of docs/state-machine.md."""
    lines = [
        "# State machine",
        "",
        "Generated from `batchrun/ledger/states.py` by `make docs`; do not edit.",
        "",
        *_table("Items", ITEM_INITIAL, ITEM_TRANSITIONS),
        *_table("Batches", BATCH_INITIAL, BATCH_TRANSITIONS),
        "| batch state | what the next pass does |",
        "|---|---|",
        *(f"| {state.name.lower()} | {action} |" for state, action in NEXT_ACTION.items()),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(state_machine_markdown(), end="")  # noqa: T201 - this is the generator
