"""A world whose far service can also be asked live: a second service in the home of ours, with the same answers, that our own passes execute."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from runnerkit import PROFILE, World, items

from batchrun.backends.base import Backend
from batchrun.backends.embedded import EmbeddedBackend
from batchrun.model import Limits
from batchrun.service.options import Options
from batchrun.service.responders.script import Rule
from batchrun.service.responders.scripted import ScriptedResponder
from batchrun.testing_backend import FaultyBackend

TWIN: Final = "openai:live"
HOUR_S: Final = 3_600
LINE_S: Final = 2 * HOUR_S


@dataclass
class LiveWorld(World):
    """`World` with a twin of its profile. Both answer by the same script, so that who answered can be told by nothing else.

    `twin_limits`: those of the twin, where they are others.
    """

    twin_limits: Limits | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.near = EmbeddedBackend(
            self.home.path / "near",
            lambda: ScriptedResponder(
                self.script, clock=self.clock, seen=self.folder / "near-seen"
            ),
            self.clock,
            limits=self.twin_limits or self.limits,
        )
        self.twin = FaultyBackend(self.near, [])

    @property
    def backends(self) -> tuple[FaultyBackend, ...]:
        return (self.backend, self.twin)

    def let_go(self) -> None:
        super().let_go()
        self.near.close()

    def opened(self, profile: str) -> Backend:
        """One profile is far; the twin, and any other, is executed by us."""
        return self.backend if profile == PROFILE else self.twin

    def executions(self) -> dict[int, int]:
        """How often each item was executed, by whichever of the two."""
        found = super().executions()
        for custom_id, times in self.near.service.charges():
            item = int(custom_id.partition("-")[0])
            found[item] = found.get(item, 0) + times
        return found

    def profiles(self) -> list[str]:
        """The profile of each batch, in the order of the batches."""
        return [row["profile"] for row in self.batches()]

    def close(self) -> None:
        super().close()
        self.near.close()


def world_at(
    folder: Path, count: int = 8, script: list[Rule] | None = None, **changes: Any
) -> LiveWorld:
    """A job six hours after it was submitted by batch, to a service that executes a line in two hours."""
    folder.mkdir(exist_ok=True)
    world = LiveWorld(folder, script=script or [], options=Options(line_s=LINE_S))
    world.write(items(count), **{"deadline": "8h", **changes})
    world.submit()
    world.serve()
    world.clock.advance(6 * HOUR_S)
    world.serve()
    return world


def run_until_live(world: LiveWorld) -> None:
    """Until a pass has found the deadline near."""
    world.run_until(lambda: bool(world.rows("select 1 from jobs where live_since is not null")))
