"""The worlds of tests/runner, and a receiver of webhooks in front of one."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "runner"))

from runnerkit import World
from webhookkit import SECRET, Receiver
from worlds import new_world, world

from batchrun.backends.openai_webhooks import signature_check
from batchrun.receiving.http import create_app
from batchrun.receiving.inbox import Inbox
from batchrun.service.serving import serving

__all__ = ["new_world", "receiver", "world"]


@pytest.fixture
def receiver(world: World) -> Iterator[Receiver]:
    """Over a socket, for the home of this world."""
    inbox = Inbox(signature_check(SECRET), lambda *event: world.api().wake(*event))
    with serving(create_app(inbox.take), host="127.0.0.1", port=0) as url:
        yield Receiver(url, inbox)
