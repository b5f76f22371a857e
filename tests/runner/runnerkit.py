"""What the tests of the core share: a home, a job file, a service at the far end of an imperfect wire, and the invariants of the ledger.

Nothing here is a mock. The service is batchrun's own, on a manual clock; the wire gives it OpenAI's manners (nothing runs in our process,
listings and deletions lag, answers get lost, a call may arrive hours after it was given up).
"""

import contextlib
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from batchrun.api import Batchrun, Prepared
from batchrun.backends.base import Backend, BatchPage, RemoteBatch, RemoteFile, Traits
from batchrun.backends.embedded import EmbeddedBackend
from batchrun.config import Config, load_config
from batchrun.errors import Ambiguous, BackendError
from batchrun.ledger.connection import Ledger, open_ledger
from batchrun.ledger.home import Home
from batchrun.ledger.requestfiles import FileState
from batchrun.ledger.snapshot import take_snapshot
from batchrun.ledger.states import (
    FINAL_BATCH_STATES,
    BatchEvent,
    BatchState,
    ItemState,
)
from batchrun.model import Account, JsonObject, Limits
from batchrun.planning.plan import Wait, plan
from batchrun.prepare import SubmitOptions
from batchrun.running.runner import PassResult, Runner
from batchrun.service.options import Options
from batchrun.service.responders.script import Rule
from batchrun.service.responders.scripted import Script, ScriptedResponder
from batchrun.service.service import BatchService
from batchrun.testing import ManualClock
from batchrun.testing_backend import Fault, FaultyBackend

FAR_S: Final = 1_000_000.0
DAY_S: Final = 86_400
OPENAI: Final = Traits()
PROFILE: Final = "openai"
_BATCH_EVENTS: Final = frozenset(map(str, BatchEvent))


@dataclass
class Wire(Backend):
    """`Backend` around the embedded service that behaves like a distant one. Its state is in a file: it outlives processes.

    `delays`: seconds by which the n-th create (from 0) arrives late; it is answered with a timeout. None: it never arrives. `lag_s`: how
    old a batch must be to be listed. `delete_lag_s`: how long a file can still be used after its deletion was confirmed. `page`: edits a
    page of a listing. `edit`: edits every batch that is shown. `lost`: file ids that answer 404.
    """

    inner: EmbeddedBackend
    clock: ManualClock
    state: Path
    _traits: Traits = OPENAI
    identity: Account = field(
        default_factory=lambda: Account(base_url="https://far.example/v1", fingerprint="f1")
    )
    delays: tuple[int | None, ...] = ()
    lag_s: int = 0
    delete_lag_s: int = 0
    page: Callable[[BatchPage], BatchPage] = lambda page: page
    edit: Callable[[RemoteBatch], RemoteBatch] = lambda batch: batch
    page_size: int = 100
    content: Callable[[str, bytes], bytes] | None = None

    @property
    def traits(self) -> Traits:
        return self._traits

    @property
    def limits(self) -> Limits:
        return self.inner.limits

    def account(self, salt: bytes) -> Account:
        return self.identity

    def upload(self, path: Path, *, name: str, expires_after_s: int | None) -> RemoteFile:
        self.deliver()
        return self.inner.upload(path, name=name, expires_after_s=expires_after_s)

    def get_file(self, file_id: str) -> RemoteFile:
        self.deliver()
        return self.inner.get_file(file_id)

    def delete_file(self, file_id: str) -> bool:
        self.deliver()
        if not self.delete_lag_s:
            return self.inner.delete_file(file_id)
        self.inner.get_file(file_id)
        self._put("delete", self.delete_lag_s, {"file_id": file_id})
        return True

    def download(self, file_id: str, path: Path) -> int:
        self.deliver()
        size = self.inner.download(file_id, path)
        if self.content is not None:
            path.write_bytes(edited := self.content(file_id, path.read_bytes()))
            return len(edited)
        return size

    def create(
        self, *, input_file_id: str, endpoint: str, window: str, metadata: dict[str, str]
    ) -> RemoteBatch:
        self.deliver()
        known = self._load()
        number, known["creates"] = known["creates"], known["creates"] + 1
        self._save(known)
        delay = self.delays[number] if number < len(self.delays) else 0
        call = {
            "input_file_id": input_file_id,
            "endpoint": endpoint,
            "window": window,
            "metadata": metadata,
        }
        if delay is None:
            raise Ambiguous("the answer timed out")
        if delay:
            self._put("create", delay, call)
            raise Ambiguous("the answer timed out")
        return self.edit(self.inner.create(**call))  # type: ignore[arg-type]

    def retrieve(self, batch_id: str) -> RemoteBatch:
        self.deliver()
        return self.edit(self.inner.retrieve(batch_id))

    def cancel(self, batch_id: str) -> RemoteBatch:
        self.deliver()
        return self.edit(self.inner.cancel(batch_id))

    def list_batches(self, *, after: str | None, limit: int) -> BatchPage:
        self.deliver()
        now = self.clock.now()
        shown = self.inner.list_batches(after=after, limit=min(limit, self.page_size))
        batches = tuple(
            self.edit(b) for b in shown.batches if not self.lag_s or b.created_at + self.lag_s < now
        )
        return self.page(replace(shown, batches=batches, server_time=now))

    def work(self, seconds: float) -> bool:
        """Nothing runs in our process."""
        return False

    def close(self) -> None:
        """The far end does not notice."""

    def deliver(self) -> None:
        """Let everything that is due by now take effect, in the order in which it is due."""
        known = self._load()
        due = sorted((e for e in known["pending"] if e["at"] <= self.clock.now()), key=_due)
        if not due:
            return
        known["pending"] = [e for e in known["pending"] if e not in due]
        self._save(known)
        for entry in due:
            with contextlib.suppress(BackendError):
                if entry["call"] == "create":
                    self.inner.create(**entry["arguments"])
                else:
                    self.inner.delete_file(**entry["arguments"])

    def _put(self, call: str, delay: int, arguments: JsonObject) -> None:
        known = self._load()
        known["pending"].append(
            {"at": self.clock.now() + delay, "call": call, "arguments": arguments}
        )
        self._save(known)

    def _load(self) -> JsonObject:
        if not self.state.exists():
            return {"creates": 0, "pending": []}
        loaded: JsonObject = json.loads(self.state.read_text())
        return loaded

    def _save(self, known: JsonObject) -> None:
        self.state.write_text(json.dumps(known))


def _due(entry: JsonObject) -> int:
    at: int = entry["at"]
    return at


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
            open_backend=lambda _: self.backend,
            **settings,
        )

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
        with self.ledger() as ledger:
            now = self.clock.now()
            actions = plan(take_snapshot(ledger, now), now)
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
            self.clock.sleep_until(result.next_at)
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


def check_invariants(ledger: Ledger) -> None:
    """Everything that must hold between two transactions, whatever happened before. Assertions name what does not."""
    _check_counts(ledger)
    _check_items(ledger)
    _check_queue(ledger)
    _check_batches(ledger)
    _check_files(ledger)
    assert ledger.value("pragma integrity_check") == "ok"
    assert not list(ledger.rows("pragma foreign_key_check"))


def _check_counts(ledger: Ledger) -> None:
    hidden = "job not in (select id from jobs where submission is null)"
    live = "id not in (select i.id from item_rows i join submissions s on s.job = i.job and s.state = 0 and i.id >= s.first_item)"
    counted = {
        tuple(row)[:3]: row["n"]
        for row in ledger.rows(f"select * from item_counts where n <> 0 and {hidden}")
    }
    grouped = {
        tuple(row)[:3]: row["n"]
        for row in ledger.rows(
            f"select job, state, vanished, count(*) as n from item_rows where {hidden} and {live} group by 1, 2, 3"
        )
    }
    assert counted == grouped, "item_counts is the group by of item_rows"
    replayed: Counter[tuple[int, int, int]] = Counter()
    for e in ledger.rows("select * from events order by id"):
        if e["event"] in _BATCH_EVENTS:
            continue
        job, n, vanished = e["job"], e["n"], e["vanished"]
        if e["event"] in {"vanished", "returned"}:
            replayed[job, e["before"], 1 - vanished] -= n
            replayed[job, e["after"], vanished] += n
            continue
        if e["before"] is not None:
            replayed[job, e["before"], vanished] -= n
        if e["after"] is not None:
            replayed[job, e["after"], vanished] += n
    assert {k: n for k, n in replayed.items() if n} == counted, "events replay to the counts"


def _check_items(ledger: Ledger) -> None:
    for row in ledger.rows(
        "select i.*, b.state as batch_state, r.outcome, r.send from item_rows i left join batch_rows b on b.id = i.batch "
        "left join result_rows r on r.item = i.id"
    ):
        state, what = ItemState(row["state"]), dict(row)
        is_open = row["batch_state"] is not None and row["batch_state"] not in FINAL_BATCH_STATES
        assert (state == ItemState.IN_FLIGHT) == is_open, f"in flight in an open batch only: {what}"
        if state == ItemState.PENDING:
            assert row["batch"] is None, f"pending items are in no batch: {what}"
            assert not row["vanished"], f"a vanished item is never to be sent: {what}"
        if state == ItemState.SUCCEEDED:
            assert row["outcome"] == 0, f"succeeded without an answer: {what}"
        if state == ItemState.FAILED and row["file"] is not None:
            assert row["outcome"] == 1, f"failed without a reason: {what}"
    orphans = ledger.value(
        "select count(*) from result_rows where item not in (select id from item_rows)"
    )
    assert not orphans, "every result is some item's"
    twice = ledger.value(
        "select count(*) from (select item, batch from history group by 1, 2 having count(*) > 1)"
    )
    assert not twice, "an item is settled once per batch"


def _check_queue(ledger: Ledger) -> None:
    wrong = list(
        ledger.rows(
            "select q.item from queue q join item_rows i on i.id = q.item where i.state <> 0 or q.job <> i.job"
        )
    )
    assert not wrong, f"queued, but not pending: {[tuple(w) for w in wrong]}"
    stranded = list(
        ledger.rows(
            "select i.id from item_rows i join jobs j on j.id = i.job where i.state = 0 and j.submission is not null "
            "and i.id not in (select item from queue) and not exists (select 1 from request_files f where f.id = i.file and f.state = ?) "
            "and not exists (select 1 from submissions s where s.job = i.job and s.state = 0 and i.id >= s.first_item)",
            (FileState.FRESH,),
        )
    )
    assert not stranded, f"pending, but nothing will send them: {[tuple(s) for s in stranded]}"
    early = ledger.value(
        "select count(*) from revisions r join item_rows i on i.id = r.item join submissions s on s.id = r.submission "
        "where s.state = 1 and (i.state <> 1 or r.deferred = 0)"
    )
    assert not early, "only items in flight have a revision waiting"


def _check_batches(ledger: Ledger) -> None:
    in_flight = {
        row["batch"]: row["n"]
        for row in ledger.rows(
            "select batch, count(*) as n from item_rows where state = 1 group by 1"
        )
    }
    for row in ledger.rows("select * from batch_rows"):
        state = BatchState(row["state"])
        expected = 0 if state in FINAL_BATCH_STATES else row["request_count"]
        assert in_flight.get(row["id"], 0) == expected, f"requests of a batch: {dict(row)}"
        before: int | None = None
        events = [
            e
            for e in ledger.rows("select * from events where batch = ? order by id", (row["id"],))
            if e["event"] in _BATCH_EVENTS
        ]
        for event in events:
            assert event["before"] == before, f"the events of batch {row['id']} follow each other"
            before = event["after"]
        assert before == state, f"the events of batch {row['id']} end in its state"
        if state in {BatchState.CREATED, BatchState.ENDED}:
            assert row["remote_id"], f"a created batch has a name: {dict(row)}"


def _check_files(ledger: Ledger) -> None:
    preparing = ledger.value("select count(*) from submissions where state = 0")
    if preparing:
        return  # a dead submission: the next holder of the lock sweeps it, files and all
    spool = ledger.home.path / "spool"
    temps = [p.name for p in itertools.chain(spool.rglob("*.part"), spool.rglob(".*"))]
    writing = ledger.value("select count(*) from request_files where state = 0")
    if not writing:
        assert not temps, f"temp files are swept: {temps}"
    for row in ledger.rows("select id, bytes, state from request_files where state <> 0"):
        path = ledger.home.request_file(row["id"])
        if row["state"] == FileState.REMOVED:
            assert not path.exists(), f"request file {row['id']} is removed"
            continue
        assert path.stat().st_size == row["bytes"], f"request file {row['id']} is whole"
        assert path.stat().st_mode & 0o777 == 0o600


NewWorld = Callable[..., World]
