"""A job with a deadline: by batch as long as that can be, then live, and nothing is asked in both."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from livekit import HOUR_S, LINE_S, TWIN, LiveWorld, run_until_live, world_at
from runnerkit import items

from batchrun.backends.base import RemoteBatch
from batchrun.errors import AuthError, BackendError, NotFound, Refused, Transient
from batchrun.ledger.deadlines import BY_DEADLINE, go_live
from batchrun.model import Account, Limits
from batchrun.running.passresult import PassResult
from batchrun.service.options import Options
from batchrun.service.responders.script import Rule

SCRIPT = [
    Rule(prompt="text 6", times=1, status=500),  # asked again
    Rule(prompt="text 2", status=400),  # fails for good
]


def later(world: LiveWorld) -> PassResult:
    """A pass, and time until the next one."""
    result = world.tick()
    world.serve()
    assert result.next_at is not None
    world.clock.sleep_until(result.next_at)
    return result


def test_half_of_a_job_by_batch_and_the_rest_live_gives_what_either_gives_alone(
    tmp_path: Path,
) -> None:
    outputs = []
    kinds: dict[str, str | None] = {
        "batch": None,
        "half": "8h",
        "live": "1m",
    }  # a minute is too short for a batch
    for name, deadline in kinds.items():
        world = world_at(tmp_path / name, script=list(SCRIPT), deadline=deadline)
        if deadline is None:
            world.clock.advance(12 * HOUR_S)
            world.serve()
        world.run(most=100)
        here = str(world.folder).encode()
        outputs.append(
            [world.output(f).replace(here, b"") for f in ("results.jsonl", "failures.jsonl")]
        )
        assert world.executions() == {number: 2 if number == 7 else 1 for number in range(1, 9)}
        profiles = set(world.profiles())
        assert profiles == {"batch": {"openai"}, "half": {"openai", TWIN}, "live": {TWIN}}[name]
        world.close()
    assert outputs == [outputs[0]] * 3


def test_a_batch_that_ends_before_its_deadline_is_near_is_all_there_is(tmp_path: Path) -> None:
    world = world_at(tmp_path, count=2)
    world.run(most=100)
    assert world.profiles() == ["openai"]
    assert world.rows("select live_since from jobs") == [{"live_since": None}]
    world.close()


def test_nothing_goes_live_before_the_cancelled_batch_is_collected(tmp_path: Path) -> None:
    world = world_at(tmp_path)
    is_ending = True

    def endless(batch: RemoteBatch) -> RemoteBatch:
        return (
            replace(batch, status="cancelling")
            if is_ending and batch.status == "cancelled"
            else batch
        )

    world.wire.edit = endless
    run_until_live(world)
    for _ in range(20):
        moment = world.tick().next_at
        assert moment is not None
        world.serve()
        world.clock.sleep_until(moment)
    assert world.profiles() == ["openai"]
    assert world.states() == dict.fromkeys(world.states(), "in_flight")
    is_ending = False
    world.run(most=100)
    assert world.profiles() == ["openai", TWIN]
    assert set(world.executions().values()) == {1}
    world.close()


def test_a_batch_whose_creation_is_in_doubt_is_found_before_its_items_go_live(
    tmp_path: Path,
) -> None:
    world = LiveWorld(tmp_path, options=Options(line_s=HOUR_S))
    world.wire.delays = (600,)  # it comes ten minutes late, and was answered with a timeout
    world.write(items(4), deadline="40m")
    world.submit()
    assert [row["name"] for row in world.batches()] == ["creating"]
    world.run(most=100)
    assert world.profiles() == ["openai", TWIN]
    assert set(world.executions().values()) == {1}
    assert world.tally() == {"succeeded": 4}
    world.close()


def test_where_there_is_no_time_for_a_batch_none_is_created(tmp_path: Path) -> None:
    world = LiveWorld(tmp_path)
    world.write(items(4), deadline="20m")
    world.submit()
    world.run(most=100)
    assert world.remotes() == []
    assert world.profiles() == [TWIN]
    assert set(world.executions().values()) == {1}
    world.close()


@pytest.mark.parametrize(
    "error", [Refused("no cancelling here"), Transient("busy"), NotFound("no such way")]
)
def test_a_service_that_never_cancels_keeps_its_batch_to_the_end_and_all_of_it_is_collected(
    tmp_path: Path, error: BackendError
) -> None:
    world = world_at(tmp_path, count=4)
    asked = []

    def refuse(batch_id: str) -> RemoteBatch:
        asked.append(world.clock.now())
        raise error

    world.wire.cancel = refuse  # type: ignore[method-assign]
    world.run(most=100)
    assert world.tally() == {"succeeded": 4}
    assert world.profiles() == ["openai"]
    assert set(world.executions().values()) == {1}
    assert len(asked) > 1
    world.close()


def test_videos_do_not_go_live_for_there_is_none_when_their_request_is_answered(
    tmp_path: Path,
) -> None:
    world = LiveWorld(tmp_path, options=Options(line_s=2 * HOUR_S))
    world.write(
        items(1), deadline="1h", endpoint="/v1/videos", model="sora-2", max_output_tokens=None
    )
    prepared = world.submit()
    assert "changes nothing for /v1/videos" in prepared.warnings[-1].what
    world.run(most=100)
    assert world.profiles() == ["openai"]
    assert world.tally() == {"succeeded": 1}
    world.close()


def test_six_batches_that_a_deadline_takes_back_pause_nothing(tmp_path: Path) -> None:
    world = LiveWorld(tmp_path, options=Options(line_s=10 * HOUR_S))
    rows = items(6)
    for number, row in enumerate(rows):
        row["model"] = f"model-{number}"
    world.write(rows, deadline="8h")
    world.submit()
    world.clock.advance(7 * HOUR_S)
    world.run(most=100)
    assert world.profiles() == ["openai"] * 6 + [TWIN] * 6
    assert world.rows("select paused from jobs") == [{"paused": None}]
    assert world.tally() == {"succeeded": 6}
    world.close()


def counting(completed: int | None) -> Callable[[RemoteBatch], RemoteBatch]:
    """A service whose cancelled batches count so many executed requests; None: it counts nothing."""

    def counted(batch: RemoteBatch) -> RemoteBatch:
        if batch.status != "cancelled":
            return batch
        raw = {
            **batch.raw,
            "request_counts": None
            if completed is None
            else {"total": 8, "completed": completed, "failed": 0},
        }
        return replace(
            batch, raw=raw, completed_count=completed or 0, total_count=8 if completed else 0
        )

    return counted


@pytest.mark.parametrize(
    ("completed", "causes"),
    [
        (3, set()),  # what its counts say is what came back
        (4, {"uncertain"}),  # one more was executed: any of the missing may be it
        (None, {"uncertain"}),  # and where it counts nothing, nothing is shown
    ],
)
def test_lines_that_a_cancelled_batch_lacks_are_asked_again_only_where_none_of_them_ran(
    tmp_path: Path, completed: int | None, causes: set[str]
) -> None:
    world = world_at(tmp_path)
    world.wire.edit = counting(completed)
    world.run(most=100)
    assert set(world.failures().values()) == causes
    left = 0 if causes else 5
    assert sum(row["request_count"] for row in world.batches() if row["profile"] == TWIN) == left
    assert set(world.executions().values()) == {1}
    world.close()


def test_the_job_line_may_have_what_is_uncertain_asked_again(tmp_path: Path) -> None:
    world = world_at(tmp_path, uncertain="retry")
    world.wire.edit = counting(4)
    world.run(most=100)
    assert world.tally() == {"succeeded": 8}
    assert world.profiles() == ["openai", TWIN]
    world.close()


def test_what_a_person_cancelled_is_uncertain_too_where_it_may_have_run(tmp_path: Path) -> None:
    world = world_at(tmp_path)
    world.wire.edit = counting(4)
    world.api().cancel("reviews")
    world.run(most=100)
    assert world.tally() == {"succeeded": 3, "failed": 5}
    assert set(world.failures().values()) == {"uncertain"}
    world.close()


def test_a_submit_that_asks_nothing_new_moves_no_deadline_and_one_that_does_begins_the_night_anew(
    tmp_path: Path,
) -> None:
    world = world_at(tmp_path, count=9)
    (first,) = world.rows("select deadline_at from jobs")
    assert first["deadline_at"] == world.clock.now() + 2 * HOUR_S
    world.submit()
    assert world.rows("select deadline_at from jobs") == [first]
    world.write(items(9), deadline="9h")
    world.submit()
    (second,) = world.rows("select deadline_at from jobs")
    assert second["deadline_at"] == world.clock.now() + 9 * HOUR_S
    run_until_live(world)
    assert world.rows("select sends_to from jobs") == [{"sends_to": TWIN}]
    world.write(items(10), deadline="9h")
    world.submit()
    (third,) = world.rows("select deadline_at, live_since, sends_to from jobs")
    assert third == {
        "deadline_at": world.clock.now() + 9 * HOUR_S,
        "live_since": None,
        "sends_to": None,
    }
    assert world.profiles()[-1] == "openai"
    world.close()


@pytest.mark.parametrize(("late_s", "profile"), [(0, TWIN), (10 * HOUR_S, "openai")])
def test_a_retry_is_live_before_the_deadline_and_by_batch_after_it(
    tmp_path: Path, late_s: int, profile: str
) -> None:
    world = world_at(tmp_path, script=[Rule(prompt="text 7", times=1, status=400)])
    world.run(most=100)
    assert world.tally() == {"succeeded": 7, "failed": 1}
    world.clock.advance(late_s)
    world.api().retry("reviews")
    world.tick()
    world.clock.advance(2 * HOUR_S)
    world.serve()
    world.run(most=100)
    assert world.profiles()[-1] == profile
    world.close()


def test_a_batch_that_a_live_job_is_told_of_later_makes_it_no_later_that_it_went_live(
    tmp_path: Path,
) -> None:
    world = world_at(tmp_path)
    run_until_live(world)
    (before,) = world.rows("select live_since from jobs")
    world.clock.advance(600)
    with world.ledger() as ledger, ledger.transaction():
        ledger.execute("update batch_rows set cancel_requested = 0")  # as one that comes back has
    world.run(most=100)
    assert world.rows("select live_since from jobs") == [before]
    assert set(world.executions().values()) == {1}
    world.close()


def test_a_batch_that_is_live_itself_is_not_taken_back(tmp_path: Path) -> None:
    world = LiveWorld(tmp_path, options=Options(line_s=LINE_S))
    world.write([{**row, "model": row["id"]} for row in items(2)], deadline="8h")
    world.submit()
    with world.ledger() as ledger:
        ledger.execute("update batch_rows set profile = ? where id = 2", (TWIN,))
        assert go_live(ledger, job=1, profile=TWIN, at=world.clock.now()) == 1
        found = ledger.rows("select cancel_requested from batch_rows order by id")
        assert [row["cancel_requested"] for row in found] == [BY_DEADLINE, 0]
    world.let_go()


def test_what_goes_live_is_cut_to_what_the_live_profile_takes(tmp_path: Path) -> None:
    world = LiveWorld(tmp_path, twin_limits=Limits(request_count=2))
    world.write(items(5), deadline="1m")
    world.submit()
    world.run(most=100)
    assert [row["request_count"] for row in world.batches()] == [2, 2, 1]
    assert set(world.profiles()) == {TWIN}
    world.close()


def test_a_retry_of_a_late_job_that_has_not_ended_leaves_it_live(tmp_path: Path) -> None:
    world = LiveWorld(
        tmp_path,
        script=[Rule(prompt="text 0", status=400)],
        options=Options(line_s=LINE_S),
    )
    rows = items(8)
    rows[0]["model"] = "another"
    world.write(rows, deadline="8h")
    world.submit()
    is_ending = False
    world.wire.edit = lambda batch: (
        batch if is_ending or batch.status != "cancelled" else replace(batch, status="cancelling")
    )
    world.serve()
    world.clock.advance(6 * HOUR_S)
    run_until_live(world)
    world.clock.advance(HOUR_S)
    world.tick()
    assert world.failures() == {"i0": "bad_request"}
    world.api().retry("reviews")
    is_ending = True
    world.run(most=100)
    assert world.tally() == {"succeeded": 7, "failed": 1}
    assert world.profiles() == ["openai", "openai", TWIN, TWIN]
    world.close()


def test_nothing_is_taken_back_for_a_place_without_a_key(tmp_path: Path) -> None:
    world = world_at(tmp_path, count=4)

    def keyless(salt: bytes) -> Account:
        raise AuthError("no key")

    world.twin.account = keyless  # type: ignore[method-assign]
    assert "no key" in {str(problem) for _ in range(12) for problem in later(world).problems}
    assert [row["cancel_requested"] for row in world.batches()] == [0]
    world.clock.advance(3 * HOUR_S)
    world.serve()
    world.run(most=20)
    assert world.tally() == {"succeeded": 4}
    assert world.profiles() == ["openai"]
    world.close()


def test_a_person_who_cancels_a_job_that_goes_live_cancels_all_of_it(tmp_path: Path) -> None:
    world = world_at(tmp_path)
    run_until_live(world)
    assert [row["cancel_requested"] for row in world.batches()] == [2]
    world.api().cancel("reviews")
    world.run(most=100)
    assert world.tally() == {"succeeded": 3, "cancelled": 5}
    assert world.profiles() == ["openai"]
    world.close()


def test_a_deadline_of_a_profile_that_answers_in_our_own_process_moves_nothing(
    tmp_path: Path,
) -> None:
    world = LiveWorld(tmp_path)
    world.write(items(2), backend="local", deadline="1m")
    world.submit()
    world.run(most=100)
    assert set(world.profiles()) == {"local"}
    assert json.loads(world.output("report.json"))["counts"]["succeeded"] == 2
    world.close()
