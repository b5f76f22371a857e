from collections.abc import Iterator

import pytest
from misbehaving import Server, server

from batchrun.backends.credentials import KeySource
from batchrun.backends.openai import OpenAIBackend
from batchrun.profiles import Profile
from batchrun.testing import ManualClock

__all__ = ["backend", "clock", "crawling", "key", "server"]

KEY = "sk-canary-0123456789abcdef"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def key() -> KeySource:
    return KeySource(variable="OPENAI_API_KEY", environ={"OPENAI_API_KEY": KEY})


@pytest.fixture
def backend(server: Server, clock: ManualClock, key: KeySource) -> Iterator[OpenAIBackend]:
    opened = OpenAIBackend(Profile(name="openai", base_url=server.base_url, key=key), clock=clock)
    yield opened
    opened.close()


class LateClock(ManualClock):
    """Each look at it is ten seconds later than the last."""

    def now(self) -> int:
        self.advance(10)
        return super().now()


@pytest.fixture
def crawling(server: Server, key: KeySource) -> Iterator[OpenAIBackend]:
    """A backend to which every piece of a body seems to take ten seconds."""
    profile = Profile(name="openai", base_url=server.base_url, key=key)
    opened = OpenAIBackend(profile, clock=LateClock())
    yield opened
    opened.close()
