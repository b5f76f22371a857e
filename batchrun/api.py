"""batchrun as a library: what the command line calls, and what Python programs may call. Nothing here prints.

batchrun = Batchrun(home=Home(path), config=load_config(...))
batchrun.submit([Path("jobs/reviews.jsonl")])
batchrun.wait()
for line in batchrun.results("reviews"): ...
"""

import contextlib
import tempfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from batchrun.backends.base import Backend
from batchrun.errors import (
    BatchrunError,
    GuardError,
    HomeLocked,
    LedgerError,
    UsageError,
)
from batchrun.homecare import HomeCare
from batchrun.homewishes import HomeWishes
from batchrun.ledger.batches import remote_profiles
from batchrun.ledger.connection import Ledger, open_for_reading, open_ledger
from batchrun.ledger.home import Home
from batchrun.ledger.items import open_count
from batchrun.ledger.jobs import JobRow
from batchrun.ledger.lock import pass_lock
from batchrun.looking import JobStatus, worst_exit_code
from batchrun.running.passresult import PassResult
from batchrun.running.purse import Purse
from batchrun.running.runner import Runner, clear_debris
from batchrun.submitting import Prepared, Submitter
from batchrun.takingitems import SubmitOptions
from batchrun.tools.offer import ToolsFile

if TYPE_CHECKING:
    from batchrun.estimating.estimate import Estimate
    from batchrun.trying import TriedJob, TryOptions, Watcher

__all__ = ["Batchrun", "JobStatus", "Prepared", "SubmitOptions", "ToolsFile", "worst_exit_code"]

TICK_WORK_S: Final = 300.0
PATIENCE_S: Final = 900  # how long `wait` goes on while every pass fails
_WAIT_SLICE_S: Final = 30.0  # of in-process work between two looks at the clock and the lock


@dataclass(frozen=True, slots=True, kw_only=True)
class Batchrun(HomeCare, HomeWishes):
    """One home and the settings to work with: submitting and going on, beside all that can be asked, wished and cleared up."""

    # -- submitting -----------------------------------------------------------------------------------------------------------

    def submit(
        self,
        files: Sequence[Path],
        options: SubmitOptions | None = None,
        *,
        replace: bool = False,
        fresh: bool = False,
        confirm: Callable[[Prepared], bool] = lambda _: True,
        stdin: BinaryIO | None = None,
        send: bool = True,
    ) -> tuple[tuple[Prepared, ...], PassResult | None]:
        """Queue the jobs of these files and send what is due; creates the home where there is none.

        A job with an error leaves no trace and does not stop the others: look at each `error`. `confirm` is asked once per job, before
        anything of it becomes visible, and while the home is locked: it must decide at once, and never wait for a person (return False, ask,
        and submit again). Raises HomeLocked, LedgerError.
        """
        options = options or SubmitOptions()
        self.home.create()
        with (
            pass_lock(self.home, wait_s=self.lock_wait_s),
            open_ledger(self.home, create=True) as ledger,
        ):
            now = self.clock.now()
            clear_debris(ledger, now)
            submitter = Submitter(
                ledger=ledger,
                home=self.home,
                config=self.config,
                now=now,
                open_backend=self._open,
                options=options,
                backend=self.backend,
                confirm=confirm,
                stdin=stdin,
                replace=replace,
                fresh=fresh,
                offered=self._offered,
            )
            prepared = tuple(submitter.prepare_files(files))
            if options.is_dry_run or not send or not any(p.tally for p in prepared):
                return prepared, None
            result = self._runner().run_locked(ledger, work_s=0)
        return prepared, result

    def check(
        self,
        files: Sequence[Path],
        options: SubmitOptions | None = None,
        *,
        stdin: BinaryIO | None = None,
        only: str | None = None,
    ) -> tuple[Prepared, ...]:
        """Read and check everything, or `only` one job, as `submit` would, offline, into a home that is thrown away.

        The guards of `submit` ask what is new, which a home that knows nothing cannot say: they do not stop it.
        """
        with tempfile.TemporaryDirectory(prefix="batchrun-check-") as folder:
            home = Home(Path(folder) / ".batchrun")
            with open_ledger(home, create=True) as ledger:
                submitter = Submitter(
                    ledger=ledger,
                    home=self.home,
                    config=self.config,
                    now=self.clock.now(),
                    open_backend=self._open,
                    options=replace(options or SubmitOptions(), is_guarded=False),
                    backend=self.backend,
                    stdin=stdin,
                    is_check=True,
                    offered=self._offered,
                    only=only,
                )
                return tuple(submitter.prepare_files(files))

    def try_out(
        self, file: Path, options: "TryOptions", watcher: "Watcher"
    ) -> "tuple[tuple[TriedJob, ...], tuple[BatchrunError, ...]]":
        """Ask a few items of the jobs of a file live: what became of them, and what went wrong besides.

        Into a home that is thrown away, or (`is_kept`) into the jobs themselves. Raises UsageError, HomeLocked, LedgerError.
        """
        from batchrun.trialcosts import TrialCosts
        from batchrun.trying import try_out

        with tempfile.TemporaryDirectory(prefix="batchrun-try-") as folder:
            aside = replace(self, home=Home(Path(folder) / ".batchrun"))
            here = self if options.is_kept else aside
            return try_out(
                file,
                options,
                watcher,
                runner=here._runner(),
                config=self.config,
                prepare=partial(
                    Submitter,
                    home=self.home,  # where outputs would be, and what they may write
                    config=self.config,
                    open_backend=here._open,
                    backend=self.backend,
                    offered=self._offered,
                ),
                check=lambda job: self.check([file], only=job)[0],
                lock_wait_s=self.lock_wait_s,
                costs=None if options.is_kept else TrialCosts(home=self.home, clock=self.clock),
            )

    def estimate(
        self,
        files: Sequence[Path],
        options: SubmitOptions | None = None,
        *,
        compare: Sequence[str] = (),
        instead: tuple[str, str] | None = None,
        stdin: BinaryIO | None = None,
    ) -> "tuple[Estimate, ...]":
        """What a submit of these files would ask, what that costs and how long it may take; `compare`: as other models, too. Sends and keeps nothing.

        `instead`: the name and the words of a text that could stand where all requests of a job have the same one.

        Offline; where there is a home, items that are answered there cost nothing more, and their answers tell how long the others will be.
        Raises HomeLocked, LedgerError.
        """
        from batchrun.estimating.estimate import Estimator

        options = replace(options or SubmitOptions(), is_guarded=False, is_dry_run=True)
        with contextlib.ExitStack() as stack:
            if self.home.database.exists():
                stack.enter_context(pass_lock(self.home, wait_s=self.lock_wait_s))
                ledger = stack.enter_context(open_ledger(self.home))
                clear_debris(ledger, self.clock.now())
            else:
                folder = tempfile.TemporaryDirectory(prefix="batchrun-estimate-")
                home = Home(Path(stack.enter_context(folder)) / ".batchrun")
                ledger = stack.enter_context(open_ledger(home, create=True))
            now = self.clock.now()
            estimator = Estimator(ledger, self.config, now, tuple(compare), instead)
            submitter = Submitter(
                ledger=ledger,
                home=self.home,
                config=self.config,
                now=self.clock.now(),
                open_backend=self._open,
                options=options,
                backend=self.backend,
                stdin=stdin,
                is_check=True,
                offered=self._offered,
                inspect=estimator.inspect,
                is_strict=False,
            )
            return tuple(estimator.estimates(submitter, files))

    # -- going on -------------------------------------------------------------------------------------------------------------

    def tick(self, *, work_s: float = TICK_WORK_S) -> PassResult | None:
        """One pass over everything; None when another process is at work in the home, which is as good.

        When nothing is due it reads the ledger and returns, without the lock and without opening a backend.
        """
        with open_for_reading(self.home) as ledger:
            result = self._idle_until(ledger, self.clock.now(), has_tools=self.tools is not None)
            if Purse(config=self.config).has_other_limits(ledger):
                result = None
        if result is None:
            try:
                result = self._runner().run_pass(lock_wait_s=0, work_s=work_s)
            except HomeLocked:
                return None
        if not self.config.retention.is_set:
            return result
        from batchrun.keeping.retention import keep_house

        problems = keep_house(
            self.home, self.config.retention, clock=self.clock, open_backend=self._open
        )
        return replace(result, problems=(*result.problems, *problems))

    def wait(
        self, jobs: Sequence[str] = (), *, until: int | None = None
    ) -> tuple[PassResult, bool]:
        """Passes until the named jobs (none: all) have no open item, or `until` (unix seconds) has come; the lock is free in between.

        It gives up where waiting cannot help (a wrong key) or has not helped for a quarter of an hour (a server that is away): all is kept,
        and the next `wait` or `tick` goes on. What concerns other jobs only is in `others` and stops nothing. Returns the last pass, with the jobs that ended in all passes, and whether everything
        named is done.
        """
        kept: dict[str, Backend] = {}
        try:
            return self._wait(jobs, replace(self._runner(), kept=kept), until)
        finally:
            for backend in kept.values():
                backend.close()

    def _wait(
        self, jobs: Sequence[str], runner: Runner, until: int | None
    ) -> tuple[PassResult, bool]:
        ended: list[int] = []
        failing_since: int | None = None
        while True:
            result = self._next_pass(runner)
            ended += result.ended
            result = replace(result, ended=tuple(ended))
            with open_for_reading(self.home) as ledger:
                chosen = self._chosen(ledger, jobs)
                is_done = not any(self._is_waited_for(ledger, job) for job in chosen)
            if jobs:
                result = result.about({job.id: {job.profile, job.sends_to} for job in chosen})
            if is_done or result.next_at is None:
                return result, is_done
            if until is not None and result.next_at >= until:
                return result, False
            now = self.clock.now()
            failing_since = (failing_since or now) if _is_failing(result) else None
            if _is_hopeless(result) or now - (failing_since or now) >= PATIENCE_S:
                return result, False
            self.observer("sleeping", until=result.next_at)
            self.clock.sleep_until(result.next_at)

    def _next_pass(self, runner: Runner) -> PassResult:
        """A pass of `wait`. Nothing stays under way, and unrecorded, while another process is at work in the home."""
        if runner.kept:
            with contextlib.suppress(HomeLocked):
                return runner.run_pass(lock_wait_s=0, work_s=_WAIT_SLICE_S)
            for profile in list(runner.kept):
                runner.kept.pop(profile).close()
        return runner.run_pass(lock_wait_s=self.lock_wait_s, work_s=_WAIT_SLICE_S)

    def _is_waited_for(self, ledger: Ledger, job: JobRow) -> bool:
        """Whether waiting brings a job nearer to its end: where nothing more of it is sent, only what is on the service still comes."""
        if job.why_paused or not open_count(ledger, job.id):
            return False
        is_stuck = job.short is not None and not job.short.is_bound
        if job.held_at is None and not is_stuck:
            return True
        return not all(map(self._is_in_process, remote_profiles(ledger, job.id)))

    def pass_for(self, remote_ids: Collection[str], *, work_s: float = _WAIT_SLICE_S) -> PassResult:
        """One pass over everything, in which these batches are due whatever another pass has written meanwhile. Raises HomeLocked, LedgerError."""
        from batchrun.ledger.waking import make_due

        with pass_lock(self.home, wait_s=self.lock_wait_s), open_ledger(self.home) as ledger:
            make_due(ledger, remote_ids)
            return self._runner().run_locked(ledger, work_s=work_s)


def _is_failing(result: PassResult) -> bool:
    """Whether something is wrong that waiting waits for; an outputs folder that refuses keeps no work from going on, nor does what a limit forbids."""
    return any(not isinstance(problem, LedgerError | GuardError) for problem in result.problems)


def _is_hopeless(result: PassResult) -> bool:
    """A wrong key or account, no Batch API, a local model that is not installed, a broken file of functions: none mends itself while `wait` waits."""
    from batchrun.errors import AuthError, BackendError, JobFileError, WrongAccount

    return any(
        isinstance(problem, AuthError | WrongAccount | UsageError | JobFileError)
        or (
            isinstance(problem, BackendError)
            and (problem.is_lasting or type(problem) is BackendError)
        )
        for problem in result.problems
    )
