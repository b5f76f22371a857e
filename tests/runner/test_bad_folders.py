"""An outputs folder that refuses is the affair of one job: it is told, tried again, and nobody else waits for it."""

import json

from runnerkit import DAY_S, World, items

from batchrun.errors import LedgerError


def two_jobs(world: World) -> None:
    """Jobs `first` and `second`, the first with a file where its outputs should go."""
    for name in ("first", "second"):
        world.submit(world.write(items(2), path=world.folder / f"{name}.jsonl", job=name))
    world.home.outputs.mkdir(exist_ok=True)
    (world.home.outputs / "first").write_text("in the way")


def test_a_job_whose_folder_refuses_keeps_no_other_job_from_its_outputs(world: World) -> None:
    two_jobs(world)
    result = world.run()
    (problem,) = result.problems
    assert isinstance(problem, LedgerError)
    assert problem.exit_code == 7
    assert str(world.home.outputs / "first") in str(problem)
    manifest = json.loads((world.home.outputs / "second" / "manifest.json").read_text())
    assert manifest["complete"]
    assert world.tally() == {"succeeded": 2}  # by id: both jobs have the same ids
    assert world.api().last_pass_at() == world.clock.now()


def test_every_pass_tries_again_and_the_first_that_may_writes_the_outputs(world: World) -> None:
    two_jobs(world)
    world.run()
    assert world.tick().problems
    assert world.tick_moment() is not None
    (world.home.outputs / "first").unlink()
    result = world.tick()
    assert result.problems == ()
    assert len(result.ended) == 1
    assert (world.home.outputs / "first" / "manifest.json").exists()
    assert world.tick().ended == ()


def test_a_database_that_refuses_is_the_affair_of_its_job_as_a_folder_is(world: World) -> None:
    database = world.folder / "shop.db"
    output = {"sqlite": {"path": str(database), "table": "t", "key": "id"}}
    world.submit(
        world.write(items(2), path=world.folder / "first.jsonl", job="first", output=output)
    )
    world.submit(world.write(items(2), path=world.folder / "second.jsonl", job="second"))
    database.write_text("this is no database, and it is long enough to be told apart from one")
    result = world.run()
    (problem,) = result.problems
    assert isinstance(problem, LedgerError)
    assert str(database) in str(problem)
    manifest = json.loads((world.home.outputs / "second" / "manifest.json").read_text())
    assert manifest["complete"]
    database.unlink()
    result = world.tick()
    assert result.problems == ()
    assert len(result.ended) == 1


def test_waiting_for_a_job_goes_on_while_the_folder_of_another_refuses(world: World) -> None:
    two_jobs(world)
    world.run()
    late = world.write(items(2), path=world.folder / "third.jsonl", job="third")
    world.submit(late)
    began = world.clock.now()
    result, is_done = world.api().wait(("third",), until=began + DAY_S // 2)
    assert not is_done, "the far service does not work by itself here"
    assert world.clock.now() - began > 3 * 3600, "it did not give up after a quarter of an hour"
    assert result.problems == (), "the folder is no problem of this job"
    assert {type(problem) for problem in result.others} == {LedgerError}
