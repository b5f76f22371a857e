"""A job whose new batches go to another profile than its own keeps its name, its outputs and what it has on its own profile."""

from pathlib import Path

from livekit import TWIN, LiveWorld
from runnerkit import items

from batchrun.model import Limits


def divert(world: LiveWorld) -> None:
    with world.ledger() as ledger, ledger.transaction():
        ledger.execute("update jobs set sends_to = ?", (TWIN,))


def test_a_fresh_file_goes_to_the_other_profile_as_it_stands(tmp_path: Path) -> None:
    world = LiveWorld(tmp_path)
    world.write(items(3))
    world.submit(send=False)
    divert(world)
    world.run()
    assert world.profiles() == [TWIN]
    assert world.remotes() == []
    assert world.tally() == {"succeeded": 3}
    assert world.rows("select profile from jobs") == [{"profile": "openai"}]
    assert world.output("results.jsonl").count(b"\n") == 3
    world.close()


def test_a_fresh_file_that_is_too_much_for_the_other_profile_is_cut(tmp_path: Path) -> None:
    world = LiveWorld(tmp_path)
    world.near._limits = Limits(request_count=2)
    world.write(items(3))
    world.submit(send=False)
    divert(world)
    world.run()
    assert [(row["profile"], row["request_count"]) for row in world.batches()] == [
        (TWIN, 2),
        (TWIN, 1),
    ]
    assert set(world.executions().values()) == {1}
    world.close()


def test_what_was_sent_before_is_collected_where_it_was_sent(tmp_path: Path) -> None:
    world = LiveWorld(tmp_path)
    world.write(items(2))
    world.submit()
    divert(world)
    world.write(items(4))
    world.submit(new_only=True)
    divert(world)
    world.run()
    assert world.profiles() == ["openai", TWIN]
    assert world.executions() == {1: 1, 2: 1, 3: 1, 4: 1}
    assert set(world.states().values()) == {"succeeded"}
    world.close()
