"""A user's folder, with a home where a test wants one, and servers of every kind."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# A desk of the command line's tests, and the badly behaved server of the backends' ones.
sys.path.extend(str(Path(__file__).parents[1] / name) for name in ("cli", "backends"))

from clikit import Desk
from misbehaving import Server, serving

from batchrun.testing import ManualClock

KEY = "sk-canary-0123456789abcdef"


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
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server on loopback that answers as it is told; the environment points to it, with a key."""
    with serving() as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        yield running
