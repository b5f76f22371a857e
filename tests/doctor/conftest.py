"""A user's folder, with a home where a test wants one, and servers of every kind."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# A desk of the command line's tests, and the badly behaved server of the backends' ones.
sys.path.extend(str(Path(__file__).parents[1] / name) for name in ("cli", "backends"))

from clikit import desk
from misbehaving import Server, serving

__all__ = ["desk", "server"]

KEY = "sk-canary-0123456789abcdef"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server on loopback that answers as it is told; the environment points to it, with a key."""
    with serving() as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        yield running
