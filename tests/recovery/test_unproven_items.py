"""What the service shows nothing of may have been asked all the same: after a recovery it waits until somebody submits it."""

from dataclasses import replace

from crashkit import outcome
from recoverykit import back_up, became, finish, recover, restore
from runnerkit import DAY_S, NewWorld, World, items, texts

from batchrun.errors import Refused
from batchrun.model import Account
from batchrun.recovery.found import Recovered
from batchrun.testing_backend import Fault

ELSEWHERE = Account(base_url="https://far.example/v1", project="another", fingerprint="f2")


def recover_what_is_known(world: World) -> Recovered:
    """`batchrun recover`, without any job file."""
    return world.api().recover()


def test_items_that_an_older_ledger_had_not_sent_wait_where_their_batch_is_no_items(
    world: World,
) -> None:
    world.write(texts("a", "b", "c"))
    world.submit(send=False)
    backup = back_up(world)
    world.run()
    world.service.delete_file(world.remotes()[0]["input_file_id"])
    restore(world, backup)
    world.clock.advance(15 * DAY_S)
    recovered = recover_what_is_known(world)
    assert recovered.jobs[0].is_paused == bool(world.tally().get("pending"))
    world.run()
    assert set(world.executions().values()) == {1}
    finish(world)
    assert world.tally() == {"succeeded": 3}


def test_items_that_an_older_ledger_had_not_sent_wait_where_their_batch_is_gone(
    world: World,
) -> None:
    world.write(items(3))
    world.submit(send=False)
    backup = back_up(world)
    world.run()
    for kind in ("input_file_id", "output_file_id"):
        world.service.delete_file(world.remotes()[0][kind])
    restore(world, backup)
    recovered = recover_what_is_known(world)
    assert (became(recovered), recovered.jobs[0].is_paused) == (["gone"], True)
    world.run()
    assert (world.tally(), set(world.executions().values())) == ({"pending": 3}, {1})
    finish(world)
    assert world.tally() == {"succeeded": 3}


def test_nothing_is_sent_after_a_recovery_from_a_project_that_shows_nothing(world: World) -> None:
    """Without an open batch no row tells to which project the key belonged."""
    world.write(items(3))
    world.submit(send=False)
    backup = back_up(world)
    world.run()
    expected, ours = outcome(world), world.wire.identity
    restore(world, backup)
    world.wire.identity = ELSEWHERE
    world.wire.page = lambda page: replace(page, batches=())
    recovered = recover_what_is_known(world)
    assert (recovered.batches, recovered.jobs[0].is_paused) == ((), True)
    world.run()
    assert (world.tally(), set(world.executions().values())) == ({"pending": 3}, {1})
    world.wire.identity, world.wire.page = ours, lambda page: page
    assert became(recover(world)) == ["collected"]
    assert outcome(world) == expected


def test_a_batch_that_an_older_ledger_had_only_planned_waits_too(new_world: NewWorld) -> None:
    down = Fault(call="upload", error=Refused("out of quota", status=429), number=1)
    world = new_world(faults=[down])
    world.write(items(3))
    world.submit()
    assert [batch["name"] for batch in world.batches()] == ["planned"]
    recovered = recover_what_is_known(world)
    assert (recovered.batches, recovered.jobs[0].is_paused) == ((), True)
    world.tick()
    assert world.remotes() == []
    finish(world)
    assert world.tally() == {"succeeded": 3}
