"""A recovered batch is judged by the labels or schema that its requests asked for, however the job line has changed since."""

from recoverykit import became, lose_home, recover
from runnerkit import NewWorld, World, items
from schemakit import A_PRICE, A_TITLE, PRICE, TITLE, answers, in_flight

from batchrun.service.responders.script import Rule


def test_a_batch_that_was_recovered_is_judged_as_it_was_asked(world: World) -> None:
    in_flight(world, 3, schema=TITLE)
    lose_home(world)
    assert became(recover(world)) == ["in_flight"]
    world.write(items(3), schema=PRICE)
    world.submit(limit=1)
    world.run()
    assert world.failures() == {}
    assert answers(world) == {"i0": A_PRICE, "i1": A_TITLE, "i2": A_TITLE}


def test_a_retry_after_a_recovery_is_judged_as_it_was_asked(new_world: NewWorld) -> None:
    world = new_world(script=[Rule(prompt="text [12]", times=1, status=500)])
    in_flight(world, 3, schema=TITLE)
    world.serve()
    lose_home(world)
    assert became(recover(world)) == ["collected"]
    world.write(items(3), schema=PRICE)
    world.submit(limit=1)
    world.run()
    assert answers(world) == {"i0": A_PRICE, "i1": A_TITLE, "i2": A_TITLE}


def test_a_batch_whose_input_file_is_gone_is_judged_by_what_its_items_ask(world: World) -> None:
    in_flight(world, 2, schema=TITLE)
    world.serve()
    [remote] = world.remotes()
    world.service.delete_file(remote["input_file_id"])
    lose_home(world)
    assert became(recover(world)) == ["collected"]
    world.run()
    assert answers(world) == {"i0": A_TITLE, "i1": A_TITLE}
