"""Any night under limits: jobs, people, kills and a bad service in whatever order Hypothesis thinks of, and no limit is ever passed.

After every commit, of passes that die too, all that is spent, presumed, reserved and set aside is within each hard limit; and after every
step so is what the far side has really executed, answered or not, in each day, month and ever. A limit that is set later than the money was
taken counts from what was taken. In the end everything ends: no limit makes anybody wait for nothing.
"""

import contextlib
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pytest
from crashkit import at_once, in_child
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from machinekit import live_through
from runnerkit import DAY_S, check_invariants
from spendingkit import NEAR, Dying, limit_of, metered_world, watched

from batchrun.backends.base import RemoteBatch
from batchrun.errors import Ambiguous, HomeLocked, Refused, Transient
from batchrun.ledger.states import BatchState, ItemState
from batchrun.money.amounts import DOLLAR
from batchrun.money.limits import Period, Scope
from batchrun.service.responders.script import Rule
from batchrun.testing_backend import Fault

NIGHTS: Final = 8  # the same in every run; the profile `thorough` lives thousands of others

SCRIPT: Final = [Rule(prompt="bad", status=400), Rule(prompt="slow", times=1, status=500)]
TEXTS: Final = st.sampled_from(("long", "long too", "short", "bad", "slow", "mute"))
ROWS: Final = st.dictionaries(st.sampled_from("abcdef"), TEXTS, min_size=1).map(
    lambda texts: [{"id": key, "text": text} for key, text in texts.items()]
)
CAPS: Final = st.sampled_from((100, 1_000, 2_000))
CHAT: Final = {"endpoint": "/v1/chat/completions", "body": {"n": 2}}
# The longest answer of 1,000 tokens costs about 11 cents by batch, and 22 live.
JOBS: Final[dict[str, dict[str, Any]]] = {
    "plain": {"tags": ["eu"]},
    "chat": {"tags": ["eu", "night"], **CHAT},
    "direct": {"tags": ["night"], "backend": NEAR, "uncertain": "retry"},
    "own": {"budget": {"day": 0.5}},
    "hasty": {"tags": ["eu"], "deadline": "8h"},
}
OWN: Final = (limit_of(Scope.JOB, "own", Period.DAY, DOLLAR // 2),)
NAMES: Final = ("", ".account.default", ".profile.openai", ".tag.eu", ".job.plain")
AMOUNTS: Final = st.sampled_from((0.3, 0.5, 1, 0.1, 3, 0))
KEYS: Final = st.sampled_from(("day", "month", "total", "soft_day"))
BUDGETS: Final = st.dictionaries(
    st.sampled_from(NAMES),
    st.dictionaries(KEYS, AMOUNTS, min_size=1, max_size=2),
    min_size=1,
    max_size=3,
).map(
    lambda tables: "\n".join(
        f"[budget{name}]\n" + "".join(f"{key} = {amount}\n" for key, amount in table.items())
        for name, table in sorted(tables.items())
    )
)
FAULTS: Final = st.sampled_from(
    (
        Fault(call="create", error=Ambiguous("timed out")),
        Fault(call="create", error=Ambiguous("timed out"), when="after"),
        Fault(call="create", error=Transient("429", status=429)),
        Fault(call="create", error=Refused("no", status=400)),
        Fault(call="create", error=Refused("no", status=400), when="after"),
        Fault(call="create", error=Refused("too large", status=413)),
        Fault(call="upload", error=Transient("reset"), when="after"),
        Fault(call="upload", error=Refused("no", status=400)),
        Fault(call="download", error=Transient("reset")),
        Fault(call="retrieve", error=Transient("502", status=502)),
        Fault(call="list_batches", error=Transient("502", status=502)),
        Fault(call="cancel", error=Transient("502", status=502), when="after"),
    )
)


class Spending(RuleBasedStateMachine):
    """One home, several jobs, limits that change, one far service that is paid."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = TemporaryDirectory()
        self.world = metered_world(Path(self._folder.name), script=list(SCRIPT))
        self._watched = contextlib.ExitStack()
        self._watched.enter_context(watched(self.world))
        self.rows: dict[str, tuple[Path, list[dict[str, str]]]] = {}

    # -- people --------------------------------------------------------------------------------------------------------------

    @initialize(
        budget=BUDGETS,
        job=st.sampled_from(sorted(JOBS)),
        rows=ROWS,
        cap=CAPS,
        queue=st.sampled_from((None, None, 100)),
    )
    def begin(
        self, budget: str, job: str, rows: list[dict[str, str]], cap: int, queue: int | None
    ) -> None:
        """`queue`: how many tokens the service lets wait; what is more it refuses, and is cut smaller."""
        self.world.embedded._options = replace(self.world.options, queue_tokens=queue)
        self.set_budget(budget)
        self.submit(job, rows, cap)

    @rule(job=st.sampled_from(sorted(JOBS)), rows=ROWS, cap=CAPS)
    def submit(self, job: str, rows: list[dict[str, str]], cap: int, **changes: Any) -> None:
        path = self.world.folder / f"{job}.jsonl"
        line = {"job": job, "max_output_tokens": cap, **JOBS[job], **changes}
        if "body" in line:
            line["body"] = {**line["body"], "max_completion_tokens": cap}
            line["max_output_tokens"] = None
        self.world.write(rows, path, **line)
        prepared = self.world.submit(path, allow_missing=True)
        assert prepared.error is None, prepared.error
        self.rows[job] = (path, rows)

    @rule(job=st.sampled_from(sorted(JOBS)), rows=ROWS, point=st.integers(1, 60))
    def submit_and_die(self, job: str, rows: list[dict[str, str]], point: int) -> None:
        """The user makes it again, as anyone would."""
        in_child(self.world, lambda: self.submit(job, rows, 1_000), point)
        self.submit(job, rows, 1_000)

    @rule(budget=st.just("") | BUDGETS)
    def set_budget(self, budget: str) -> None:
        self.world.set_budget(budget, OWN)

    @rule(job=st.sampled_from(sorted(JOBS)))
    def cancel(self, job: str) -> None:
        if job in self.rows:
            self.world.api().cancel(job)

    @rule(job=st.sampled_from(sorted(JOBS)), redo=st.booleans())
    def retry(self, job: str, redo: bool) -> None:
        if job in self.rows:
            self.world.api().retry(job, redo=redo, rerun_lost=True, rerun_uncertain=True)

    @rule(job=st.none() | st.sampled_from(sorted(JOBS)), is_held=st.booleans())
    def hold_or_resume(self, job: str | None, is_held: bool) -> None:
        if job is None or job in self.rows:
            (self.world.api().hold if is_held else self.world.api().resume)(job)

    # -- schedules -----------------------------------------------------------------------------------------------------------

    @rule()
    def tick(self) -> None:
        self.world.tick()

    @rule(point=st.integers(1, 60))
    def tick_and_die(self, point: int) -> None:
        in_child(self.world, self.world.tick, point)

    @rule(count=st.integers(1, 3))
    def die_while_asking(self, count: int) -> None:
        """A direct profile has asked, and nobody hears the answer."""
        Dying.after = count
        try:
            in_child(self.world, self.world.tick, 10_000)
        finally:
            Dying.after = None

    @rule()
    def overlap(self) -> None:
        at_once(self.world, self._try_tick, self._try_tick)

    def _try_tick(self) -> None:
        with contextlib.suppress(HomeLocked):
            self.world.tick()

    # -- the far end -----------------------------------------------------------------------------------------------------------

    @rule()
    def serve(self) -> None:
        self.world.serve()

    @rule(seconds=st.sampled_from((1, 70, 700, 5_000, DAY_S, 12 * DAY_S)))
    def wait(self, seconds: int) -> None:
        self.world.clock.advance(seconds)

    @rule(passes=st.integers(2, 12))
    def go_on(self, passes: int) -> None:
        """A quiet time: passes, and the far service at work between them."""
        for _ in range(passes):
            result = self.world.tick()
            self.world.serve()
            self.world.check_meter()
            if result.next_at is None:
                return
            self.world.clock.sleep_until(result.next_at)

    @rule(fault=FAULTS)
    def go_wrong(self, fault: Fault) -> None:
        """The next call of its kind."""
        calls = self.world.backend.calls.count(fault.call)
        self.world.backend.add(
            Fault(call=fault.call, error=fault.error, when=fault.when, number=calls + 1)
        )

    @rule()
    def a_night_passes(self) -> None:
        self.go_on(12)

    @rule(
        delay=st.sampled_from((20, 130, 590, 3_000, None)),
        lag=st.sampled_from((0, 50, 110)),
        delete_lag=st.sampled_from((0, 100, 300)),
    )
    def create_late(self, delay: int | None, lag: int, delete_lag: int) -> None:
        self.world.wire.lag_s, self.world.wire.delete_lag_s = lag, delete_lag
        made = self.world.wire.creates
        known = self.world.wire.delays[:made]
        self.world.wire.delays = (*known, *[0] * (made - len(known)), delay)

    @rule()
    def lose(self) -> None:
        """The service knows none of its batches any more, until they are given up; they run on."""
        self.world.wire.hidden |= {remote["id"] for remote in self.world.remotes()}
        for _ in range(12):
            if not self.world.rows(
                "select 1 from batch_rows where profile = 'openai' and state = ?",
                BatchState.CREATED,
            ):
                return
            self.world.clock.advance(400)
            self.world.tick()

    @precondition(lambda self: self.world.wire.hidden)
    @rule()
    def find(self) -> None:
        self.world.wire.hidden.clear()

    @rule(is_silent=st.booleans(), drops=st.booleans())
    def garble(self, is_silent: bool, drops: bool) -> None:
        """The service says nothing of a batch's usage; and the first line of each of its files is lost."""
        wire = self.world.wire
        wire.edit = _without_usage if is_silent else lambda batch: batch
        wire.content = _without_first_line if drops else None

    # -- what must hold --------------------------------------------------------------------------------------------------------

    @invariant()
    def no_limit_is_passed(self) -> None:
        if self.world.has_moved():
            with self.world.ledger() as ledger:
                check_invariants(ledger)
                self.world.check_books(ledger)
            self.world.check_meter()

    def teardown(self) -> None:
        try:
            if self.rows:
                self._run_out()
        finally:
            self._watched.close()
            self.world.close()
            self._folder.cleanup()

    def _run_out(self) -> None:
        """What fits ends, what does not waits; with room enough all of it ends, and the books are what the service counted."""
        world = self.world
        self.find()
        world.clock.advance(2 * DAY_S)
        world.serve()
        world.run(most=500)
        self.no_limit_is_passed()
        world.set_budget("[budget]\nsoft_total = 0.01\n")
        world.api().resume()
        for job, (path, rows) in self.rows.items():
            world.write(rows, path, **{"job": job, **JOBS[job], "budget": None})
            world.submit(path, allow_missing=True)
            world.api().resume(job)
        world.run(most=500)
        self.no_limit_is_passed()
        assert not world.rows(
            "select i.id from item_rows i join jobs j on j.id = i.job where i.state in (?, ?) and j.paused is null",
            ItemState.PENDING,
            ItemState.IN_FLIGHT,
        ), "nothing is left to do, and it is not done"
        world.check_settled()


def _without_usage(batch: RemoteBatch) -> RemoteBatch:
    return replace(batch, raw={**batch.raw, "usage": None})


def _without_first_line(file_id: str, content: bytes) -> bytes:
    return content.partition(b"\n")[2]


@pytest.mark.usefixtures("real_sleep")  # of two processes at once, one waits for the other
@pytest.mark.fault(29, 37, 40)
def test_whatever_happens_no_limit_is_ever_passed() -> None:
    live_through(Spending, nights=NIGHTS, steps=18)
