"""Any night: users, schedules, kills and a bad service in whatever order Hypothesis thinks of, with what must always hold as its rules.

Each step is what a person, cron or the far end may do at any moment; after each one every invariant of the ledger holds and no request was
executed twice. At the end all calls under way arrive, everything runs out, and each item of the last job file has the answer to its last
request; every token that the service counted is in the ledger, or in a folder of answers that no item asks any more.

Now and then an older ledger is put back and recovered. What nothing can bring back is kept out of that: what is on its way to the service
arrives first, since nobody is left who knows of it.
"""

import contextlib
import json
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import pytest
from crashkit import HASTY, at_once, in_child
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from machinekit import live_through
from runnerkit import DAY_S, World, check_invariants

from batchrun.errors import Ambiguous, HomeLocked, Transient
from batchrun.model import Limits
from batchrun.recovery.recovering import RecoverOptions
from batchrun.service.options import Options
from batchrun.service.responders.script import Rule
from batchrun.testing_backend import Fault

Rows = list[dict[str, str]]

NIGHTS: Final = 40  # the same in every run; the profile `thorough` lives thousands of others

SCRIPT: Final = [Rule(prompt="bad", status=400), Rule(prompt="slow", times=1, status=500)]
TEXTS: Final = st.sampled_from(("one", "two", "bad", "slow"))
DATA: Final = st.dictionaries(st.sampled_from("abcde"), TEXTS, min_size=1).map(
    lambda texts: [{"id": key, "text": text} for key, text in texts.items()]
)
FAULTS: Final = st.sampled_from(
    (
        Fault(call="create", error=Ambiguous("timed out")),
        Fault(call="create", error=Ambiguous("timed out"), when="after"),
        Fault(call="create", error=Transient("429", status=429)),
        Fault(call="upload", error=Transient("reset")),
        Fault(call="upload", error=Transient("reset"), when="after"),
        Fault(call="download", error=Transient("reset")),
        Fault(call="download", error=Transient("reset"), when="after"),
        Fault(call="retrieve", error=Transient("502", status=502)),
        Fault(call="list_batches", error=Transient("502", status=502)),
        Fault(call="delete_file", error=Transient("502", status=502)),
        Fault(call="delete_file", error=Transient("reset"), when="after"),
        Fault(call="cancel", error=Transient("502", status=502), when="after"),
    )
)


class Night(RuleBasedStateMachine):
    """One home, one job file that changes, one far service."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = TemporaryDirectory()
        self.world = World(
            Path(self._folder.name),
            script=list(SCRIPT),
            traits=HASTY,
            limits=Limits(request_count=3),
            options=Options(validating_s=50, line_s=20),
        )
        self.backup = Path(self._folder.name) / "backup.db"
        self.rows: Rows = []

    # -- people --------------------------------------------------------------------------------------------------------------

    @initialize(rows=DATA, is_sent=st.booleans())
    def first_submit(self, rows: Rows, is_sent: bool) -> None:
        self.submit(rows, is_sent, new_only=False)

    @rule(rows=DATA, is_sent=st.booleans(), new_only=st.booleans())
    def submit(self, rows: Rows, is_sent: bool, new_only: bool) -> None:
        self.world.write(rows)
        prepared = self.world.submit(send=is_sent, new_only=new_only, allow_missing=True)
        assert prepared.error is None
        self.rows = rows

    @rule(rows=DATA, point=st.integers(1, 60))
    def submit_and_die(self, rows: Rows, point: int) -> None:
        """The user makes it again, as anyone would."""
        self.world.write(rows)
        in_child(self.world, lambda: self.world.submit(allow_missing=True), point)
        self.submit(rows, is_sent=False, new_only=False)

    @rule()
    def cancel(self) -> None:
        self.world.api().cancel("reviews")

    @rule()
    def retry(self) -> None:
        self.world.api().retry("reviews")

    @rule()
    def redo(self) -> None:
        self.world.api().retry("reviews", redo=True)

    # -- disks ----------------------------------------------------------------------------------------------------------------

    @rule()
    def back_up(self) -> None:
        """As a backup program does it: the ledger alone, the spool is newer."""
        with (
            closing(sqlite3.connect(self.world.home.database)) as ledger,
            closing(sqlite3.connect(self.backup)) as copy,
        ):
            ledger.backup(copy)
        self.backup.chmod(0o600)

    @precondition(lambda self: self.backup.exists())
    @rule(point=st.sampled_from([None, None, 3, 12, 25]))
    def put_back(self, point: int | None) -> None:
        """The older ledger, and `recover` with the job file, which may die before it comes to its end."""
        world = self.world
        answers = world.answers()
        world.clock.sleep_until(world.wire.under_way_until)
        for suffix in ("-wal", "-shm"):
            world.home.database.with_name(f"{world.home.database.name}{suffix}").unlink(
                missing_ok=True
            )
        self.backup.rename(world.home.database)
        if point is not None:
            in_child(world, self._recover, point)
        self._recover()
        if not self._is_held():
            wanted = {row["id"] for row in self.rows}
            known = {key: answer for key, answer in answers.items() if key in wanted}
            assert known.items() <= world.answers().items()

    def _is_held(self) -> bool:
        return bool(self.world.rows("select 1 from meta where key glob 'recover:*'"))

    def _recover(self) -> None:
        recovered = self.world.api().recover(
            (self.world.job_file,), RecoverOptions(allow_missing=True)
        )
        assert [job.error for job in recovered.prepared] == [None]

    # -- schedules -----------------------------------------------------------------------------------------------------------

    @rule()
    def tick(self) -> None:
        self.world.tick()

    @rule(point=st.integers(1, 40))
    def tick_and_die(self, point: int) -> None:
        in_child(self.world, self.world.tick, point)

    @rule(is_submit=st.booleans())
    def overlap(self, is_submit: bool) -> None:
        """Two processes at the same moment: one gives way, or waits."""
        second = partial(self.world.submit, allow_missing=True) if is_submit else self._try_tick
        at_once(self.world, self._try_tick, second)

    def _try_tick(self) -> None:
        with contextlib.suppress(HomeLocked):
            self.world.tick()

    # -- the far end -----------------------------------------------------------------------------------------------------------

    @rule()
    def serve(self) -> None:
        self.world.serve()

    @rule(seconds=st.sampled_from([1, 70, 700, 5_000, DAY_S]))
    def wait(self, seconds: int) -> None:
        self.world.clock.advance(seconds)

    @rule(fault=FAULTS)
    def go_wrong(self, fault: Fault) -> None:
        """The next call of its kind."""
        calls = self.world.backend.calls.count(fault.call)
        self.world.backend.add(
            Fault(call=fault.call, error=fault.error, when=fault.when, number=calls + 1)
        )

    @rule(delay=st.sampled_from([20, 130, 590, 3_000, None]))
    def create_late(self, delay: int | None) -> None:
        """The next create is answered by a time-out, and arrives later, or never."""
        made = self.world.wire.creates
        known = self.world.wire.delays[:made]
        self.world.wire.delays = (*known, *[0] * (made - len(known)), delay)

    @rule(lag=st.sampled_from([0, 50, 110]), delete_lag=st.sampled_from([0, 100, 300]))
    def lag(self, lag: int, delete_lag: int) -> None:
        self.world.wire.lag_s, self.world.wire.delete_lag_s = lag, delete_lag

    # -- what must hold --------------------------------------------------------------------------------------------------------

    @invariant()
    def the_ledger_is_sound(self) -> None:
        if self.world.home.database.exists():
            with self.world.ledger() as ledger:
                check_invariants(ledger)

    @invariant()
    def nothing_is_executed_twice(self) -> None:
        twice = {custom_id for custom_id, times in self.world.charges().items() if times > 1}
        assert not twice

    def teardown(self) -> None:
        try:
            if self.rows:
                self._run_out()
        finally:
            self.world.close()
            self._folder.cleanup()

    def _run_out(self) -> None:
        world = self.world
        world.clock.advance(2 * DAY_S)
        world.serve()
        while self._is_held():  # the service had answered with an error
            self._recover()
        self.submit(self.rows, is_sent=False, new_only=False)
        world.run(most=3_000)
        self.submit(self.rows, is_sent=False, new_only=False)  # cancelled ones are wanted again
        world.run(most=3_000)
        states, answers = world.states(), world.answers()
        assert set(states) == {row["id"] for row in self.rows}
        for row in self.rows:
            if row["text"] == "bad":
                assert states[row["id"]] == "failed", row
            else:
                assert states[row["id"]] == "succeeded", row
                assert answers[row["id"]] == f"Review: {row['text']}"
        self.nothing_is_executed_twice()
        counted = sum(
            (remote["usage"] or {"input_tokens": 0})["input_tokens"] for remote in world.remotes()
        )
        ((recorded,),) = (
            tuple(row.values())
            for row in world.rows(
                "select coalesce((select sum(input_tokens) from result_rows), 0)"
                " + coalesce((select sum(input_tokens) from history), 0)"
            )
        )
        assert recorded + self._unplaced() == counted, "every answer that was paid is kept"

    def _unplaced(self) -> int:
        """Tokens of the answers that a recovery found for what no item asks any more."""
        lines = (
            json.loads(line)
            for path in self.world.home.outputs.glob("recovered-*/output.jsonl")
            for line in path.read_bytes().splitlines()
        )
        return sum(line["response"]["body"]["usage"]["input_tokens"] for line in lines)


@pytest.mark.usefixtures("real_sleep")  # of two processes at once, one waits for the other
@pytest.mark.fault(29, 37, 40)
def test_whatever_happens_in_whatever_order_nothing_is_paid_twice_and_nothing_is_lost() -> None:
    live_through(Night, nights=NIGHTS, steps=30)
