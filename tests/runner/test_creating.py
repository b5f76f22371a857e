"""Between the intent and the answer: nothing is bought twice, nothing that was bought is lost, and certain refusals end."""

from dataclasses import replace
from typing import Any

import pytest
from runnerkit import DAY_S, OPENAI, NewWorld, World, items

from batchrun.backends.base import BatchPage
from batchrun.errors import Ambiguous, NotFound, Transient
from batchrun.service.options import Options
from batchrun.testing_backend import Fault


def lost(**changes: Any) -> Fault:
    """The first create's answer does not come."""
    return Fault(call="create", error=Ambiguous("timed out"), **changes)


def sent(world: World, count: int = 3) -> World:
    world.write(items(count))
    world.submit()
    return world


def assert_answered_once(world: World, count: int = 3) -> None:
    assert world.tally() == {"succeeded": count}
    assert set(world.executions().values()) == {1}


def test_a_batch_whose_answer_was_lost_is_found_and_adopted(new_world: NewWorld) -> None:
    world = sent(new_world(faults=[lost(when="after")]))
    (batch,) = world.batches()
    assert batch["name"] == "creating"
    world.run()
    assert_answered_once(world)
    assert len(world.remotes()) == 1
    assert world.incidents() == []


def test_a_create_that_never_arrived_is_made_anew_after_both_waits(new_world: NewWorld) -> None:
    world = sent(new_world(faults=[lost()]))
    began = world.clock.now()
    world.run_until(lambda: world.batches()[0]["name"] == "created")
    assert world.clock.now() - began >= OPENAI.settle_s + OPENAI.second_settle_s
    world.run()
    assert_answered_once(world)
    assert world.batches()[0]["creates"] == 2


def test_the_new_create_after_an_absent_one_is_audited(new_world: NewWorld) -> None:
    world = sent(new_world(faults=[lost()]))
    world.run_until(lambda: world.batches()[0]["name"] == "created")
    assert world.batches()[0]["audit_until"] > world.clock.now() + OPENAI.second_settle_s


@pytest.mark.parametrize("delay", [30, 600, 899, 901, 3_000, 4_499, 4_501, 10_000, 3 * DAY_S])
@pytest.mark.parametrize("lag", [0, 500])
def test_a_create_that_arrives_late_buys_nothing_twice(
    new_world: NewWorld, delay: int, lag: int
) -> None:
    world = new_world()
    world.wire.delays, world.wire.lag_s = (delay,), lag
    sent(world)
    world.run()
    world.clock.advance(4 * DAY_S)
    world.serve()
    assert_answered_once(world)


def test_a_batch_that_is_listed_late_is_found(new_world: NewWorld) -> None:
    world = new_world(faults=[lost(when="after")])
    world.wire.lag_s = 800
    sent(world).run()
    assert_answered_once(world)
    assert world.batches()[0]["creates"] == 1


def test_a_batch_that_shows_up_after_the_fence_is_adopted(new_world: NewWorld) -> None:
    world = new_world(faults=[lost(when="after")])
    world.wire.lag_s = 2_000
    sent(world).run()
    assert_answered_once(world)
    (batch,) = world.batches()
    assert batch["creates"] == 1
    assert batch["fenced_at"] is not None


def test_an_incomplete_listing_proves_no_absence(new_world: NewWorld) -> None:
    world = new_world(faults=[lost(when="after")])
    world.wire.page = lambda page: BatchPage(batches=(), has_more=True)
    sent(world)
    world.run_until(lambda: world.clock.now() > sent_at(world) + 7_200)
    (batch,) = world.batches()
    assert (batch["name"], batch["fenced_at"]) == ("creating", None)
    assert "not complete" in batch["reason"]
    world.wire.page = lambda page: page
    world.run()
    assert_answered_once(world)


def sent_at(world: World) -> int:
    at: int = world.batches()[0]["intent_at"]
    return at


def test_a_page_that_repeats_the_one_before_proves_no_absence(new_world: NewWorld) -> None:
    world = new_world(faults=[lost(when="after", number=2)])
    other = world.folder / "other.jsonl"
    world.write(items(1), other, job="other")
    world.submit(other)
    world.clock.advance(300)
    sent(world)
    (older,) = (
        b
        for b in world.embedded.list_batches(after=None, limit=2).batches
        if b.metadata["batchrun_job"] == "other"
    )
    # A server that ignores `after`: the batch in question is on a page that never comes.
    world.wire.page = lambda page: replace(page, batches=(older,), has_more=True)
    world.clock.advance(10)
    world.tick()
    batch = world.batches()[1]
    assert batch["name"] == "creating"
    assert "not complete" in batch["reason"]
    world.wire.page = lambda page: page
    world.run()
    assert set(world.executions().values()) == {1}


def test_an_empty_page_after_one_that_promised_more_proves_no_absence(new_world: NewWorld) -> None:
    world = new_world(faults=[lost()])
    pages = [BatchPage(batches=(), has_more=False)]
    other = world.folder / "other.jsonl"
    world.write(items(1), other, job="other")
    sent(world)  # in doubt
    world.run_until(lambda: True)
    world.submit(other)
    world.wire.page_size = 1

    def cut(page: BatchPage) -> BatchPage:
        return (
            pages[0]
            if not page.has_more and len(page.batches) < 1
            else replace(page, has_more=True)
        )

    world.wire.page = cut
    world.clock.advance(60)
    world.tick()
    assert "not complete" in world.batches()[0]["reason"]
    world.wire.page = lambda page: page
    world.run()
    assert set(world.executions().values()) == {1}


def test_of_two_batches_with_one_token_the_earliest_is_kept_and_the_other_cancelled(
    new_world: NewWorld,
) -> None:
    world = sent(new_world(faults=[lost(when="after")], options=Options(validating_s=3_600)))
    (row,) = world.batches()
    world.clock.advance(5)
    twin = world.embedded.create(
        input_file_id=row["input_file_id"],
        endpoint=row["endpoint"],
        window=row["window"],
        metadata={"batchrun": row["token"]},
    )
    world.run()
    assert_answered_once(world)
    assert world.incidents() == ["duplicate_batch"]
    by_id = {remote["id"]: remote["status"] for remote in world.remotes()}
    assert by_id[twin.id] == "cancelled"


def test_a_duplicate_that_appears_later_is_cancelled_by_the_audit(new_world: NewWorld) -> None:
    world = sent(new_world(faults=[lost(when="after")], options=Options(validating_s=3_600)))
    world.clock.advance(10)
    world.tick()
    (row,) = world.batches()
    assert row["name"] == "created"
    twin = world.embedded.create(
        input_file_id=row["input_file_id"],
        endpoint=row["endpoint"],
        window=row["window"],
        metadata={"batchrun": row["token"]},
    )
    world.clock.advance(60)
    world.tick()
    assert world.incidents() == ["duplicate_batch"]
    assert world.embedded.retrieve(twin.id).status == "cancelling"
    world.run()
    assert_answered_once(world)


def test_a_batch_with_a_token_that_this_ledger_does_not_know_stops_all_sending(
    new_world: NewWorld,
) -> None:
    world = sent(new_world(faults=[lost(when="after")]))
    (row,) = world.batches()
    with world.ledger() as ledger:
        mine = ledger.meta("ledger") or ""
    world.embedded.create(
        input_file_id=row["input_file_id"],
        endpoint=row["endpoint"],
        window=row["window"],
        metadata={"batchrun": "br-stranger", "batchrun_ledger": mine},
    )
    world.clock.advance(10)
    world.tick()
    assert "older_ledger" in world.incidents()
    other = world.folder / "other.jsonl"
    world.write(items(1), other, job="other")
    world.submit(other)
    assert len(world.batches()) == 1, "nothing more is sent"


def test_a_404_before_the_file_was_ever_seen_is_no_fence(new_world: NewWorld) -> None:
    hidden = Fault(call="get_file", error=NotFound("no such file", status=404), number=None)
    world = sent(new_world(faults=[lost(when="after"), hidden]))
    world.wire.lag_s = 8_000
    world.run_until(lambda: world.clock.now() > sent_at(world) + 7_200)
    (batch,) = world.batches()
    assert (batch["name"], batch["fenced_at"]) == ("creating", None)
    assert world.embedded.get_file(batch["input_file_id"]).bytes, "the file was not touched"
    world.run()
    assert_answered_once(world)


def test_a_file_that_was_seen_and_is_gone_counts_as_fenced(new_world: NewWorld) -> None:
    crash = Fault(call="delete_file", error=Transient("gone away"), when="after")
    world = sent(new_world(faults=[lost(), crash]))
    world.run()
    assert_answered_once(world)
    assert world.batches()[0]["creates"] == 2


def test_a_file_that_cannot_be_deleted_leaves_the_batch_in_doubt(new_world: NewWorld) -> None:
    stuck = Fault(call="delete_file", error=Transient("503", status=503), number=None)
    world = sent(new_world(faults=[lost(), stuck]))
    world.run_until(lambda: world.clock.now() > sent_at(world) + 7_200)
    (batch,) = world.batches()
    assert (batch["name"], batch["fenced_at"]) == ("creating", None)


def test_a_service_without_settle_times_is_still_looked_at_once_more_after_the_fence(
    new_world: NewWorld,
) -> None:
    """The delete and a create that is on its way meet: the create wins, and only a second listing shows it."""
    world = new_world(traits=replace(OPENAI, settle_s=0, second_settle_s=0))
    world.wire.delays = (1,)
    sent(world)
    deleted = world.wire.delete_file

    def slow_delete(file_id: str) -> bool:
        world.clock.advance(2)  # meanwhile the create arrives
        return deleted(file_id)

    world.wire.delete_file = slow_delete  # type: ignore[method-assign]
    world.run()
    assert_answered_once(world)
    assert len(world.remotes()) == 1


@pytest.mark.fault(29)
def test_a_clock_that_is_set_forward_shortens_no_wait(new_world: NewWorld) -> None:
    world = new_world()
    world.wire.delays = (300,)
    sent(world)
    world.tick()
    page = world.wire.page
    offset = 2 * DAY_S
    service_now = world.clock.now()
    world.clock.advance(offset)
    # Our clock jumped; the service's has not moved, so the create has not arrived either.
    world.wire._save(
        {
            "creates": 1,
            "pending": [{**e, "at": e["at"] + offset} for e in world.wire._load()["pending"]],
        }
    )
    world.wire.page = lambda p: replace(p, server_time=service_now + 60)
    world.tick()
    assert world.batches()[0]["fenced_at"] is None
    world.wire.page = page
    world.run()
    assert_answered_once(world)


@pytest.mark.fault(29)
def test_a_clock_that_is_set_back_only_waits_longer(new_world: NewWorld) -> None:
    world = new_world()
    world.wire.delays = (300,)
    sent(world)
    world.clock.advance(-7_200)
    world.run()
    assert_answered_once(world)


def test_an_intent_older_than_seven_days_is_never_disproved(new_world: NewWorld) -> None:
    world = sent(new_world(faults=[lost()]))
    world.clock.advance(8 * DAY_S)
    world.run()
    assert world.tally() == {"failed": 3}
    assert set(world.failures().values()) == {"lost_result"}
    assert world.charges() == {}
    world.api().retry("reviews")
    assert world.tally() == {"failed": 3}, "not without --rerun-lost"
    world.api().retry("reviews", rerun_lost=True)
    world.run()
    assert_answered_once(world)


def test_a_service_that_echoes_nothing_leaves_the_doubt_to_the_user(new_world: NewWorld) -> None:
    world = sent(new_world(faults=[lost()], traits=replace(OPENAI, listing_echoes=False)))
    world.run_until(lambda: world.clock.now() > sent_at(world) + DAY_S)
    (batch,) = world.batches()
    assert (batch["name"], batch["fenced_at"]) == ("creating", None)
    assert "batchrun resolve 1 --absent" in batch["reason"]


def test_a_sweep_that_fails_is_made_again_later(new_world: NewWorld) -> None:
    broken = Fault(call="list_batches", error=Transient("502", status=502))
    world = sent(new_world(faults=[lost(when="after"), broken]))
    world.run()
    assert_answered_once(world)
