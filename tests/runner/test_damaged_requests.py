"""A request file that is not what was written is never sent, and keeps no other batch waiting."""

from runnerkit import NewWorld, World, items

from batchrun.errors import LedgerError


def test_a_damaged_request_file_is_told_and_the_other_job_goes_on(new_world: NewWorld) -> None:
    world = new_world()
    world.write(items(3))
    other = world.write(items(2), world.folder / "other.jsonl", job="other")
    world.submit(world.job_file, send=False)
    world.submit(other, send=False)
    (first, _) = sorted(world.home.requests.iterdir())
    first.write_bytes(first.read_bytes().replace(b"text 1", b"text 9"))
    result = world.tick()
    (problem,) = result.problems
    assert isinstance(problem, LedgerError)
    assert str(first) in str(problem)
    assert [batch["name"] for batch in world.batches()] == ["planned", "created"]
    first.write_bytes(first.read_bytes().replace(b"text 9", b"text 1"))
    world.run()
    progress = {
        row["job"]: (row["state"], row["n"]) for row in world.rows("select * from progress")
    }
    assert progress == {"reviews": ("succeeded", 3), "other": ("succeeded", 2)}


def test_a_request_file_that_someone_added_to_is_not_sent(world: World) -> None:
    world.write(items(3))
    world.submit(send=False)
    path = world.home.request_file(1)
    whole = path.read_bytes()
    path.write_bytes(whole + b"{}\n")
    (problem,) = world.tick().problems
    assert isinstance(problem, LedgerError)
    assert world.remotes() == []
    path.write_bytes(whole)
    world.run()
    assert world.tally() == {"succeeded": 3}
