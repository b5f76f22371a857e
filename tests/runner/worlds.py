"""Worlds for each test; their invariants are checked at its end, whatever happened in between.

Beside the kit and not in it: processes of their own use that, and should not wait for pytest.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from runnerkit import NewWorld, World


@pytest.fixture
def new_world(tmp_path: Path) -> Iterator[NewWorld]:
    """Make worlds in folders of this test."""
    worlds: list[World] = []

    def new_world(**settings: object) -> World:
        folder = tmp_path / f"world-{len(worlds)}"
        folder.mkdir()
        world = World(folder, **settings)  # type: ignore[arg-type]  # checked by the dataclass
        worlds.append(world)
        return world

    yield new_world
    for world in worlds:
        world.close()


@pytest.fixture
def world(new_world: NewWorld) -> World:
    """A world where nothing goes wrong."""
    return new_world()
