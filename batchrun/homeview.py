"""What can be asked of a home without changing it: where jobs stand, answers, failures, the life of an item, whether all is in order.

The half of the library's face that reads; `api.Batchrun` adds what submits, sends and removes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from batchrun.clock import Clock, SystemClock
from batchrun.config import Config
from batchrun.errors import NotFinished
from batchrun.ledger.connection import Ledger, open_for_reading, open_ledger
from batchrun.ledger.held import untold_holds
from batchrun.ledger.home import Home
from batchrun.ledger.items import open_count
from batchrun.ledger.jobs import JobRow, find_jobs, untold_ends, untold_pauses
from batchrun.ledger.lock import pass_lock
from batchrun.ledger.shortages import untold_shortages
from batchrun.ledger.snapshot import take_snapshot
from batchrun.ledger.states import IS_OPEN_BATCH
from batchrun.ledger.wishes import has_wishes
from batchrun.looking import JobStatus, choose_job, choose_jobs, job_statuses
from batchrun.model import JsonObject
from batchrun.pace import pace_of
from batchrun.planning.actions import Wait
from batchrun.planning.deadline import Pace
from batchrun.planning.plan import plan
from batchrun.planning.queuefacts import Queue
from batchrun.queues import queue_of
from batchrun.running.passresult import PassResult
from batchrun.running.purse import Purse
from batchrun.running.stopped import stops

if TYPE_CHECKING:
    from batchrun.ledger.standings import LimitStanding, Notice
    from batchrun.outputs.explain import Explanation
    from batchrun.outputs.failures import FailureGroup
    from batchrun.outputs.results import Format
    from batchrun.outputs.table import CutCells
    from batchrun.outputs.writing import Written
    from batchrun.spending.report import Spending
    from batchrun.verifying.verify import Verification

LOCK_WAIT_S: Final = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeView:
    """One home and the settings to look at it with. `backend`: of jobs that several backends answered, the one that is meant (`--backend`)."""

    home: Home
    config: Config
    clock: Clock = field(default_factory=SystemClock)
    backend: str | None = None
    lock_wait_s: float = LOCK_WAIT_S

    def status(self, jobs: Sequence[str] = ()) -> tuple[JobStatus, ...]:
        """Where the named jobs stand (none: all); what it costs says `looking.job_statuses`."""
        with open_for_reading(self.home) as ledger:
            return job_statuses(ledger, jobs, profile=self._wanted_profile)

    def untold_ends(self) -> frozenset[int]:
        """Ids of jobs that ended and of which no command has told: of one that another command's pass found, `tick` does."""
        with open_for_reading(self.home) as ledger:
            return untold_ends(ledger)

    def untold_holds(self) -> frozenset[int]:
        """Ids of jobs that a person holds and of which `tick` has not told; 0 stands for the whole home."""
        with open_for_reading(self.home) as ledger:
            return untold_holds(ledger)

    def untold_pauses(self) -> frozenset[int]:
        """Ids of jobs of which no command has told that they are paused; most of them are not."""
        with open_for_reading(self.home) as ledger:
            return untold_pauses(ledger)

    def untold_shortages(self) -> frozenset[int]:
        """Ids of jobs that wait for money which nothing that is out can free, and of which no command has told."""
        with open_for_reading(self.home) as ledger:
            return untold_shortages(ledger)

    def untold_notices(self) -> "tuple[Notice, ...]":
        """Shares of limits, such as 75 %, that were reached and of which no command has told; of each limit the largest."""
        from batchrun.ledger.standings import untold_notices

        with open_for_reading(self.home) as ledger:
            return untold_notices(ledger)

    def limits(self, jobs: Sequence[str] = ()) -> "tuple[LimitStanding, ...]":
        """How the limits stand that the named jobs fall under (none: those of the settings, and of the lines of jobs with open items)."""
        from batchrun.limitview import limits_under

        with open_for_reading(self.home) as ledger:
            chosen = [job.id for job in self._chosen(ledger, jobs)] if jobs else None
            return limits_under(ledger, self.config, self.clock.now(), jobs=chosen)

    def last_pass_at(self) -> int | None:
        """When the last pass ended well, in unix seconds."""
        with open_for_reading(self.home) as ledger:
            value = ledger.meta("last_pass_at")
        return None if value is None else int(value)

    def results(
        self,
        job: str,
        *,
        form: "Format" = "jsonl",
        defuse: bool = True,
        require_complete: bool = False,
        cut: "CutCells | None" = None,
    ) -> Iterator[bytes]:
        """Items and answers in input order, streamed from the ledger, finished or not. Raises NotFinished where asked to.

        `defuse`: text cells of a CSV that would start a formula are made harmless. `cut` counts the cells that Excel would not take whole.
        """
        from batchrun.outputs.results import stream_results

        with open_for_reading(self.home) as ledger:
            row = self._one(ledger, job)
            self._require(ledger, row, is_complete=require_complete)
            yield from stream_results(ledger, row.id, format=form, defuse=defuse, cut=cut)

    def write_outputs(
        self, job: str, *, defuse: bool = True, require_complete: bool = False
    ) -> "Written":
        """Write all output files of a job now, finished or not; the manifest says which. Raises HomeLocked, NotFinished, LedgerError."""
        from batchrun.outputs.writing import write_outputs

        with (
            pass_lock(self.home, wait_s=self.lock_wait_s),
            open_ledger(self.home) as ledger,
        ):
            row = self._one(ledger, job)
            self._require(ledger, row, is_complete=require_complete)
            return write_outputs(ledger, row.id, now=self.clock.now(), defuse=defuse)

    def report(self, job_id: int) -> JsonObject:
        """The report of a job as in its `report.json` (docs/outputs.md)."""
        from batchrun.outputs.reporting import job_report

        with open_for_reading(self.home) as ledger:
            return job_report(ledger, job_id)

    def failures(self, jobs: Sequence[str] = ()) -> "tuple[FailureGroup, ...]":
        """Failed items of the named jobs (none: all) by cause, each with its fix."""
        from batchrun.outputs.failures import failure_groups

        with open_for_reading(self.home) as ledger:
            return tuple(
                group
                for job in self._chosen(ledger, jobs)
                for group in failure_groups(ledger, job.id)
            )

    def explain(self, job: str, item: str) -> "Explanation":
        """The life of one item. Raises UsageError naming the nearest ids where there is none."""
        from batchrun.outputs.explain import explain

        with open_for_reading(self.home) as ledger:
            return explain(ledger, self._one(ledger, job).id, item)

    def support(self, job: str) -> JsonObject:
        """What a service's support asks for about one job, redacted (docs/support.md). Asks for the key, and for nothing over the network."""
        from batchrun.supporting.collecting import support_document

        with open_for_reading(self.home) as ledger:
            row = self._one(ledger, job)
            return support_document(ledger, self.config, row.id, now=self.clock.now())

    def spend(
        self,
        *,
        by_month: bool = False,
        month: str | None = None,
        since: str | None = None,
        until: str | None = None,
    ) -> "Spending":
        """What was spent in a month, or from one day to another (`spending.spans.span_of`). Raises UsageError for what is no day."""
        from batchrun.spending.report import spending
        from batchrun.spending.spans import span_of

        now = self.clock.now()
        span = span_of(now=now, by_month=by_month, month=month, since=since, until=until)
        with open_for_reading(self.home) as ledger:
            return spending(ledger, self.config, span, now=now)

    def is_overdue(self, max_age_s: int) -> bool:
        """Whether work has been due for longer than `max_age_s` seconds and no pass has ended in them: nothing ticks here any more."""
        then = self.clock.now() - max_age_s
        last = self.last_pass_at()
        if last is not None and last > then:
            return False
        with open_for_reading(self.home) as ledger:
            if any(job.submitted_at > then for job in find_jobs(ledger)):
                return False
            return self._idle_until(ledger, then) is None

    def verify(self, *, is_quick: bool = False) -> "Verification":
        """Check every invariant over ledger, spool and outputs, under the lock and read-only. Raises HomeLocked, LedgerError."""
        from batchrun.verifying.verify import verify

        with (
            pass_lock(self.home, wait_s=self.lock_wait_s),
            open_for_reading(self.home) as ledger,
        ):
            return verify(ledger, is_quick=is_quick)

    def job(self, name: str) -> JobRow:
        """One job by name. Raises UsageError naming those that there are."""
        with open_for_reading(self.home) as ledger:
            return self._one(ledger, name)

    def open_for_reading(self) -> Ledger:
        """The ledger, for `outputs` functions that want one; the caller closes it."""
        return open_for_reading(self.home)

    def _require(self, ledger: Ledger, job: JobRow, *, is_complete: bool) -> None:
        left = open_count(ledger, job.id)
        if is_complete and left:
            raise NotFinished(
                f"job {job.name!r} has {left:,} open items. Go on with `batchrun wait {job.name}`, "
                "or leave out --complete to see what there is."
            )

    def _chosen(self, ledger: Ledger, names: Sequence[str]) -> list[JobRow]:
        return choose_jobs(ledger, names, profile=self._wanted_profile)

    def _one(self, ledger: Ledger, name: str) -> JobRow:
        return choose_job(ledger, name, profile=self._wanted_profile)

    @property
    def _wanted_profile(self) -> str | None:
        """Of jobs that several backends answered, the one that is meant."""
        return self.backend or self.config.backend

    def _idle_until(
        self, ledger: Ledger, now: int, *, has_tools: bool = False
    ) -> PassResult | None:
        """The result of a pass at `now` that would find nothing to do; None where it would find something."""
        if has_wishes(ledger):
            return None
        profiles = {
            row["profile"]
            for row in ledger.rows(f"select distinct profile from batch_rows where {IS_OPEN_BATCH}")
        }
        in_process = frozenset(p for p in profiles if self._is_in_process(p))
        purse = Purse(config=self.config)
        found = take_snapshot(
            ledger,
            now,
            in_process=in_process,
            has_tools=has_tools,
            pace_of=self._pace_of,
            means_of=purse.means,
            queue_of=self._queue_of,
        )
        if purse.has_news(ledger, found.jobs, now):
            return None
        actions = plan(found, now)
        if not actions:
            return PassResult(next_at=None, ended=(), problems=stops(ledger))
        first = actions[0]
        if isinstance(first, Wait):
            return PassResult(next_at=first.until, ended=(), problems=stops(ledger))
        return None

    def _pace_of(self, profile: str, endpoint: str) -> Pace | None:
        return pace_of(self.config, profile, endpoint)

    def _queue_of(self, profile: str, model: str) -> Queue | None:
        return queue_of(self.config, profile, model)

    def _is_in_process(self, profile: str) -> bool:
        return profile in self.config.in_process
