"""The books: counts are those of the rows, and the log of events leads to the states that are stored."""

from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from typing import Final

from batchrun.ledger.connection import Ledger
from batchrun.ledger.states import (
    BATCH_INITIAL,
    BATCH_TRANSITIONS,
    BatchEvent,
    BatchState,
    ItemState,
)
from batchrun.verifying.visible import end_item

_BATCH_EVENTS: Final = frozenset(map(str, BatchEvent))
_QUOTED_EVENTS: Final = ", ".join(f"'{event}'" for event in BatchEvent)
_Key = tuple[int, int, int]  # job, state, vanished


def counts_match_items(ledger: Ledger) -> Iterator[str]:
    """`item_counts` against the rows themselves."""
    rows = ledger.rows(
        "select job, state, vanished, count(*) as n from item_rows where id < ? group by 1, 2, 3",
        (end_item(ledger),),
    )
    found = Counter({(row["job"], row["state"], row["vanished"]): row["n"] for row in rows})
    yield from _differences(_counted(ledger), found, "by their rows")


def events_give_counts(ledger: Ledger) -> Iterator[str]:
    """The log of what happened to items, added up."""
    replayed: Counter[_Key] = Counter()
    for row in ledger.rows("select job, event, before, after, n, vanished from events order by id"):
        if row["event"] in _BATCH_EVENTS:
            continue
        job, n, vanished = row["job"], row["n"], row["vanished"]
        is_flagged = row["event"] in {"vanished", "returned"}
        if row["before"] is not None:
            replayed[job, row["before"], 1 - vanished if is_flagged else vanished] -= n
        if row["after"] is not None:
            replayed[job, row["after"], vanished] += n
    yield from _differences(_counted(ledger), replayed, "by the log of events")


def events_give_batches(ledger: Ledger) -> Iterator[str]:
    """The log of each batch: one legal step after the other, from nothing to the state that is stored."""
    rows = ledger.rows(
        "select b.id, b.state, b.creates, e.event, e.before, e.after from batch_rows b left join events e on e.batch = b.id "
        f"and e.event in ({_QUOTED_EVENTS}) order by b.id, e.id"
    )
    for batch, steps in groupby(rows, key=itemgetter("id")):
        at: int | None = None
        intents = 0
        for step in steps:
            event = step["event"]
            if event is None:
                break
            if step["before"] != at:
                yield f"batch {batch}: event {event!r} begins in {_state(step['before'])}, but the one before led to {_state(at)}"
            if step["after"] != _after(step["before"], event):
                yield f"batch {batch}: event {event!r} cannot lead from {_state(step['before'])} to {_state(step['after'])}"
            at = step["after"]
            intents += event == BatchEvent.INTENT
        if at != step["state"]:
            yield f"batch {batch} is {_state(step['state'])}, but its events end in {_state(at)}"
        if intents < step["creates"]:
            yield f"batch {batch} was created {step['creates']} times, after {intents} intents"


def _counted(ledger: Ledger) -> Counter[_Key]:
    rows = ledger.rows("select job, state, vanished, n from item_counts")
    return Counter({(row["job"], row["state"], row["vanished"]): row["n"] for row in rows})


def _differences(counted: Counter[_Key], found: Counter[_Key], where: str) -> Iterator[str]:
    for key in sorted(counted.keys() | found.keys()):
        if counted[key] != found[key]:
            job, state, vanished = key
            gone = " and gone from the data" if vanished else ""
            yield f"job {job}: {counted[key]:,} items are counted as {_item_state(state)}{gone}, {found[key]:,} {where}"


def _after(before: int | None, event: str) -> int | None:
    """Where the tables of states.py lead, or None where they lead nowhere."""
    known = BatchEvent(event)
    if before is None:
        return BATCH_INITIAL.get(known)
    if before not in BATCH_TRANSITIONS:
        return None
    return BATCH_TRANSITIONS[BatchState(before)].get(known)


def _state(state: int | None) -> str:
    if state is None:
        return "nothing"
    return BatchState(state).name.lower() if state in BATCH_TRANSITIONS else f"state {state}"


def _item_state(state: int) -> str:
    names = {int(known): known.name.lower() for known in ItemState}
    return names.get(state, f"state {state}")
