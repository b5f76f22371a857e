"""One tick over 200 batches in flight, counted in calls: `python -m bench.tick FOLDER` prints one JSON object.

The service is batchrun's own, behind a backend that counts; it runs nothing, so every batch is still in flight an hour later.
"""

import json
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Final

from batchrun.api import Batchrun
from batchrun.backends.base import Traits
from batchrun.backends.embedded import EmbeddedBackend
from batchrun.config import load_config
from batchrun.ledger.home import Home
from batchrun.model import Limits
from batchrun.service.responders.scripted import ScriptedResponder
from batchrun.takingitems import SubmitOptions
from batchrun.testing import ManualClock
from batchrun.testing_backend import FaultyBackend

BATCHES: Final = 200
_PROFILE: Final = "openai"
_AFTER_S: Final = 3_600
_NO_CALLS: Final = frozenset({"account", "work"})  # these never leave the process


class _Far(EmbeddedBackend):
    """The service at the far end of a wire: nothing runs in our process."""

    @property
    def traits(self) -> Traits:
        """Those of a distant service."""
        return Traits()

    def work(
        self, seconds: float, *, resting: frozenset[str] = frozenset(), goes_on: bool = False
    ) -> int | None:
        """Nothing to do here."""
        del seconds, resting, goes_on
        return None


def calls_of_a_tick(folder: Path, batches: int = BATCHES) -> Counter[str]:
    """Submit a job of one item a batch, wait an hour, tick once: the calls of that tick, by name."""
    clock, home, limits = ManualClock(), Home(folder / ".batchrun"), Limits(request_count=1)
    job = folder / "job.jsonl"
    line = {"job": "tick", "model": "m", "prompt": "{{ text }}", "max_output_tokens": 50}
    items = [{"id": str(n), "text": f"text {n}"} for n in range(batches)]
    job.write_text("".join(json.dumps(row) + "\n" for row in (line, *items)), encoding="utf-8")
    far = _Far(
        folder / "far",
        lambda: ScriptedResponder([], clock=clock, seen=folder / "seen"),
        clock,
        limits=limits,
    )
    backend = FaultyBackend(far)
    config = load_config(folder, home.path, {})
    profile = replace(config.profiles[_PROFILE], limits=limits)
    batchrun = Batchrun(
        home=home,
        config=replace(config, profiles={**config.profiles, _PROFILE: profile}),
        clock=clock,
        open_backend=lambda _: backend,
    )
    batchrun.submit((job,), SubmitOptions())
    assert Counter(backend.calls)["create"] == batches
    clock.advance(_AFTER_S)
    before = Counter(backend.calls)
    batchrun.tick()
    calls = Counter(backend.calls) - before
    return Counter({name: n for name, n in calls.items() if name not in _NO_CALLS})


def main() -> None:
    """Print the calls by name, and their sum."""
    calls = calls_of_a_tick(Path(sys.argv[1]))
    print(json.dumps({"calls": calls.total(), "by_name": dict(calls)}))


if __name__ == "__main__":
    main()
