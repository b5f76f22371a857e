"""Planning over a few batches leaves everything else as it stands."""

from batchrun.ledger.states import BatchState
from batchrun.planning.actions import Create, RunCalls, WriteOutputs
from batchrun.planning.confined import Confined, confined
from batchrun.planning.facts import BatchFacts, JobFacts, Snapshot
from batchrun.planning.plan import plan

NOW = 1_000


def batch(number: int, job: int, state: BatchState = BatchState.UPLOADED) -> BatchFacts:
    return BatchFacts(id=number, job=job, profile="openai", model="m", state=state)


def job(number: int, *, has_open_items: bool = True, has_calls: bool = False) -> JobFacts:
    return JobFacts(
        id=number,
        profile="openai",
        has_open_items=has_open_items,
        is_stale=True,
        fresh_files=((1, "m"),),
        queued_due=3,
        queued_next_at=NOW + 1,
        queued_since=1,
        has_calls=has_calls,
    )


SNAPSHOT = Snapshot(
    jobs=(job(1), job(2, has_open_items=False)),
    batches=(batch(1, 1), batch(2, 1), batch(3, 2), batch(4, 1, BatchState.CREATING)),
    untidy=(("openai", 0),),
)


def test_only_the_named_batches_go_on() -> None:
    narrowed = confined(SNAPSHOT, Confined(job=1, batches=frozenset({2}), writes=True))
    assert plan(narrowed, NOW) == (Create(2),)


def test_where_they_are_done_nothing_is_due_whatever_else_waits() -> None:
    narrowed = confined(SNAPSHOT, Confined(job=1, batches=frozenset({9}), writes=True))
    assert plan(narrowed, NOW) == ()


def test_outputs_are_written_only_where_that_is_wanted() -> None:
    to = Confined(job=2, batches=frozenset({9}), writes=True)
    assert plan(confined(SNAPSHOT, to), NOW) == (WriteOutputs(2),)
    assert plan(confined(SNAPSHOT, Confined(job=2, batches=to.batches, writes=False)), NOW) == ()


def test_functions_that_answers_call_are_run() -> None:
    snapshot = Snapshot(jobs=(job(1, has_calls=True),), has_tools=True)
    narrowed = confined(snapshot, Confined(job=1, batches=frozenset(), writes=True))
    assert plan(narrowed, NOW) == (RunCalls(1),)
