"""A home in which everything that verify looks at occurs: answered, failed, asked again, named by line, bad, queued, in flight, not yet sent."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# The kit of the core's tests: a real service behind a wire.
sys.path.insert(0, str(Path(__file__).parents[1] / "runner"))

from runnerkit import World, items, texts

from batchrun.service.responders.script import Rule

SCRIPT = [
    Rule(prompt="text 1", times=1, status=500),  # asked again: an earlier attempt is in the history
    Rule(prompt="text 2", status=400),  # fails for good
]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, script=list(SCRIPT))
    world.write(items(5), output={"csv": True, "files": "{{ id }}.txt"})
    world.submit()
    world.write(
        [*texts("one", "two"), {"id": 7}], tmp_path / "notes.jsonl", job="notes", bad_items=1
    )
    world.submit(tmp_path / "notes.jsonl")
    world.write(items(3), tmp_path / "again.jsonl", job="again")
    world.submit(tmp_path / "again.jsonl")
    world.run()
    world.write(items(3), tmp_path / "flying.jsonl", job="flying")
    world.submit(tmp_path / "flying.jsonl")
    world.write(items(3), tmp_path / "later.jsonl", job="later")
    world.submit(tmp_path / "later.jsonl", send=False)
    world.api().retry("again")
    yield world
    world.embedded.close()
