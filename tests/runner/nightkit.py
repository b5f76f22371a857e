"""A whole night: batchrun's own `openai` backend, its retries included, over HTTP at a service that misbehaves by script."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
from invariants import check_invariants
from runnerkit import FAR_S, items

from batchrun.api import Batchrun
from batchrun.config import load_config
from batchrun.ledger.connection import open_ledger
from batchrun.ledger.home import Home
from batchrun.model import JsonObject
from batchrun.service.faults.fault import Fault
from batchrun.service.faults.script import FaultScript
from batchrun.service.faults.service import FaultyService
from batchrun.service.options import Options
from batchrun.service.responders.script import Rule
from batchrun.service.responders.scripted import ScriptedResponder
from batchrun.service.running import running
from batchrun.testing import ManualClock

KEY: Final = "sk-canary-0123456789abcdef"
PROFILE: Final = "[profile.openai]\nsettle_s = 300\nsecond_settle_s = 600\npoll_s = 120\nlimits.request_count = 2\n"


def bad(at: str | Sequence[str], what: str, **details: Any) -> Fault:
    """A fault as a script words it."""
    return msgspec.convert({"at": at, "what": what, **details}, Fault)


class FarClock(ManualClock):
    """While we sleep, the service at the far end works."""

    service: FaultyService | None = None

    def sleep_until(self, at: int) -> None:
        """Be there, with everything done that can be done by then."""
        super().sleep_until(at)
        if self.service is not None:
            self.service.work(FAR_S)


@dataclass(kw_only=True)
class Night:
    """One job of `count` items, two to a batch, from submit to its end, and what the service knows of it then.

    `waits`: how often it is waited for. `day_after`: the job is looked after for two days more, as by cron.
    """

    folder: Path
    faults: Sequence[Fault]
    count: int = 6
    seed: int = 0
    profile: str = PROFILE
    rules: list[Rule] = field(default_factory=list)
    options: Options = field(default_factory=Options)
    clock: FarClock = field(default_factory=FarClock)
    waits: int = 40
    day_after: bool = False
    is_done: bool = False

    def play(self) -> "Night":
        """Submit, and wait as often as `wait` gives up on a service that stays away."""
        self.folder.mkdir(exist_ok=True)
        (self.folder / "batchrun.toml").write_text(self.profile)
        job = {"job": "night", "model": "gpt-5-mini", "prompt": "{{ text }}"}
        path = self.folder / "night.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in (job, *items(self.count))))
        service = FaultyService(
            self.folder / "far",
            ScriptedResponder(self.rules, clock=self.clock),
            self.clock,
            script=FaultScript(self.faults, seed=self.seed),
            options=self.options,
        )
        service.list_batches()  # the night begins
        self.clock.service = service
        try:
            with running(service, api_key=KEY, works=False) as base_url:
                api = self._program(base_url)
                prepared, _ = api.submit([path])
                assert prepared[0].error is None
                for _ in range(self.waits):
                    _, self.is_done = api.wait()
                    if self.is_done:
                        break
                    self.clock.sleep_until(self.clock.now() + 3_600)
                for _ in range(48 if self.day_after else 0):
                    self.clock.sleep_until(self.clock.now() + 3_600)
                    api.tick()
            self.truth = service.truth()
        finally:
            self.clock.service = None
            service.close()
        with open_ledger(self.home) as ledger:
            check_invariants(ledger)
        return self

    def _program(self, base_url: str) -> Batchrun:
        environ = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": base_url}
        config = load_config(self.folder, self.home.path, environ)
        return Batchrun(home=self.home, config=config, clock=self.clock)

    @property
    def home(self) -> Home:
        """Of the job."""
        return Home(self.folder / ".batchrun")

    def executions(self) -> dict[int, int]:
        """How often each item was executed, whatever became of its answer."""
        found: Counter[int] = Counter()
        for custom_id, times in self.truth["charges"].items():
            found[int(custom_id.partition("-")[0])] += times
        return dict(found)

    def rows(self, sql: str) -> list[JsonObject]:
        """Rows of the ledger."""
        with open_ledger(self.home) as ledger:
            return [dict(row) for row in ledger.rows(sql)]

    def states(self) -> dict[str, int]:
        """Number of items by state."""
        return {
            row["state"]: row["n"]
            for row in self.rows("select state, count(*) as n from items group by state")
        }

    def causes(self) -> dict[str, str]:
        """Cause by item id."""
        return {row["id"]: row["cause"] for row in self.rows("select id, cause from failures")}

    def fired(self) -> list[int]:
        """How many calls each fault of the script hit, in the order of the script."""
        return [entry["fired"] for entry in self.truth["faults"]]

    def answers(self) -> dict[str, Any]:
        """Output by item id."""
        path = self.home.outputs / "night" / "results.jsonl"
        lines = [json.loads(line) for line in path.read_bytes().splitlines()]
        return {line["id"]: line["output"] for line in lines}
