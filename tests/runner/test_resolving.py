"""What only a person can say of a batch: it is this one on the service, or it is nowhere. What the service can say is asked first."""

from dataclasses import replace
from typing import Any

import pytest
from runnerkit import DAY_S, OPENAI, NewWorld, World, items

from batchrun.backends.base import BatchPage, RemoteBatch
from batchrun.errors import Ambiguous, NotFound, Refused, Transient, UsageError
from batchrun.model import JsonObject
from batchrun.testing_backend import Fault


def mute(batch: RemoteBatch) -> RemoteBatch:
    """As a service shows it that echoes nothing."""
    return replace(batch, metadata={}, input_file_id=None)


def in_doubt(new_world: NewWorld, *, when: str, **settings: Any) -> World:
    """Three items in a batch whose create was not answered, by a service that shows nothing to know it by."""
    traits = replace(OPENAI, listing_echoes=False)
    lost = Fault(call="create", error=Ambiguous("timed out"), when=when)  # type: ignore[arg-type]
    world = new_world(faults=[lost], traits=traits, **settings)
    world.wire.edit = mute
    world.write(items(3))
    world.submit()
    world.clock.advance(60)
    return world


def remote_ids(world: World) -> list[str]:
    return [remote["id"] for remote in world.remotes()]


def test_a_pass_says_which_command_is_needed(new_world: NewWorld) -> None:
    world = in_doubt(new_world, when="after")
    (problem,) = world.tick().problems
    assert "`batchrun resolve 1 --is BATCH_ID`" in str(problem)
    assert "`batchrun resolve 1 --absent`" in str(problem)
    assert problem.exit_code == 6
    (job,) = world.api().status()
    assert job.waiting == (str(problem),)


def test_a_batch_that_a_person_found_is_adopted_and_collected(new_world: NewWorld) -> None:
    world = in_doubt(new_world, when="after")
    world.tick()
    (remote_id,) = remote_ids(world)
    resolved = world.api().resolve(1, remote_id=remote_id)
    assert (resolved.state, resolved.remote_id) == ("created", remote_id)
    assert world.batches()[0]["audit_until"] > world.clock.now()
    world.run()
    assert world.tally() == {"succeeded": 3}
    assert set(world.executions().values()) == {1}


def test_a_batch_that_is_nowhere_is_sent_again(new_world: NewWorld) -> None:
    world = in_doubt(new_world, when="before")
    world.tick()
    file_id = world.batches()[0]["input_file_id"]
    resolved = world.api().resolve(1, remote_id=None)
    assert (resolved.state, resolved.remote_id) == ("planned", None)
    with pytest.raises(NotFound):
        world.embedded.get_file(file_id)
    world.run()
    assert world.tally() == {"succeeded": 3}
    assert set(world.executions().values()) == {1}


def test_after_a_declared_absence_a_create_that_was_still_on_its_way_buys_nothing(
    new_world: NewWorld,
) -> None:
    world = new_world(traits=replace(OPENAI, listing_echoes=False))
    world.wire.delays, world.wire.edit = (3_000,), mute
    world.write(items(3))
    world.submit()
    world.api().resolve(1, remote_id=None)
    world.run()
    world.clock.advance(DAY_S)
    world.serve()
    assert set(world.executions().values()) == {1}


def test_what_the_service_lists_cannot_be_declared_absent(new_world: NewWorld) -> None:
    world = new_world(faults=[Fault(call="create", error=Ambiguous("timed out"), when="after")])
    world.write(items(3))
    world.submit()
    with pytest.raises(UsageError, match=r"it exists.*batchrun resolve 1 --is batch_"):
        world.api().resolve(1, remote_id=None)
    assert world.batches()[0]["name"] == "creating"
    world.run()
    assert set(world.executions().values()) == {1}


@pytest.mark.parametrize("error", [Refused("no listing", status=405), NotFound("no", status=404)])
def test_a_service_without_a_listing_leaves_the_word_to_the_person(
    new_world: NewWorld, error: Exception
) -> None:
    world = in_doubt(new_world, when="before")
    world.backend.add(Fault(call="list_batches", error=error, number=None))
    world.backend.add(Fault(call="delete_file", error=Transient("no"), number=None))
    assert world.api().resolve(1, remote_id=None).state == "planned"
    (event,) = world.rows("select detail from events where event = 'absent'")
    assert '"input file deleted": false' in event["detail"]


def test_a_listing_that_fails_is_no_reason_to_believe_in_absence(new_world: NewWorld) -> None:
    world = in_doubt(new_world, when="after")
    world.backend.add(Fault(call="list_batches", error=Transient("502"), number=None))
    with pytest.raises(Transient):
        world.api().resolve(1, remote_id=None)
    assert world.batches()[0]["name"] == "creating"


def other_batch(world: World, **changes: Any) -> str:
    """A batch of somebody else on the service; returns its id."""
    path = world.folder / "other.jsonl"
    body: JsonObject = {"model": "gpt-4.1-mini", "input": "x"}
    line = {"custom_id": "a", "method": "POST", "url": "/v1/responses", "body": body}
    import json

    path.write_text(json.dumps(line) + "\n")
    file = world.embedded.upload(path, name="other.jsonl", expires_after_s=None)
    batch = world.embedded.create(
        input_file_id=file.id,
        endpoint="/v1/responses",
        window="24h",
        metadata=changes.get("metadata", {}),
    )
    return batch.id


@pytest.mark.parametrize(
    ("edit", "what"),
    [
        (lambda b: b, "its input file is"),
        (lambda b: replace(b, metadata={"batchrun": "br-other"}), "bears the token 'br-other'"),
        (lambda b: replace(mute(b), total_count=7), "it has 7 requests, not 3"),
        (
            lambda b: replace(mute(b), endpoint="/v1/embeddings"),
            "its endpoint is '/v1/embeddings'",
        ),
        (lambda b: replace(mute(b), created_at=1_000), "it is older than the input file"),
    ],
)
def test_a_batch_that_cannot_be_this_one_is_refused(
    new_world: NewWorld, edit: Any, what: str
) -> None:
    world = in_doubt(new_world, when="after")
    stranger = other_batch(world)
    world.wire.edit = edit
    with pytest.raises(UsageError, match=what):
        world.api().resolve(1, remote_id=stranger)
    assert world.batches()[0]["name"] == "creating"


def test_the_batch_of_another_row_is_refused(new_world: NewWorld) -> None:
    world = in_doubt(new_world, when="after")
    world.backend._script.clear()
    other = world.folder / "second.jsonl"
    world.write(items(2), other, job="second")
    world.submit(other)
    recorded = world.batches()[1]["remote_id"]
    with pytest.raises(UsageError, match=f"{recorded} is batch 2 already"):
        world.api().resolve(1, remote_id=recorded)


def test_there_must_be_something_to_resolve(world: World) -> None:
    world.write(items(1))
    world.submit()
    with pytest.raises(UsageError, match="there is no batch 7"):
        world.api().resolve(7, remote_id=None)
    with pytest.raises(UsageError, match="batch 1 is created"):
        world.api().resolve(1, remote_id="batch_x")


def test_an_intent_that_was_given_up_can_still_be_named(new_world: NewWorld) -> None:
    world = in_doubt(new_world, when="after")
    world.serve()
    world.wire._traits = OPENAI
    page, world.wire.page = world.wire.page, lambda _: BatchPage(batches=(), has_more=False)
    world.clock.advance(8 * DAY_S)
    world.run_until(lambda: world.batches()[0]["name"] == "lost")
    with pytest.raises(UsageError, match="--rerun-lost"):
        world.api().resolve(1, remote_id=None)
    (remote_id,) = remote_ids(world)
    world.api().resolve(1, remote_id=remote_id)
    world.run()
    assert world.tally() == {"succeeded": 3}
    world.wire.page = page


def test_another_home_s_lock_is_waited_for(new_world: NewWorld) -> None:
    from batchrun.errors import HomeLocked
    from batchrun.ledger.lock import pass_lock

    world = in_doubt(new_world, when="before")
    with pass_lock(world.home, wait_s=0), pytest.raises(HomeLocked):
        world.api(lock_wait_s=0.0).resolve(1, remote_id=None)
