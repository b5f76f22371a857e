"""A desk, a server that misbehaves, and worlds, as the other tests have them."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.extend(str(Path(__file__).parents[1] / name) for name in ("cli", "backends", "runner"))

from clikit import Desk, end_all
from misbehaving import Server, serving
from runnerkit import World

from batchrun.testing import ManualClock


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    """Processes end with the test that started them."""
    yield
    end_all()


@pytest.fixture
def desk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Desk:
    """An empty folder, no key, no server; the clock is at the time that the badly behaved server has."""
    folder = tmp_path / "desk"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return Desk(folder=folder, capture=capsys, clock=ManualClock(1_790_000_000))


@pytest.fixture
def server() -> Iterator[Server]:
    """A server on loopback that answers as it is told."""
    with serving() as running:
        yield running


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A world where nothing goes wrong; its invariants are checked at the end."""
    folder = tmp_path / "world"
    folder.mkdir()
    world = World(folder)
    yield world
    world.close()
