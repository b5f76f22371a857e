"""What the tests of the core share: a home, a job file, a service at the far end of an imperfect wire, and the invariants of the ledger.

Nothing here is a mock. The service is batchrun's own, on a manual clock; the wire gives it OpenAI's manners (nothing runs in our process,
listings and deletions lag, answers get lost, a call may arrive hours after it was given up).
"""

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from invariants import check_invariants
from wirekit import OPENAI, Wire

from batchrun.api import Batchrun, Prepared
from batchrun.backends.base import Backend, Traits
from batchrun.backends.embedded import EmbeddedBackend
from batchrun.config import Config, load_config
from batchrun.ledger.connection import Ledger, open_ledger
from batchrun.ledger.home import Home
from batchrun.ledger.snapshot import take_snapshot
from batchrun.ledger.states import IS_OPEN_BATCH
from batchrun.model import JsonObject, Limits
from batchrun.planning.actions import Wait
from batchrun.planning.plan import plan
from batchrun.running.passresult import PassResult
from batchrun.running.runner import Runner
from batchrun.service.options import Options
from batchrun.service.responders.script import Rule
from batchrun.service.responders.scripted import Script, ScriptedResponder
from batchrun.service.service import BatchService
from batchrun.takingitems import SubmitOptions
from batchrun.testing import ManualClock
from batchrun.testing_backend import Fault, FaultyBackend

FAR_S: Final = 1_000_000.0
DAY_S: Final = 86_400
PROFILE: Final = "openai"
VISIT_S: Final = 600  # between two passes of a person who waits for nothing any more
# The first end of an audit, where nothing but audits is left; else NULL.
_ONLY_AUDITS: Final = f"""
  select min(audit_until) from batch_rows where audit_until > ?
    and not exists (select 1 from batch_rows where {IS_OPEN_BATCH})
    and not exists (select 1 from progress where state in ('pending', 'in_flight'))
"""
__all__ = [
    "DAY_S",
    "OPENAI",
    "PROFILE",
    "NewWorld",
    "Wire",
    "World",
    "check_invariants",
    "items",
    "texts",
]


@dataclass
class World:
    """A folder with a home and a job file, and a far service that outlives our processes."""

    folder: Path
    script: Script | list[Rule] = field(default_factory=list)
    options: Options = field(default_factory=Options)
    limits: Limits = field(default_factory=Limits)
    traits: Traits = OPENAI
    faults: list[Fault] = field(default_factory=list)
    clock: ManualClock = field(default_factory=ManualClock)

    def __post_init__(self) -> None:
        self.home = Home(self.folder / ".batchrun")
        self.job_file = self.folder / "reviews.jsonl"
        self.events: list[tuple[str, Mapping[str, object]]] = []
        self.lent: dict[str, Any] = {}  # further settings of `Batchrun`, for every pass
        self.embedded = EmbeddedBackend(
            self.folder / "far",
            lambda: ScriptedResponder(self.script, clock=self.clock, seen=self.folder / "far-seen"),
            self.clock,
            limits=self.limits,
            options=self.options,
        )
        self.wire = Wire(self.embedded, self.clock, self.folder / "wire.json", self.traits)
        self.backend = FaultyBackend(self.wire, self.faults)

    # -- the user's side ------------------------------------------------------------------------------------------------------

    @property
    def config(self) -> Config:
        """Built-in profiles, with this world's limits for `openai`."""
        config = load_config(self.folder, self.home.path, {})
        profile = replace(config.profiles[PROFILE], limits=self.limits)
        return replace(config, profiles={**config.profiles, PROFILE: profile})

    def api(self, **settings: Any) -> Batchrun:
        """The library, as a new process would have it."""
        return Batchrun(
            home=self.home,
            config=self.config,
            clock=self.clock,
            observer=self._note,
            open_backend=self.opened,
            **{**self.lent, **settings},
        )

    @property
    def backends(self) -> tuple[FaultyBackend, ...]:
        """All that our processes call."""
        return (self.backend,)

    def let_go(self) -> None:
        """Close what this process has opened of services; they open again by themselves."""
        self.embedded.close()

    def opened(self, profile: str) -> Backend:
        """What stands behind a profile."""
        return self.backend

    def _note(self, event: str, **facts: object) -> None:
        self.events.append((event, facts))

    def write(self, items: Iterable[JsonObject], path: Path | None = None, **changes: Any) -> Path:
        """The job file: one job `reviews`, its items inline. `changes` are keys of the job line; None leaves one out."""
        line = {
            "job": "reviews",
            "model": "gpt-4.1-mini",
            "prompt": "Review: {{ text }}",
            "max_output_tokens": 1000,
            "backend": PROFILE,
            **changes,
        }
        job_line = {key: value for key, value in line.items() if value is not None}
        path = path or self.job_file
        path.write_text("".join(json.dumps(row) + "\n" for row in (job_line, *items)))
        return path

    def submit(self, *files: Path, **options: Any) -> Prepared:
        """Submit the job file; the tally or error of its (first) job. Options of `Batchrun.submit` and of SubmitOptions alike."""
        ours = {k: options.pop(k) for k in ("replace", "fresh", "confirm", "send") if k in options}
        prepared, _ = self.api().submit(files or (self.job_file,), SubmitOptions(**options), **ours)
        return prepared[0]

    def tick(self) -> PassResult:
        """One pass, under the lock, whether or not anything is due."""
        runner: Runner = self.api()._runner()
        return runner.run_pass(lock_wait_s=0)

    def tick_moment(self) -> int | None:
        """When something is due next, without doing anything; None when all is final."""
        api = self.api()
        with self.ledger() as ledger:
            now = self.clock.now()
            actions = plan(
                take_snapshot(ledger, now, pace_of=api._pace_of, queue_of=api._queue_of), now
            )
        if not actions:
            return None
        first = actions[0]
        return first.until if isinstance(first, Wait) else now

    # -- time ---------------------------------------------------------------------------------------------------------------------

    @property
    def service(self) -> BatchService:
        """The far service itself."""
        return self.embedded.service

    def serve(self) -> None:
        """The far service does all that it can do now."""
        self.wire.deliver()
        self.service.work(FAR_S)

    def run(self, *, most: int = 2_000) -> PassResult:
        """Passes, and the far service's work between them, until nothing is left to do."""
        for _ in range(most):
            result = self.tick()
            if result.next_at is None:
                return result
            assert result.next_at > self.clock.now(), "a wait must lie in the future"
            self.serve()
            self.clock.sleep_until(self.next_visit(result.next_at))
        raise AssertionError(f"no end after {most} passes: {self.states()}")

    def run_until(self, done: Callable[[], bool], *, most: int = 2_000) -> None:
        """Passes as in `run`, until `done` is true after one."""
        for _ in range(most):
            result = self.tick()
            if done():
                return
            assert result.next_at is not None, "nothing left to do, and it is not done"
            self.serve()
            self.clock.sleep_until(result.next_at)
        raise AssertionError(f"not done after {most} passes: {self.states()}")

    def next_visit(self, next_at: int) -> int:
        """When the next pass runs: at `next_at`, or later where all is final and a batch's duplicates are only still looked for.

        Nobody waits then; somebody comes by every ten minutes, and once more in the last second of each audit.
        """
        now = self.clock.now()
        with self.ledger() as ledger:
            ends_at = ledger.value(_ONLY_AUDITS, (now,))
        return next_at if ends_at is None else max(next_at, min(now + VISIT_S, ends_at - 1))

    # -- looking ----------------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def ledger(self) -> Iterator[Ledger]:
        """The ledger, opened for this block."""
        with open_ledger(self.home) as ledger:
            yield ledger

    def rows(self, sql: str, *parameters: object) -> list[dict[str, Any]]:
        """Rows of the ledger."""
        with self.ledger() as ledger:
            return [dict(row) for row in ledger.rows(sql, parameters)]

    def states(self) -> dict[str, str]:
        """State by item id (or name); vanished ones apart."""
        rows = self.rows("select id, state from items where not vanished order by item")
        return {row["id"]: row["state"] for row in rows}

    def tally(self) -> dict[str, int]:
        """Number of items by state."""
        return dict(Counter(self.states().values()))

    def batches(self) -> list[dict[str, Any]]:
        """All batch rows, with the state's name."""
        return self.rows(
            "select r.*, v.state as name from batch_rows r join batches v on v.id = r.id order by r.id"
        )

    def failures(self) -> dict[str, str]:
        """Cause by item id."""
        return {row["id"]: row["cause"] for row in self.rows("select id, cause from failures")}

    def answers(self) -> dict[str, Any]:
        """Output by item id, of those that succeeded."""
        return {row["id"]: row["output"] for row in self.rows("select id, output from results")}

    def incidents(self) -> list[str]:
        """Kinds of the incidents, in order."""
        return [row["kind"] for row in self.rows("select kind from incidents order by id")]

    def output(self, name: str) -> bytes:
        """A file of the job's outputs."""
        return (self.home.outputs / "reviews" / name).read_bytes()

    def charges(self) -> dict[str, int]:
        """How often each custom_id was executed at the far end."""
        return dict(self.service.charges())

    def executions(self) -> dict[int, int]:
        """How often each item was executed at the far end, whatever its custom_id."""
        found: Counter[int] = Counter()
        for custom_id, times in self.charges().items():
            found[int(custom_id.partition("-")[0])] += times
        return dict(found)

    def remotes(self) -> list[JsonObject]:
        """Every batch at the far end, oldest first."""
        page = self.service.list_batches(limit=100)
        assert not page["has_more"]
        return list(reversed(page["data"]))

    def close(self) -> None:
        """Check everything that must hold at any time, and let the service go."""
        if self.home.database.exists():
            with self.ledger() as ledger:
                check_invariants(ledger)
        self.embedded.close()


def items(count: int, **fields: Any) -> list[JsonObject]:
    """`count` items i0, i1, …, each with a text of its own."""
    return [{"id": f"i{n}", "text": f"text {n}", **fields} for n in range(count)]


def texts(*values: str) -> list[JsonObject]:
    return [{"text": value} for value in values]


NewWorld = Callable[..., World]
