"""Worlds as the tests of the core have them: a home, a far service, an imperfect wire (tests/runner/runnerkit.py)."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(1, str(Path(__file__).parents[1] / "runner"))

from runnerkit import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A world where nothing goes wrong; its invariants are checked at the end."""
    folder = tmp_path / "world"
    folder.mkdir()
    world = World(folder)
    yield world
    world.close()
