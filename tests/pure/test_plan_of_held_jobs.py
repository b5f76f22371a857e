"""What a plan still does for a job that a person holds: all but sending."""

import pytest

from batchrun.ledger.states import BatchState
from batchrun.planning.actions import (
    Action,
    Cancel,
    Collect,
    Drop,
    Poll,
    Sweep,
    Upload,
    Wait,
    Work,
    WriteOutputs,
)
from batchrun.planning.facts import BatchFacts, JobFacts, Snapshot
from batchrun.planning.plan import plan

NOW = 1_000_000
HELD = JobFacts(
    id=1,
    profile="openai",
    has_open_items=True,
    is_stale=True,
    is_paused=True,
    is_held=True,
    fresh_files=((1, "m"),),
    queued_due=5,
    queued_since=NOW - 9_000,
    has_calls=True,
)


def batch(state: BatchState, **changes: object) -> BatchFacts:
    facts: dict[str, object] = {
        "id": 7,
        "job": 1,
        "profile": "openai",
        "model": "m",
        "state": state,
    }
    return BatchFacts(**{**facts, **changes})  # type: ignore[arg-type]  # as named


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (batch(BatchState.PLANNED), ()),
        (batch(BatchState.UPLOADED), ()),
        (batch(BatchState.CREATING), (Sweep("openai"),)),
        (batch(BatchState.CREATED), (Poll("openai", (7,)),)),
        (batch(BatchState.CREATED, next_at=NOW + 60), (Wait(NOW + 60),)),
        (batch(BatchState.ENDED), (Collect(7),)),
        (batch(BatchState.PLANNED, cancel_requested=True), (Drop(7),)),
        (batch(BatchState.CREATED, cancel_requested=True), (Poll("openai", (7,)), Cancel(7))),
        (batch(BatchState.COLLECTED, audit_until=NOW + 9), (Sweep("openai"),)),
    ],
)
def test_a_held_job_is_found_polled_collected_and_cancelled_but_not_sent(
    found: BatchFacts, expected: tuple[Action, ...]
) -> None:
    assert plan(Snapshot(jobs=(HELD,), batches=(found,), has_tools=True), NOW) == expected


def test_what_runs_in_our_own_process_rests_while_its_job_is_held() -> None:
    ours = batch(BatchState.CREATED)
    snapshot = Snapshot(jobs=(HELD,), batches=(ours,), in_process=frozenset({"openai"}))
    assert plan(snapshot, NOW) == ()


def test_a_held_job_that_is_cancelled_is_worked_to_its_end() -> None:
    ours = batch(BatchState.CREATED, cancel_requested=True)
    snapshot = Snapshot(jobs=(HELD,), batches=(ours,), in_process=frozenset({"openai"}))
    assert plan(snapshot, NOW) == (Cancel(7), Work("openai"), Poll("openai", (7,)))


def test_outputs_of_a_held_job_without_open_items_are_written() -> None:
    ended = JobFacts(id=1, profile="openai", has_open_items=False, is_stale=True, is_held=True)
    assert plan(Snapshot(jobs=(ended,)), NOW) == (WriteOutputs(1),)


@pytest.mark.parametrize("state", [BatchState.PLANNED, BatchState.UPLOADED])
def test_where_the_service_has_room_for_one_a_held_batch_takes_nobodys_turn(
    state: BatchState,
) -> None:
    other = JobFacts(id=2, profile="openai", has_open_items=True, is_stale=False)
    batches = (batch(state), batch(BatchState.PLANNED, id=8, job=2))
    snapshot = Snapshot(jobs=(HELD, other), batches=batches, holds=(("openai", "m", NOW - 1),))
    assert plan(snapshot, NOW) == (Upload(8),)
