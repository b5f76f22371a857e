"""The command that a failure names asks what failed and buys nothing else."""

import shlex

from runnerkit import NewWorld, World, items

from batchrun.errors import Refused
from batchrun.service.bodies import Finish
from batchrun.service.responders.script import Rule
from batchrun.testing_backend import Fault


def command_of(world: World, cause: str) -> list[str]:
    """The words of the command for one cause."""
    groups = {group.cause: group for group in world.api().failures(("reviews",))}
    return shlex.split(groups[cause].command)


def test_the_command_for_cut_answers_asks_only_what_failed(new_world: NewWorld) -> None:
    world = new_world(
        script=[Rule(prompt="text [12]", custom_id="^[0-9]+-1-", finish=Finish.LENGTH)]
    )
    world.write(items(5))
    world.submit()
    world.run()
    assert world.tally() == {"succeeded": 3, "failed": 2}
    command = command_of(world, "length")
    assert command == ["batchrun", "submit", str(world.job_file), "--new-only"]
    world.write(items(5), max_output_tokens=4_000)
    tally = world.submit(new_only=True).tally
    assert tally is not None
    assert (tally.changed, tally.reasked, tally.kept) == (2, 0, 3)
    world.run()
    assert world.tally() == {"succeeded": 5}
    assert sum(world.executions().values()) == 7


def test_the_command_for_one_cause_leaves_the_items_of_others_as_they_are(
    new_world: NewWorld,
) -> None:
    world = new_world(
        script=[
            Rule(prompt="text 1", times=1, reply=""),
            Rule(prompt="text 2", times=1, finish=Finish.LENGTH),
        ]
    )
    world.write(items(4))
    world.submit()
    world.run()
    command = command_of(world, "empty_output")
    assert command == ["batchrun", "retry", "reviews", "--cause", "empty_output"]
    assert world.api().retry("reviews", cause="empty_output") == 1
    world.run()
    assert world.failures() == {"i2": "length"}
    assert world.states()["i1"] == "succeeded"


def test_no_item_of_a_cause_is_no_retry(new_world: NewWorld) -> None:
    world = new_world(script=[Rule(prompt="text 1", status=400)])
    world.write(items(2))
    world.submit()
    world.run()
    assert world.api().retry("reviews", cause="timeout") == 0
    assert world.api().retry("reviews", cause="bad_request") == 1


def test_items_of_a_refused_batch_are_found_by_the_cause_that_is_shown(
    new_world: NewWorld,
) -> None:
    error = Refused("no such model", status=400)
    world = new_world(faults=[Fault(call="create", error=error, number=None)])
    world.write(items(3))
    world.submit()
    world.run()
    assert [group.cause for group in world.api().failures(("reviews",))] == ["rejected"]
    assert world.api().retry("reviews", cause="unknown") == 0
    assert world.api().retry("reviews", cause="rejected") == 3
