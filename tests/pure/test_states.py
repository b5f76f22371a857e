"""The tables of states: total, reachable, final where they say so, and the only source of transitions."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from enum import IntEnum, StrEnum

import pytest

from batchrun.errors import IllegalTransition
from batchrun.ledger.states import (
    BATCH_INITIAL,
    BATCH_TRANSITIONS,
    FINAL_BATCH_STATES,
    IS_OPEN_BATCH,
    IS_OPEN_ITEM,
    ITEM_INITIAL,
    ITEM_TRANSITIONS,
    NEXT_ACTION,
    OPEN_ITEM_STATES,
    BatchEvent,
    BatchState,
    ItemEvent,
    ItemState,
    advance_batch,
    advance_item,
    state_machine_markdown,
)


def reachable(
    initial: Mapping[StrEnum, IntEnum], table: Mapping[IntEnum, Mapping[StrEnum, IntEnum]]
) -> set[IntEnum]:
    found: set[IntEnum] = set()
    waiting = list(initial.values())
    while waiting:
        state = waiting.pop()
        if state not in found:
            found.add(state)
            waiting += table[state].values()
    return found


def test_the_tables_speak_of_every_state() -> None:
    assert set(ITEM_TRANSITIONS) == set(ItemState)
    assert set(BATCH_TRANSITIONS) == set(BatchState)
    assert set(NEXT_ACTION) == set(BatchState)


@pytest.mark.parametrize(
    ("sql", "is_open"),
    [
        *((IS_OPEN_ITEM.replace("state", str(int(s))), s in OPEN_ITEM_STATES) for s in ItemState),
        *(
            (IS_OPEN_BATCH.replace("state", str(int(s))), s not in FINAL_BATCH_STATES)
            for s in BatchState
        ),
    ],
)
def test_sql_calls_open_what_the_tables_call_open(sql: str, is_open: bool) -> None:
    with closing(sqlite3.connect(":memory:")) as database:
        assert database.execute(f"select {sql}").fetchone() == (is_open,)


def test_every_state_can_be_reached() -> None:
    assert reachable(ITEM_INITIAL, ITEM_TRANSITIONS) == set(ItemState)  # type: ignore[arg-type]  # enums of ours
    assert reachable(BATCH_INITIAL, BATCH_TRANSITIONS) == set(BatchState)  # type: ignore[arg-type]


def test_every_event_happens_somewhere() -> None:
    item_events = {e for row in ITEM_TRANSITIONS.values() for e in row} | set(ITEM_INITIAL)
    batch_events = {e for row in BATCH_TRANSITIONS.values() for e in row} | set(BATCH_INITIAL)
    assert item_events == set(ItemEvent)
    assert batch_events == set(BatchEvent)


def test_an_event_is_told_from_the_other_kind_by_its_name() -> None:
    """The log of events holds both kinds."""
    assert not set(map(str, ItemEvent)) & set(map(str, BatchEvent))


def test_from_every_state_of_a_batch_an_end_can_be_reached() -> None:
    for state in BatchState:
        assert FINAL_BATCH_STATES & reachable({BatchEvent.PLANNED: state}, BATCH_TRANSITIONS)  # type: ignore[arg-type]


def test_nothing_leads_out_of_an_end_but_what_was_lost_or_refused_can_reappear() -> None:
    assert BATCH_TRANSITIONS[BatchState.REJECTED] == {BatchEvent.REAPPEARED: BatchState.CREATED}
    assert BATCH_TRANSITIONS[BatchState.COLLECTED] == {}
    assert BATCH_TRANSITIONS[BatchState.LOST] == {BatchEvent.REAPPEARED: BatchState.ENDED}
    assert {BatchState.COLLECTED, BatchState.REJECTED, BatchState.LOST} == FINAL_BATCH_STATES


def test_a_settled_item_moves_only_when_someone_asks_again_or_its_lost_batch_reappears() -> None:
    asked = {ItemEvent.REQUEUED: ItemState.PENDING, ItemEvent.REVISED: ItemState.PENDING}
    for state in (ItemState.SUCCEEDED, ItemState.CANCELLED):
        assert ITEM_TRANSITIONS[state] == asked
    failed = asked | {ItemEvent.REOPENED: ItemState.IN_FLIGHT}
    assert ITEM_TRANSITIONS[ItemState.FAILED] == failed


def test_nothing_is_created_but_after_a_committed_intent() -> None:
    before = {s for s, row in BATCH_TRANSITIONS.items() if row.get(BatchEvent.CREATED)}
    assert before == {BatchState.CREATING}
    intents = {s for s, row in BATCH_TRANSITIONS.items() if row.get(BatchEvent.INTENT)}
    assert intents == {BatchState.UPLOADED}


def test_the_stored_numbers_never_change() -> None:
    assert [(s.name, int(s)) for s in ItemState] == [
        ("PENDING", 0),
        ("IN_FLIGHT", 1),
        ("SUCCEEDED", 2),
        ("FAILED", 3),
        ("CANCELLED", 4),
    ]
    assert [(s.name, int(s)) for s in BatchState] == [
        ("PLANNED", 0),
        ("UPLOADED", 1),
        ("CREATING", 2),
        ("CREATED", 3),
        ("ENDED", 4),
        ("COLLECTED", 5),
        ("REJECTED", 6),
        ("LOST", 7),
    ]


def test_advancing_follows_the_table() -> None:
    for state, row in ITEM_TRANSITIONS.items():
        for event, after in row.items():
            assert advance_item(state, event) == after
    for batch_state, batch_row in BATCH_TRANSITIONS.items():
        for batch_event, batch_after in batch_row.items():
            assert advance_batch(batch_state, batch_event) == batch_after


def test_what_is_not_in_the_table_is_illegal_and_says_so() -> None:
    with pytest.raises(IllegalTransition) as caught:
        advance_item(ItemState.SUCCEEDED, ItemEvent.ASSIGNED)
    assert str(caught.value) == (
        "illegal transition: event 'assigned' in state 'succeeded'. "
        "This is a bug in batchrun: please report it with this message."
    )
    for state in BatchState:
        for event in set(BatchEvent) - set(BATCH_TRANSITIONS[state]):
            with pytest.raises(IllegalTransition):
                advance_batch(state, event)


def test_the_page_names_every_transition() -> None:
    text = state_machine_markdown()
    for state, row in BATCH_TRANSITIONS.items():
        for event, after in row.items():
            assert f"| {state.name.lower()} | {event} | {after.name.lower()} |" in text
