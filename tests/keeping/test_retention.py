"""`[retention]`: what a tick keeps house of by itself, and that it is off unless somebody asks for it."""

from pathlib import Path

import pytest
from keepkit import CANARY, holders, spool
from runnerkit import DAY_S, World, items

from batchrun.api import Batchrun
from batchrun.config import Retention, load_config
from batchrun.errors import Transient, UsageError
from batchrun.ledger.lock import pass_lock
from batchrun.testing_backend import Fault


def lives(world: World) -> None:
    world.write([*items(2), {"id": "x", "text": CANARY}])
    world.submit()
    world.run()


def later(world: World, days: int) -> None:
    world.clock.sleep_until(world.clock.now() + days * DAY_S)


def api(world: World, text: str) -> Batchrun:
    """The library in a folder whose settings file holds this."""
    (world.folder / "batchrun.toml").write_text(text)
    return world.api()


def test_nothing_goes_by_itself_where_nothing_is_set(world: World) -> None:
    lives(world)
    later(world, 1_000)
    world.api().tick()
    assert spool(world) == ["1-output.jsonl", "1.jsonl"]
    assert world.tally() == {"succeeded": 3}


def test_a_tick_prunes_what_is_older_than_the_setting(world: World) -> None:
    lives(world)
    tidy = api(world, '[retention]\nspool = "30d"\n')
    later(world, 29)
    tidy.tick()
    assert len(spool(world)) == 2
    later(world, 1)
    tidy.tick()
    assert spool(world) == []
    assert world.tally() == {"succeeded": 3}


def test_a_tick_forgets_what_is_older_than_the_setting(world: World) -> None:
    lives(world)
    tidy = api(world, '[retention]\nitems = "90d"\n')
    later(world, 89)
    tidy.tick()
    assert world.tally() == {"succeeded": 3}
    later(world, 1)
    tidy.tick()
    assert world.tally() == {}
    assert holders(CANARY, world.home.path, world.home.outputs) == []


def test_items_that_are_still_submitted_are_never_forgotten_by_age(world: World) -> None:
    """Otherwise the next submit would ask, and pay for, them again."""
    lives(world)
    tidy = api(world, '[retention]\nitems = "2d"\n')
    for _ in range(5):
        later(world, 1)
        world.submit()
        world.run()
        tidy.tick()
    assert world.tally() == {"succeeded": 3}
    assert set(world.executions().values()) == {1}


def test_it_is_done_once_a_day(world: World) -> None:
    lives(world)
    tidy = api(world, '[retention]\nspool = "30d"\n')

    def done_at() -> str:
        tidy.tick()
        (row,) = world.rows("select value from meta where key = 'kept_house_at'")
        return str(row["value"])

    first = done_at()
    world.clock.sleep_until(world.clock.now() + DAY_S - 1)
    assert done_at() == first
    world.clock.sleep_until(world.clock.now() + 1)
    assert done_at() != first


def test_a_tick_beside_another_process_leaves_it_to_the_next(world: World) -> None:
    lives(world)
    tidy = api(world, '[retention]\nspool = "1d"\n')
    later(world, 2)
    with pass_lock(world.home, wait_s=0):
        result = tidy.tick()
    assert result is not None
    assert result.problems == ()
    assert len(spool(world)) == 2
    tidy.tick()
    assert spool(world) == []


def test_what_a_service_does_is_a_problem_of_the_tick_and_tried_again_the_next_day(
    world: World,
) -> None:
    lives(world)
    tidy = api(world, '[retention]\nitems = "1d"\n')
    later(world, 2)
    world.backend.add(Fault(call="delete_file", error=Transient("away")))
    result = tidy.tick()
    assert result is not None
    assert [str(p) for p in result.problems] == ["away"]
    later(world, 1)
    result = tidy.tick()
    assert result is not None
    assert result.problems == ()
    assert world.rows("select * from remote_leftovers") == []


# -- settings -----------------------------------------------------------------------------------------------------------------


def read(tmp_path: Path, text: str) -> Retention:
    (tmp_path / "batchrun.toml").write_text(text)
    return load_config(tmp_path / "job.jsonl", None, {}).retention


def test_durations_are_read_as_on_the_command_line(tmp_path: Path) -> None:
    text = '[retention]\nspool = "30d"\nitems = "36h"\n'
    assert read(tmp_path, text) == Retention(spool_s=30 * DAY_S, items_s=36 * 3_600)
    assert not read(tmp_path, "[profile.openai]\npoll_s = 5\n").is_set


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[retention]\nspool = "5m"', r"has spool = '5m'; it takes a duration such as \"30d\""),
        ("[retention]\nspool = 30", "has spool = 30; it takes a duration"),
        ('[retention]\nitem = "30d"', r"unknown key 'item'\. Did you mean 'items'\?"),
        ('retention = "30d"', r"'retention' is a table\. Write \[retention\]"),
    ],
)
def test_mistakes_are_told_with_the_table(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read(tmp_path, text)
