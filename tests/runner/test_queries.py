"""What is asked of the ledger where jobs are large: never every item for one batch, one pass, or one id."""

import contextlib
import re
from collections.abc import Iterator

import pytest
from runnerkit import NewWorld, World, items

from batchrun.ledger.connection import Ledger
from batchrun.ledger.snapshot import take_snapshot
from batchrun.ledger.wishes import check_retry, count_retry
from batchrun.model import Limits
from batchrun.planning import plan
from batchrun.running.cutting import cut_queued
from batchrun.service.responders.script import Rule

SCANS_ITEMS = re.compile(r"SCAN (i|item_rows)\b")


@contextlib.contextmanager
def plans_of(ledger: Ledger) -> Iterator[list[tuple[str, str]]]:
    """(statement, one line of SQLite's plan for it) of everything asked in the block."""
    asked: list[str] = []
    plans: list[tuple[str, str]] = []
    ledger.connection.set_trace_callback(asked.append)
    try:
        yield plans
    finally:
        ledger.connection.set_trace_callback(None)
    for sql in dict.fromkeys(asked):
        if sql.startswith(("select", "insert", "update", "delete")):
            steps = ledger.connection.execute(f"explain query plan {sql}").fetchall()
            plans += [(sql, step[3]) for step in steps]


def waiting(new_world: NewWorld, count: int = 40, **settings: Limits) -> World:
    """A job whose items all wait for their second attempt."""
    world = new_world(script=[Rule(times=1, status=500)], **settings)
    world.write(items(count))
    world.submit()
    world.run_until(lambda: world.tally() == {"pending": count})
    return world


def test_many_cuts_read_the_queue_once_and_never_scan_the_items(new_world: NewWorld) -> None:
    world = waiting(new_world, limits=Limits(request_count=5))
    with world.ledger() as ledger:
        job = ledger.value("select id from jobs")
        now = world.clock.now() + 3_600
        with plans_of(ledger) as plans:
            assert len(cut_queued(ledger, job, world.limits, now)) == 8
    assert not [plan for plan in plans if SCANS_ITEMS.match(plan[1])]
    assert len([1 for _, step in plans if "queue_by_job" in step]) == 1
    world.run()
    assert world.tally() == {"succeeded": 40}
    assert set(world.executions().values()) == {2}


def test_a_fresh_file_that_is_broken_up_is_found_without_a_scan_and_sent_with_the_cut(
    new_world: NewWorld,
) -> None:
    world = new_world()
    world.write(items(10))
    world.submit(send=False)
    world.write(items(10)[:6])
    world.submit(send=False)
    world.write(items(10))
    world.submit(send=False)  # four items wait in the queue, and their file is still fresh
    with world.ledger() as ledger:
        job = ledger.value("select id from jobs")
        with plans_of(ledger) as plans:
            (batch,) = cut_queued(ledger, job, world.limits, world.clock.now())
        assert ledger.value("select request_count from batch_rows where id = ?", (batch,)) == 10
    assert not [plan for plan in plans if SCANS_ITEMS.match(plan[1])]
    world.run()
    assert set(world.executions().values()) == {1}


def test_ids_are_found_by_the_index(new_world: NewWorld) -> None:
    world = new_world(script=[Rule(times=1, status=400)])
    world.write(items(5))
    world.submit()
    world.run()
    with world.ledger() as ledger:
        job = ledger.value("select id from jobs")
        with plans_of(ledger) as plans:
            check_retry(ledger, job, {"items": ["i1", "i2"], "redo": False})
            assert count_retry(ledger, job, {"items": ["i1", "i2", "i1"]}) == 2
    steps = [step for _, step in plans if re.search(r"\b(i|item_rows)\b", step)]
    assert steps
    for step in steps:
        assert "INTEGER PRIMARY KEY" in step or "(job=? AND key=?)" in step


def test_items_without_ids_are_found_by_their_names(new_world: NewWorld) -> None:
    world = new_world(script=[Rule(times=1, status=400)])
    world.write([{"text": f"text {n}"} for n in range(3)])
    world.submit()
    world.run()
    world.api().retry("reviews", ["reviews.jsonl:3"])
    world.run()
    assert list(world.states().values()) == ["failed", "succeeded", "failed"]


def test_planning_counts_a_long_queue_no_further_than_it_cares(
    new_world: NewWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    from batchrun.ledger import snapshot

    monkeypatch.setattr(snapshot, "RETRY_GATHER_COUNT", 7)
    world = waiting(new_world)
    later = world.clock.now() + 3_600
    with world.ledger() as ledger:
        with plans_of(ledger) as plans:
            (job,) = take_snapshot(ledger, later).jobs
        assert job.queued_due == 7
        assert job.queued_since == ledger.value("select min(not_before) from queue")
        (before,) = take_snapshot(ledger, world.clock.now()).jobs
        assert (before.queued_due, before.queued_next_at) == (0, job.queued_since)
    assert plan.RETRY_GATHER_COUNT > 7
    steps = [step for _, step in plans if "queue" in step]
    assert steps
    for step in steps:
        assert "(job=? AND not_before" in step
