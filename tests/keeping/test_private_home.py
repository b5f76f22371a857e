"""A home is its owner's, whatever the umask; and git never sees it."""

import os
import stat
from pathlib import Path

import pytest
from runnerkit import World, items

from batchrun.ledger.home import Home


@pytest.mark.fault(56)
@pytest.mark.parametrize("umask", [0, 0o077])
def test_everything_in_a_home_and_its_outputs_is_private_whatever_the_umask(
    world: World, umask: int
) -> None:
    before = os.umask(umask)
    try:
        world.write(items(3), output={"csv": True, "files": "{{ id }}.txt"})
        world.submit()
        world.run()
        world.api().retry("reviews", ("i1",), redo=True)
        world.run()
        world.api().forget("reviews", ("i0",))
        world.api().prune()
    finally:
        os.umask(before)
    assert [*modes(world.home.path), *modes(world.home.outputs / "reviews")] == []


def modes(folder: Path) -> list[str]:
    """What is not 0700 (folders) or 0600 (files)."""
    return [
        f"{path}: {stat.S_IMODE(path.stat().st_mode):o}"
        for path in (folder, *folder.rglob("*"))
        if stat.S_IMODE(path.stat().st_mode) != (0o700 if path.is_dir() else 0o600)
    ]


def test_git_is_told_to_leave_a_home_alone(world: World) -> None:
    world.write(items(1))
    world.submit()
    assert (world.home.path / ".gitignore").read_text() == "*\n"


def test_what_keeps_the_home_out_of_git_is_private_from_its_first_moment(tmp_path: Path) -> None:
    home = Home(tmp_path / ".batchrun")
    home.create()
    ignore = home.path / ".gitignore"
    assert ignore.stat().st_mode & 0o777 == 0o600
    ignore.write_bytes(b"")  # as a process leaves it that is killed between the two
    home.create()
    assert ignore.read_bytes() == b"*\n"
    ignore.write_bytes(b"# mine\n")
    home.create()
    assert ignore.read_bytes() == b"# mine\n"
