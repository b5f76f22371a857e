"""What is said of a deadline, before and after: the warnings of a submit, the pace that is counted on, the report and the status."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from livekit import HOUR_S, TWIN, LiveWorld, run_until_live, world_at
from runnerkit import items

from batchrun.clock import rfc3339
from batchrun.ledger.deadlines import pace_here
from batchrun.planning.deadline import Pace


@pytest.mark.parametrize(
    ("taken_s", "expected"),
    [
        ((), 10.0),  # nothing was seen yet
        ((40, 40, 90_000), 40.0),  # one lay about for a night, since nobody went on with it
        ((20, 60, 40, 80), 60.0),  # rather too long than too short
        ((0,), 1.0),
    ],
)
def test_live_answers_are_counted_on_to_take_what_they_took_in_most_batches(
    tmp_path: Path, taken_s: tuple[int, ...], expected: float
) -> None:
    world = LiveWorld(tmp_path)
    rows = [{**row, "model": f"m{n // 2}"} for n, row in enumerate(items(2 * len(taken_s)))]
    world.write(rows or items(1), deadline="1m" if taken_s else "9h")
    world.submit()
    if taken_s:
        world.run(most=20)
    with world.ledger() as ledger:
        for batch, seconds in enumerate(taken_s, start=1):
            ledger.execute(
                "update batch_rows set ended_at = created_at + ? where id = ? and profile = ?",
                (seconds, batch, TWIN),
            )
        found = pace_here(ledger, 1, Pace(profile=TWIN, concurrency=8))
        ledger.execute("update batch_rows set remote_status = 'expired'")
        unseen = pace_here(ledger, 1, Pace(profile=TWIN, concurrency=8))
    assert (found.answer_s, unseen.answer_s) == (expected, 10.0)
    sent = world.batches()
    assert found.tokens_each == sum(b["input_bytes"] for b in sent) / 4 / max(len(rows), 1)
    world.close()


def test_the_report_and_status_say_how_a_deadline_was_met(tmp_path: Path) -> None:
    world = world_at(tmp_path)
    (status,) = world.api().status()
    due = world.clock.now() + 2 * HOUR_S
    assert (status.deadline_at, status.live_since) == (due, None)
    world.run(most=100)
    (status,) = world.api().status()
    found = json.loads(world.output("report.json"))["deadline"]
    assert status.live_since is not None
    assert found == {
        "at": rfc3339(due),
        "met": True,
        "live_since": rfc3339(status.live_since),
        "by_batch": 3,
        "live": 5,
        "why_late": None,
    }
    assert b"3 answered by batch, 5 live" in world.output("report.md")
    world.close()


def test_a_cancel_that_took_too_long_is_what_the_report_names(tmp_path: Path) -> None:
    world = world_at(tmp_path)
    run_until_live(world)
    world.wire.edit = lambda batch: (
        replace(batch, status="cancelling") if batch.status == "cancelled" else batch
    )
    world.clock.advance(2 * HOUR_S)
    world.tick()
    world.wire.edit = lambda batch: batch
    world.clock.advance(HOUR_S)
    world.run(most=100)
    found = json.loads(world.output("report.json"))["deadline"]
    assert found["met"] is False
    assert "to end, and nothing of them is asked twice" in found["why_late"]
    assert b", missed: the batches" in world.output("report.md")
    world.close()


@pytest.mark.parametrize(
    ("deadline", "backend", "expected"),
    [
        ("20m", "openai", "leaves no time for a batch: 4 items"),
        ("40m", "openai", "leaves a batch 9 minutes"),
        ("8h", "openai", None),
        ("8h", "local", "changes nothing for 'local'"),
    ],
)
def test_a_deadline_that_disappoints_is_warned_of(
    tmp_path: Path, deadline: str, backend: str, expected: str | None
) -> None:
    world = LiveWorld(tmp_path)
    world.write(items(4), deadline=deadline, backend=backend)
    (checked,) = world.api().check((world.job_file,))
    said = [problem.what for problem in checked.warnings if "'deadline'" in problem.what]
    assert len(said) == (expected is not None)
    assert expected is None or expected in said[0]
    world.close()
