"""The loop: snapshot, plan, perform, record. Everything decided is decided in `planning`; everything remembered is in the ledger.

A pass holds the home's lock and ends when nothing more is due; it never sleeps. `run` and `wait` sleep between passes, without the lock.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from batchrun.backends.base import Backend
from batchrun.clock import Clock
from batchrun.errors import (
    BackendError,
    BatchrunError,
    LedgerError,
    Unbounded,
    UnknownPrice,
    UsageError,
)
from batchrun.ledger.aside import set_unrecorded_aside
from batchrun.ledger.batches import add_incident
from batchrun.ledger.connection import Ledger, open_ledger
from batchrun.ledger.copied import copied_warning
from batchrun.ledger.deadlines import give_back_asides
from batchrun.ledger.home import Home
from batchrun.ledger.jobs import pause, sends_to
from batchrun.ledger.lock import pass_lock
from batchrun.ledger.queues import QueueOf, no_queue
from batchrun.ledger.slept import jobs_in_flight, slept_warning
from batchrun.ledger.snapshot import PaceOf, no_means, no_pace, take_snapshot
from batchrun.ledger.spool import sweep_temps
from batchrun.ledger.states import IS_OPEN_BATCH
from batchrun.ledger.submissions import sweep_preparing
from batchrun.ledger.wishes import apply_wishes
from batchrun.planning.actions import (
    Action,
    Cancel,
    Collect,
    Create,
    Cut,
    Form,
    GoLive,
    Look,
    Poll,
    Sweep,
    Tidy,
    Upload,
    Wait,
    Work,
)
from batchrun.planning.confined import Confined, confined
from batchrun.planning.facts import Snapshot
from batchrun.planning.plan import plan
from batchrun.running.arrears import bill_arrears
from batchrun.running.context import Observer, OpenBackend, PassContext, never, silent
from batchrun.running.cutting import sweep_cuts
from batchrun.running.passresult import PassResult
from batchrun.running.performing import perform
from batchrun.running.purse import Purse
from batchrun.running.queueing import tell_waits
from batchrun.running.stopped import stops
from batchrun.tools.worker import Worker


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """Runs passes over one home. `is_in_process(profile)` tells, without opening it, whether a backend executes inside the pass; `deletes_remote(profile)`
    whether files on the service are deleted once their batch is settled. `open_tools` gives what runs the functions that answers call; None: they wait.
    `kept`: where a pass leaves open what goes on in the next one, for the caller to close in the end; None: each pass closes all.
    `pace_of(profile, endpoint)` tells how its live twin may be asked, `queue_of(profile, model)` which queue of tokens its batches go into. `purse` knows what
    may be spent; None: as much as needed.
    """

    home: Home
    clock: Clock
    open_backend: OpenBackend
    is_in_process: Callable[[str], bool]
    observer: Observer = silent
    deletes_remote: Callable[[str], bool] = never
    open_tools: Callable[[], Worker] | None = None
    kept: dict[str, Backend] | None = None
    pace_of: PaceOf = no_pace
    purse: Purse | None = None
    queue_of: QueueOf = no_queue

    def run_pass(self, *, lock_wait_s: float, work_s: float = 300.0) -> PassResult:
        """One pass under the lock. Raises HomeLocked, LedgerError; what a backend did is in `problems`."""
        with (
            pass_lock(self.home, wait_s=lock_wait_s),
            open_ledger(self.home) as ledger,
        ):
            return self.run_locked(ledger, work_s=work_s)

    def run_locked(self, ledger: Ledger, *, work_s: float = 300.0) -> PassResult:
        """One pass by a caller who holds the lock."""
        with self.context(ledger, work_s=work_s) as context:
            warning = _note_sleep(ledger, self.clock.now())
            next_at = self._until_nothing_is_due(context)
        if self.purse is not None:
            self.purse.note_shares(ledger, self.clock.now())
        told = {str(problem) for problem in context.problems}
        context.problems += [stop for stop in stops(ledger) if str(stop) not in told]
        with ledger.transaction():
            ledger.execute(
                "insert or replace into meta values ('last_pass_at', ?)", (str(self.clock.now()),)
            )
        return PassResult(
            next_at=next_at,
            ended=tuple(context.ended),
            problems=tuple(context.problems),
            warning=warning,
        )

    def run_confined(self, context: PassContext, to: Confined) -> int | None:
        """Go on with a few batches, as a pass would, and with nothing else; when the next step of them is due, or None."""
        context.only = to.batches
        return self._until_nothing_is_due(context, to)

    @contextlib.contextmanager
    def context(self, ledger: Ledger, *, work_s: float = 300.0) -> Iterator[PassContext]:
        """What a pass works with, for a caller who holds the lock. Raises LedgerError where this home is a copy: nothing is touched."""
        if (copied := copied_warning(ledger)) is not None:
            raise LedgerError(copied)
        clear_debris(ledger, self.clock.now())
        context = PassContext(
            ledger=ledger,
            clock=self.clock,
            open_backend=self.open_backend,
            is_in_process=self.is_in_process,
            deletes_remote=self.deletes_remote,
            observer=self.observer,
            work_s=work_s,
            tools=None if self.open_tools is None else self.open_tools(),
            tired_at=self.clock.now() + int(work_s),
            kept=self.kept,
            purse=self.purse,
            queue_of=self.queue_of,
        )
        try:
            yield context
        finally:
            context.close()

    def _until_nothing_is_due(self, context: PassContext, to: Confined | None = None) -> int | None:
        if self.purse is not None:
            bill_arrears(context.ledger, self.purse, self.clock.now())
        fruitless: tuple[Action, ...] = ()
        while True:
            apply_wishes(context.ledger, self.clock.now())
            snapshot = self._snapshot(context)
            if to is not None:
                snapshot = confined(snapshot, to)
            actions = plan(snapshot, self.clock.now())
            if not actions or isinstance(actions[0], Wait):
                tell_waits(context, snapshot, self.clock.now())
            if not actions:
                return None
            if isinstance(actions[0], Wait):
                return actions[0].until
            context.end_work(besides={a.profile for a in actions if isinstance(a, Work)})
            before = _progress(context)
            for action in actions:
                self._perform(context, action)
            if _progress(context) != before or any(isinstance(a, Work) for a in actions):
                fruitless = ()
            elif actions == fruitless:
                raise BatchrunError(f"nothing came of {actions!r}: please report this")
            else:
                # Time goes on between a plan and its steps, and what was due may be over: then it is not planned again.
                fruitless = actions

    def _snapshot(self, context: PassContext) -> Snapshot:
        profiles = {
            row["profile"]
            for row in context.ledger.rows(
                f"select distinct profile from batch_rows where {IS_OPEN_BATCH}"
            )
        }
        found = take_snapshot(
            context.ledger,
            self.clock.now(),
            in_process=(in_process := frozenset(p for p in profiles if self.is_in_process(p))),
            exhausted=in_process if context.work_s <= 0 else frozenset(context.exhausted),
            quiet=tuple(sorted(context.quiet.items())),
            unreachable=frozenset(context.unreachable),
            has_tools=context.tools is not None,
            not_lent=frozenset(context.not_lent),
            is_tired=self.clock.now() >= context.tired_at,
            unpaid=frozenset(context.unpaid),
            pace_of=self.pace_of,
            means_of=no_means if self.purse is None else self.purse.means,
            queue_of=self.queue_of,
        )
        context.stopped = frozenset(job.id for job in found.jobs if job.is_stopped)
        if self.purse is not None:
            give_back_asides(context.ledger)
            self.purse.note_stops(context.ledger, found.jobs, self.clock.now())
        if not context.unwritable:
            return found
        jobs = (replace(j, is_stale=False) if j.id in context.unwritable else j for j in found.jobs)
        return replace(found, jobs=tuple(jobs))

    def _perform(self, context: PassContext, action: Action) -> None:
        """One action. What a backend does wrong is recorded with its profile and does not stop the others."""
        profile = self._profile_of(context, action)
        if profile in context.unreachable:
            return
        try:
            perform(context, action)
        except BackendError as exc:
            context.fail(profile or "", exc)
        except (UnknownPrice, Unbounded) as exc:
            # A limit is to hold, and what this would cost is not known (any more): a person has to say it.
            assert isinstance(action, Form | Cut)
            context.note(exc, job=action.job)
            pause(context.ledger, action.job, str(exc))
        except UsageError as exc:
            # The profile of a job is not in batchrun.toml any more: nothing of it can be sent, the rest goes on.
            context.note(exc, profile=profile)
            context.unreachable.add(profile or "")

    def _profile_of(self, context: PassContext, action: Action) -> str | None:
        if isinstance(action, Sweep | Work | Poll | Tidy | GoLive):
            return action.profile
        if isinstance(action, Cancel | Collect | Create | Look | Upload):
            row = context.ledger.row("select profile from batch_rows where id = ?", (action.batch,))
        elif isinstance(action, Form | Cut):
            return sends_to(context.ledger, action.job)
        else:
            return None
        return None if row is None else str(row["profile"])


def _note_sleep(ledger: Ledger, now: int) -> str | None:
    """Where nobody ticked for weeks, the reports of the jobs say so, whatever became of their batches."""
    warning = slept_warning(ledger, now)
    if warning is not None:
        with ledger.transaction():
            for batch, job in jobs_in_flight(ledger):
                add_incident(ledger, at=now, kind="slept", message=warning, job=job, batch=batch)
    return warning


def _progress(context: PassContext) -> tuple[int, ...]:
    """What an action moves that came to something: the ledger, or our knowledge of what cannot be done in this pass."""
    changes = context.ledger.connection.total_changes
    return changes, len(context.unreachable), len(context.unwritable), len(context.unpaid)


def clear_debris(ledger: Ledger, now: int) -> None:
    """What dead processes left, and what waiting commands asked for. Only under the lock, before any number is given out."""
    set_unrecorded_aside(ledger)
    sweep_preparing(ledger)
    sweep_cuts(ledger)
    home = ledger.home
    sweep_temps(home.requests, home.results, home.fields, home.attachments)
    apply_wishes(ledger, now)
