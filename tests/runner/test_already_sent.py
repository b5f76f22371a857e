"""What the service has already is adopted, not bought: after an older ledger came back, or after a refusal that had taken effect."""

import shutil

import pytest
from runnerkit import NewWorld, World, items
from test_look_first import back_up, restore

from batchrun.errors import BackendError, Refused, Transient
from batchrun.ledger.home import Home
from batchrun.testing_backend import Fault


def answered_once(world: World) -> bool:
    return world.tally() == {"succeeded": 3} and set(world.executions().values()) == {1}


@pytest.mark.parametrize("has_ended", [False, True])
@pytest.mark.parametrize("call", ["upload", "create"])
def test_an_older_ledger_adopts_the_batch_that_it_was_about_to_send(
    new_world: NewWorld, call: str, has_ended: bool
) -> None:
    world = new_world(faults=[Fault(call=call, error=Transient("busy"))])
    world.write(items(3))
    world.submit()
    backup = back_up(world)
    if has_ended:
        world.run()
    else:
        world.run_until(lambda: world.batches()[0]["name"] == "created")
    restore(world, backup)
    world.clock.advance(300)
    world.run()
    (remote,) = world.remotes()
    assert world.batches()[0]["input_file_id"] == remote["input_file_id"]
    assert remote["status"] == "completed"
    assert answered_once(world)
    assert world.incidents() == []


@pytest.mark.parametrize(
    "error", [Transient("busy", status=429), Refused("bad gateway", status=400)], ids=["429", "400"]
)
def test_a_refused_create_that_took_effect_is_adopted_before_it_is_sent_again(
    new_world: NewWorld, error: BackendError
) -> None:
    world = new_world(faults=[Fault(call="create", error=error, when="after")])
    world.write(items(3))
    world.submit()
    world.run()
    assert len(world.remotes()) == 1
    assert answered_once(world)


def test_a_batch_refused_for_good_that_runs_although_its_items_ask_something_else_is_cancelled_and_told(
    new_world: NewWorld,
) -> None:
    refused = Refused("bad model", status=400)
    world = new_world(
        faults=[Fault(call="create", error=refused, number=n, when="after") for n in (1, 2)]
    )
    world.wire.lag_s = 600
    world.write(items(3))
    world.submit()
    assert world.batches()[0]["name"] == "rejected"
    world.write(items(3), prompt="Judge: {{ text }}")
    world.submit()
    world.clock.advance(700)
    world.tick()
    assert world.incidents() == ["duplicate_batch", "duplicate_batch"]
    first, second, other = world.remotes()
    assert (first["status"], second["status"]) == ("cancelling", "cancelling")
    assert other["status"] == "validating"


def test_a_listing_that_is_down_puts_a_create_off_and_does_not_end_the_look(
    new_world: NewWorld,
) -> None:
    world = new_world()
    world.write(items(3))
    world.submit(send=False)
    backup = back_up(world)
    world.run()
    restore(world, backup)
    world.clock.advance(300)
    down = Transient("bad gateway", status=502)
    asked = world.backend.calls.count("list_batches")
    world.backend.add(Fault(call="list_batches", error=down, number=asked + 1))
    result = world.tick()
    assert result.problems == (down,)
    assert result.next_at == world.clock.now() + 60
    assert "bad gateway" in world.batches()[0]["reason"]
    world.clock.advance(60)
    world.tick()
    assert world.incidents() == ["older_ledger"]
    assert len(world.remotes()) == 1


def test_a_listing_that_is_down_at_the_first_poll_does_not_end_the_look(
    new_world: NewWorld,
) -> None:
    down = Transient("bad gateway", status=502)
    world = new_world(faults=[Fault(call="list_batches", error=down, number=2)])
    world.write(items(3))
    world.submit()
    world.clock.advance(60)
    world.tick()
    assert world.backend.calls.count("list_batches") == 2
    world.write(items(1), job="others")
    world.submit()
    assert world.backend.calls.count("list_batches") == 3


def test_after_a_take_over_a_batch_that_is_uploaded_after_the_look_waits_like_the_others(
    new_world: NewWorld,
) -> None:
    world = new_world(faults=[Fault(call="upload", error=Transient("busy"))])
    world.write(items(3))
    world.submit()
    rows = items(6)
    for row in rows[3:]:
        row["model"] = "gpt-4.1"
    world.write(rows)
    world.submit(send=False)
    (world.folder / "copy").mkdir()
    shutil.copytree(world.home.path, world.folder / "copy" / ".batchrun")
    world.home = Home(world.folder / "copy" / ".batchrun")
    world.api().take_over()
    world.clock.advance(60)
    world.run()
    assert world.tally() == {"succeeded": 6}
    assert len(world.remotes()) == 2
