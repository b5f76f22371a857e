"""Worlds as the tests of the core have them: a home, a far service, an imperfect wire (tests/runner/runnerkit.py)."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(1, str(Path(__file__).parents[1] / "runner"))

from invariants import check_invariants
from runnerkit import NewWorld, World
from worlds import new_world

__all__ = ["new_world", "world"]


@pytest.fixture
def world(new_world: NewWorld) -> Iterator[World]:
    """A world where nothing goes wrong; all of its invariants are checked at the end, down to each byte of the spool."""
    world = new_world()
    yield world
    if world.home.database.exists():
        with world.ledger() as ledger:
            check_invariants(ledger, is_quick=False)
