"""A recovery that dies is run again: at every commit, call and rename, nothing is bought twice and nothing lost."""

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from crashkit import Violation, check_world, count_points, expected, fresh, in_child
from recoverykit import back_up, finish, lose_database, lose_home, recover, restore
from runnerkit import World

from batchrun.errors import LedgerError
from batchrun.ledger.connection import Ledger
from batchrun.recovery import recovering

KILLED = 9
STRIDE = 7  # every seventh point; which ones depends on the way of losing. All of them take minutes
NEVER = -1


def lose_all_but_a_backup(world: World) -> None:
    restore(world, world.folder / "backup")


WAYS = (lose_home, lose_database, lose_all_but_a_backup)
Lose = Callable[[World], None]


class Yard:
    """A folder with a world half way, which can be had again and again; with a backup of the home of its first moment.

    Two batches have ended, one item failed for good; a third batch, with an item that is asked again, is on its way.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self._kept = folder / "world", folder / "kept"
        self.folder.mkdir()
        world = fresh(self.folder)
        world.submit(send=False)
        back_up(world)
        world.run_until(lambda: len(world.remotes()) == 3)
        world.embedded.close()
        self._now = world.clock.now()
        shutil.copytree(self.folder, self._kept)

    def lost(self, lose: Lose) -> World:
        """The world as it was then, but without its ledger."""
        home = self.folder / ".batchrun"
        for path in (*self.folder.iterdir(), *home.glob("*")):
            if path != home and path.exists():  # the folder of a home is what tells it from a copy
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.copytree(self._kept, self.folder, dirs_exist_ok=True)
        world = fresh(self.folder)
        world.clock.sleep_until(self._now)
        lose(world)
        return world


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    return Yard(tmp_path)


def go_on(world: World) -> None:
    """What a user does who does not know that the recovery died, as far as there is a ledger that it has begun with."""
    if world.home.database.exists() and world.rows("select 1 from holds"):
        world.submit()
        world.tick()


def come_to_the_end(world: World) -> None:
    go_on(world)
    recover(world)
    finish(world)
    check_world(world, *expected())
    world.embedded.close()


def recover_until_rename(world: World, kill: int) -> None:
    """Die before (odd numbers) or after (even ones) a rename."""
    passed, rename = 0, Path.rename

    def at_point() -> None:
        nonlocal passed
        passed += 1
        if passed == kill:
            os._exit(KILLED)

    def watched(path: Path, target: Path) -> Path:
        at_point()
        renamed = rename(path, target)
        at_point()
        return renamed

    Path.rename = watched  # type: ignore[method-assign,assignment]  # in a process of its own
    recover(world)


@pytest.mark.fault(37)
@pytest.mark.parametrize("lose", WAYS)
def test_a_recovery_may_die_at_any_commit_or_call(yard: Yard, lose: Lose) -> None:
    points = count_points(world := yard.lost(lose), partial(recover, world))
    assert {"before commit", "after commit", "before list_batches", "after download"} <= set(points)
    for kill in range(1 + 2 * WAYS.index(lose), len(points) + 1, STRIDE):
        world = yard.lost(lose)
        assert not in_child(world, partial(recover, world), kill)
        come_to_the_end(world)


@pytest.mark.parametrize("lose", [lose_home, lose_database])
def test_a_recovery_may_die_while_it_puts_a_new_ledger_in_place(yard: Yard, lose: Lose) -> None:
    """Until the new ledger is there with its hold, nothing else can begin one beside what was sent."""
    for kill in range(1, 9):
        world = yard.lost(lose)
        in_child(world, partial(recover_until_rename, world, kill), NEVER)
        if lose is lose_database and not world.home.database.exists():
            with pytest.raises(LedgerError, match="spool/ holds what it sent"):
                world.submit()
        come_to_the_end(world)


def test_without_the_hold_a_recovery_that_died_would_let_items_be_bought_twice(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tests above can fail: of the points between the reading of the job file and the last batch, some need the hold."""

    def begin_without(ledger: Ledger, profile: str) -> None:
        ledger.execute(
            "insert or replace into holds (profile, model, until, refusals, reason) values (?, '', 0, 0, 'none')",
            (profile,),
        )

    monkeypatch.setattr(recovering, "begin", begin_without)
    points = count_points(world := yard.lost(lose_home), partial(recover, world))
    world = yard.lost(lose_home)
    assert not in_child(world, partial(recover, world), points.index("before list_batches") + 1)
    with pytest.raises(Violation):
        come_to_the_end(world)
    assert max(world.charges().values()) > 1
    world.embedded.close()
