"""`hold` stops sending and nothing else; `resume` lets go what a person held or what batchrun paused."""

import json
from pathlib import Path

import pytest
from livekit import LiveWorld
from runnerkit import NewWorld, World, items

from batchrun.errors import Ambiguous
from batchrun.ledger.lock import pass_lock
from batchrun.model import Limits
from batchrun.service.options import Options
from batchrun.service.responders.script import Rule
from batchrun.testing_backend import Fault

REASON = "5 batches in a row came back without any answer"


def paused(world: World) -> World:
    """A job with queued items that batchrun has paused."""
    world.write(items(3))
    world.submit(send=False)
    with world.ledger() as ledger, ledger.transaction():
        ledger.execute("update jobs set paused = ?, releases = 5", (REASON,))
    return world


@pytest.mark.parametrize("job", ["reviews", None])
def test_a_held_job_is_queued_and_not_sent_until_it_is_let_go(
    world: World, job: str | None
) -> None:
    world.write(items(3))
    world.submit(send=False)
    since = world.api().hold(job)
    world.clock.advance(60)
    assert world.run().next_at is None
    assert world.remotes() == []
    assert world.api().resume(job).held_at == since
    world.run()
    assert world.tally() == {"succeeded": 3}


def test_a_home_that_is_held_holds_jobs_that_come_later(world: World) -> None:
    world.home.create()
    world.api().submit(())  # the home's ledger
    world.api().hold()
    world.write(items(3))
    world.submit()
    assert world.tally() == {"pending": 3}
    world.api().resume()
    world.run()
    assert world.tally() == {"succeeded": 3}


def test_what_is_on_the_service_is_collected_and_its_retries_wait(new_world: NewWorld) -> None:
    world = new_world(script=[Rule(prompt="text 1", times=1, status=500)])
    world.write(items(3))
    world.submit()
    world.api().hold("reviews")
    world.run()
    assert world.states() == {"i0": "succeeded", "i1": "pending", "i2": "succeeded"}
    world.clock.advance(86_400)
    world.api().resume("reviews")
    world.run()
    assert world.tally() == {"succeeded": 3}


def test_a_batch_in_doubt_is_found_while_its_job_is_held(new_world: NewWorld) -> None:
    world = new_world(faults=[Fault(call="create", error=Ambiguous("timeout"), when="after")])
    world.write(items(3))
    world.submit()
    world.api().hold("reviews")
    world.run()
    assert world.tally() == {"succeeded": 3}
    assert len(world.remotes()) == 1


def test_a_batch_that_never_was_is_not_sent_while_its_job_is_held(new_world: NewWorld) -> None:
    world = new_world(faults=[Fault(call="create", error=Ambiguous("timeout"))])
    world.write(items(3))
    world.submit()
    world.api().hold("reviews")
    world.run()
    assert (world.tally(), world.remotes()) == ({"in_flight": 3}, [])
    world.api().resume("reviews")
    world.run()
    assert world.tally() == {"succeeded": 3}


def test_a_hold_takes_effect_between_two_steps_of_a_pass_that_is_at_work(
    new_world: NewWorld,
) -> None:
    """Also between two that were planned together."""
    world = new_world(limits=Limits(request_count=2))
    world.write(items(4))
    world.submit(send=False)
    api = world.api()
    upload = world.backend.upload

    def upload_and_hold(*arguments: object, **named: object) -> object:
        world.api().hold("reviews")
        return upload(*arguments, **named)  # type: ignore[arg-type]  # as it was called

    world.backend.upload = upload_and_hold  # type: ignore[method-assign,assignment]  # a person at another terminal
    assert api.tick() is not None
    assert [batch["name"] for batch in world.batches()] == ["uploaded", "planned"]
    assert world.remotes() == []


def test_of_two_jobs_in_our_own_process_the_held_one_rests(tmp_path: Path) -> None:
    world = LiveWorld(tmp_path)
    other = world.folder / "others.jsonl"
    world.write(items(3), backend="local")
    world.write(items(2), path=other, job="others", backend="local")
    world.submit(world.job_file, other)
    world.api().hold("reviews")
    result = world.run()
    assert {job.name: job.exit_code for job in world.api().status()} == {"reviews": 4, "others": 0}
    assert sum(world.executions().values()) == 2
    assert result.next_at is None
    world.api().resume("reviews")
    world.run()
    assert sum(world.executions().values()) == 5
    world.close()


def test_a_hold_is_made_while_another_process_has_the_home(world: World) -> None:
    world.write(items(3))
    world.submit(send=False)
    with pass_lock(world.home, wait_s=0):
        world.api().hold("reviews")
    world.run()
    assert world.tally() == {"pending": 3}


def test_a_held_job_can_be_cancelled(new_world: NewWorld) -> None:
    world = new_world(options=Options(validating_s=10_000))
    world.write(items(3))
    world.submit()
    world.api().hold("reviews")
    world.api().cancel("reviews")
    world.run()
    assert world.tally() == {"cancelled": 3}


def test_a_held_job_in_our_own_process_is_cancelled_without_another_answer(tmp_path: Path) -> None:
    world = LiveWorld(tmp_path)
    world.write(items(3), backend="local")
    world.submit()
    world.api().hold("reviews")
    world.api().cancel("reviews")
    assert world.run().next_at is None
    assert world.tally() == {"cancelled": 3}
    assert not any(world.executions().values())
    world.close()


def test_a_job_that_starts_over_is_held_as_the_one_was_that_had_its_name(world: World) -> None:
    world.write(items(3))
    world.submit(send=False)
    world.api().hold("reviews")
    world.submit(fresh=True)
    world.run()
    assert world.remotes() == []
    world.api().resume("reviews")
    world.run()
    assert world.tally()["succeeded"] == 3


def test_wait_collects_what_is_on_the_service_of_a_held_job_and_then_ends(world: World) -> None:
    world.write(items(3))
    world.submit()
    world.write([*items(3), {"id": "i3", "text": "new"}])
    world.api().hold("reviews")
    world.submit()
    world.serve()
    result, is_done = world.api().wait(["reviews"])
    assert (result.next_at, is_done) == (None, True)
    assert world.tally() == {"succeeded": 3, "pending": 1}
    (status,) = world.api().status()
    assert status.exit_code == 4


def test_holding_twice_is_as_good_as_once(world: World) -> None:
    world.write(items(3))
    world.submit(send=False)
    since = world.api().hold("reviews")
    world.clock.advance(60)
    assert world.api().hold("reviews") == since
    world.api().resume("reviews")
    assert world.api().resume("reviews") == (None, None, None, 0)


def test_a_job_of_a_held_home_is_let_go_with_the_home_only(world: World) -> None:
    world.write(items(3))
    world.submit(send=False)
    world.api().hold("reviews")
    since = world.api().hold()
    assert world.api().resume("reviews").home_held_at == since
    world.run()
    assert world.tally() == {"pending": 3}


def test_a_job_that_batchrun_paused_is_let_go_by_its_name_only(world: World) -> None:
    paused(world)
    world.api().resume()
    assert world.run().next_at is None
    assert world.api().resume("reviews").paused == REASON
    world.run()
    assert world.tally() == {"succeeded": 3}


def test_a_job_that_is_let_go_has_all_its_tries_again_and_a_report_that_says_so(
    world: World,
) -> None:
    world.write(items(3))
    world.submit()
    world.run()
    with world.ledger() as ledger, ledger.transaction():
        ledger.execute("update jobs set paused = ?, releases = 5, stale = 1", (REASON,))
    world.tick()
    assert json.loads(world.output("report.json"))["paused"] == REASON
    world.api().resume("reviews")
    world.tick()
    assert json.loads(world.output("report.json"))["paused"] is None
    assert world.rows("select releases from jobs") == [{"releases": 0}]


def test_status_says_since_when_a_job_is_held(world: World) -> None:
    world.write(items(3))
    world.submit(send=False)
    world.api().hold()
    (job,) = world.api().status()
    assert (job.is_home_held, job.held_since) == (True, world.clock.now())
    (why,) = job.waiting
    assert why.startswith("held since 20")
    assert why.endswith(", with the whole home: nothing more is sent")


def test_a_job_that_is_done_is_not_shown_as_waiting_because_it_is_held(world: World) -> None:
    world.write(items(3))
    world.submit()
    world.run()
    world.api().hold()
    (job,) = world.api().status()
    assert (job.waiting, job.exit_code) == ((), 0)
