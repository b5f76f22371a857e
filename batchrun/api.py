"""batchrun as a library: what the command line calls, and what Python programs may call. Nothing here prints.

batchrun = Batchrun(home=Home(path), config=load_config(...))
batchrun.submit([Path("jobs/reviews.jsonl")])
batchrun.wait()
for line in batchrun.results("reviews"): ...
"""

import contextlib
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from batchrun.backends.base import Backend
from batchrun.errors import (
    BatchrunError,
    HomeLocked,
    LedgerError,
    UsageError,
)
from batchrun.homeview import HomeView
from batchrun.ledger.batches import remote_profiles
from batchrun.ledger.connection import Ledger, open_for_reading, open_ledger
from batchrun.ledger.held import Resumed, hold, mark_holds_told, resume
from batchrun.ledger.home import Home
from batchrun.ledger.items import open_count
from batchrun.ledger.jobs import JobRow, mark_pauses_told, mark_told
from batchrun.ledger.lock import pass_lock
from batchrun.ledger.takeover import take_over
from batchrun.ledger.wishes import (
    add_cancel,
    add_retry,
    apply_wishes,
    check_retry,
    count_pruned,
    count_retry,
)
from batchrun.looking import JobStatus, worst_exit_code
from batchrun.model import JsonObject
from batchrun.prepare import SubmitOptions
from batchrun.running.context import Observer, silent
from batchrun.running.passresult import PassResult
from batchrun.running.resolving import Resolved, number_of, resolve, settle_as_is
from batchrun.running.runner import Runner, clear_debris
from batchrun.submitting import Prepared, Submitter
from batchrun.tools.offer import ToolsFile
from batchrun.tools.worker import Worker

if TYPE_CHECKING:
    from batchrun.backends.live.streaming import OnDelta
    from batchrun.estimating.estimate import Estimate
    from batchrun.keeping.forgetting import Forgotten
    from batchrun.keeping.pruning import Pruned
    from batchrun.ledger.waking import Woken
    from batchrun.recovery.adopting import AdoptOptions
    from batchrun.recovery.found import Adopted, Recovered
    from batchrun.recovery.recovering import RecoverOptions
    from batchrun.trying import TriedJob, TryOptions, Watcher

__all__ = ["Batchrun", "JobStatus", "Prepared", "SubmitOptions", "ToolsFile", "worst_exit_code"]

TICK_WORK_S: Final = 300.0
PATIENCE_S: Final = 900  # how long `wait` goes on while every pass fails
_WAIT_SLICE_S: Final = 30.0  # of in-process work between two looks at the clock and the lock


@dataclass(frozen=True, slots=True, kw_only=True)
class Batchrun(HomeView):
    """One home and the settings to work with: what changes something, beside all that can be asked of it.

    `tools`: the functions that models may call; without them their calls wait. `on_delta` is told of answers that are asked line by line while
    they come. `open_backend` is a seam for tests.
    """

    observer: Observer = silent
    tools: ToolsFile | None = None
    on_delta: "OnDelta | None" = None
    open_backend: Callable[[str], Backend] | None = None

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
        """Read and check everything, or `only` one job, as `submit` would, offline, into a home that is thrown away."""
        with tempfile.TemporaryDirectory(prefix="batchrun-check-") as folder:
            home = Home(Path(folder) / ".batchrun")
            with open_ledger(home, create=True) as ledger:
                submitter = Submitter(
                    ledger=ledger,
                    home=self.home,
                    config=self.config,
                    now=self.clock.now(),
                    open_backend=self._open,
                    options=options or SubmitOptions(),
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
                check=lambda job: self.check([file], SubmitOptions(is_guarded=False), only=job)[0],
                lock_wait_s=self.lock_wait_s,
            )

    def estimate(
        self,
        files: Sequence[Path],
        options: SubmitOptions | None = None,
        *,
        compare: Sequence[str] = (),
        stdin: BinaryIO | None = None,
    ) -> "tuple[Estimate, ...]":
        """What a submit of these files would ask, what that costs and how long it may take; `compare`: as other models, too. Sends and keeps nothing.

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
            estimator = Estimator(ledger, self.config, self.clock.now(), tuple(compare))
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
            )
            return tuple(estimator.estimates(submitter, files))

    # -- going on -------------------------------------------------------------------------------------------------------------

    def tick(self, *, work_s: float = TICK_WORK_S) -> PassResult | None:
        """One pass over everything; None when another process is at work in the home, which is as good.

        When nothing is due it reads the ledger and returns, without the lock and without opening a backend.
        """
        with open_for_reading(self.home) as ledger:
            result = self._idle_until(ledger, self.clock.now(), has_tools=self.tools is not None)
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
        there = remote_profiles(ledger, job.id)
        return job.held_at is None or not all(map(self._is_in_process, there))

    def mark_told(self, jobs: Collection[int]) -> None:
        """A person was told that these jobs (ids) ended: `untold_ends` has them no more, until they end anew."""
        if jobs:
            with open_ledger(self.home) as ledger:
                mark_told(ledger, jobs, self.clock.now())

    def wake(self, event_id: str, remote_id: str) -> "Woken":
        """Have the batch with this id on its service polled by the next pass: an event of the service says that it ended.

        Written without the lock, at once. Raises LedgerError.
        """
        from batchrun.ledger.waking import wake

        with open_ledger(self.home) as ledger:
            return wake(ledger, event_id, remote_id, at=self.clock.now())

    def pass_for(self, remote_ids: Collection[str], *, work_s: float = _WAIT_SLICE_S) -> PassResult:
        """One pass over everything, in which these batches are due whatever another pass has written meanwhile. Raises HomeLocked, LedgerError."""
        from batchrun.ledger.waking import make_due

        with pass_lock(self.home, wait_s=self.lock_wait_s), open_ledger(self.home) as ledger:
            make_due(ledger, remote_ids)
            return self._runner().run_locked(ledger, work_s=work_s)

    def cancel(self, job: str) -> None:
        """Wish a job cancelled, and carry that out at once where no other process holds the home."""
        with self._wishing(job) as (ledger, row, now):
            add_cancel(ledger, job=row.id, at=now)

    def retry(
        self,
        job: str,
        items: Sequence[str] | None = None,
        *,
        cause: str | None = None,
        redo: bool = False,
        rerun_lost: bool = False,
        rerun_uncertain: bool = False,
    ) -> int:
        """Wish failed items (all, the named ones, or those of a cause) asked again as they were sent; `redo` takes answered ones too.

        Returns how many that are. Raises UsageError for a named item that does not exist or cannot be asked again.
        """
        arguments: dict[str, object] = {
            "items": list(items) if items else None,
            "cause": cause,
            "redo": redo,
            "lost": rerun_lost,
            "uncertain": rerun_uncertain,
        }
        with open_for_reading(self.home) as ledger:
            row = self._one(ledger, job)
            check_retry(ledger, row.id, arguments)
            if not count_retry(ledger, row.id, arguments):
                return 0
        with self._wishing(job) as (ledger, row, now):
            return add_retry(ledger, job=row.id, arguments=arguments, at=now)

    def hold(self, job: str | None = None) -> int:
        """Send nothing more of a job (None: of the whole home, and of jobs submitted later) until `resume`; since when that is so.

        It takes effect at once, also in a process that is at work in the home. What is on the service is polled and collected.
        """
        with open_ledger(self.home) as ledger:
            number = None if job is None else self._one(ledger, job).id
            return hold(ledger, number, self.clock.now())

    def resume(self, job: str | None = None) -> Resumed:
        """Let go what `hold` holds (None: the whole home), or a job that batchrun paused; the next pass sends."""
        with open_ledger(self.home) as ledger:
            number = None if job is None else self._one(ledger, job).id
            return resume(ledger, number, self.clock.now())

    def mark_pauses_told(self, jobs: Collection[int]) -> None:
        """A person was told that these jobs (ids) are paused: `untold_pauses` has them no more, until they were let go."""
        if jobs:
            with open_ledger(self.home) as ledger:
                mark_pauses_told(ledger, jobs, self.clock.now())

    def mark_holds_told(self, numbers: Collection[int]) -> None:
        """A person was told that these are held: `untold_holds` has them no more, until they are held anew."""
        if numbers:
            with open_ledger(self.home) as ledger:
                mark_holds_told(ledger, numbers, self.clock.now())

    def pruned_count(self, job: str) -> int:
        """How many items of a job no `retry --redo` can take, because their requests were pruned."""
        with open_for_reading(self.home) as ledger:
            return count_pruned(ledger, self._one(ledger, job).id)

    def take_over(self) -> int:
        """Make a copied or restored home the one that sends; returns how many unsent batches start anew. Raises HomeLocked."""
        with (
            pass_lock(self.home, wait_s=self.lock_wait_s),
            open_ledger(self.home) as ledger,
        ):
            return take_over(ledger, self.clock.now())

    # -- house-keeping --------------------------------------------------------------------------------------------------------

    def prune(
        self, jobs: Sequence[str] = (), *, older_than_s: int = 0, is_dry_run: bool = False
    ) -> "tuple[Pruned, ...]":
        """Free spool files that the named jobs (none: all) do not need any more; what was freed of each. Raises HomeLocked, LedgerError."""
        from batchrun.keeping.pruning import prunable, prune

        now = self.clock.now()
        with self._cleared(now) as ledger:
            do = prunable if is_dry_run else prune
            return do(ledger, self._chosen(ledger, jobs), now=now, older_than_s=older_than_s)

    def forget(
        self,
        job: str | None = None,
        items: Sequence[str] = (),
        *,
        older_than_s: int | None = None,
        is_dry_run: bool = False,
    ) -> "Forgotten":
        """Forget the named items of a job, those older than that, or all of it; without a job, finish what earlier calls left undone.

        Raises UsageError, NotFinished while a batch holds any of it, HomeLocked, LedgerError.
        """
        from batchrun.keeping.forgetting import forget

        now = self.clock.now()
        with self._cleared(now) as ledger:
            return forget(
                ledger,
                None if job is None else lambda: self._one(ledger, job),
                items,
                now=now,
                older_than_s=older_than_s,
                is_dry_run=is_dry_run,
                open_backend=self._open,
            )

    @contextlib.contextmanager
    def _cleared(self, now: int) -> Iterator[Ledger]:
        """The ledger under the lock, with nothing of a dead process in it."""
        with pass_lock(self.home, wait_s=self.lock_wait_s), open_ledger(self.home) as ledger:
            clear_debris(ledger, now)
            yield ledger

    def recover(
        self, files: Sequence[Path] = (), options: "RecoverOptions | None" = None
    ) -> "Recovered":
        """Rebuild an empty, older or copied ledger from the service (docs/recovery.md); nothing is created or cancelled there.

        Sleeps until the second look, unless `options` say otherwise. Raises JobFileError, UsageError, HomeLocked, LedgerError.
        """
        from batchrun.recovery.recovering import Recoverer, RecoverOptions

        return Recoverer(
            home=self.home,
            config=self.config,
            clock=self.clock,
            open_backend=self._open,
            is_in_process=self._is_in_process,
            observer=self.observer,
            backend=self.backend,
            lock_wait_s=self.lock_wait_s,
            offered=self._offered,
        ).recover(files, options or RecoverOptions())

    def adopt(self, batch_ids: Sequence[str], options: "AdoptOptions") -> "Adopted":
        """Bring batches that other programs made into this home as a job (docs/adopting.md); creates the home where there is none.

        Nothing is created, cancelled or deleted at the service. Raises UsageError, JobFileError, BackendError, HomeLocked, LedgerError
        where one of them cannot be taken: then none was.
        """
        from batchrun.recovery.adopting import Adoption

        self.home.create()
        with (
            pass_lock(self.home, wait_s=self.lock_wait_s),
            open_ledger(self.home, create=True) as ledger,
            self._runner().context(ledger) as context,
        ):
            options = replace(options, backend=options.backend or self.backend)
            return Adoption(context, self.config, options).adopt(batch_ids)

    def resolve(
        self, batch: int | str, *, remote_id: str | None = None, is_as_is: bool = False
    ) -> Resolved:
        """Say what became of a batch whose creation went unanswered: it is `remote_id` on the service, or (None) it does not exist.

        `batch`: its number, or the service's id of it, its input file's, or its token.
        `is_as_is`: of one whose result file cannot be read, to settle it by the lines that can. Raises UsageError where that cannot be,
        BackendError, HomeLocked.
        """
        with (
            pass_lock(self.home, wait_s=self.lock_wait_s),
            open_ledger(self.home) as ledger,
            self._runner().context(ledger) as context,
        ):
            number = number_of(ledger, str(batch))
            if is_as_is:
                return settle_as_is(context, number)
            return resolve(context, number, remote_id=remote_id)

    @contextlib.contextmanager
    def _wishing(self, job: str) -> Iterator[tuple[Ledger, JobRow, int]]:
        """For the writing of a wish, which is carried out at once where no other process holds the home."""
        with open_ledger(self.home) as ledger:
            now = self.clock.now()
            yield ledger, self._one(ledger, job), now
            with contextlib.suppress(HomeLocked), pass_lock(self.home, wait_s=0):
                apply_wishes(ledger, now)

    def _runner(self) -> Runner:
        return Runner(
            home=self.home,
            clock=self.clock,
            open_backend=self._open,
            is_in_process=self._is_in_process,
            pace_of=self._pace_of,
            deletes_remote=self._deletes_remote,
            observer=self.observer,
            open_tools=None if self.tools is None else self._open_tools,
        )

    @property
    def _offered(self) -> Callable[[], tuple[JsonObject, ...]] | None:
        """Asks the file of functions what it has."""
        return None if self.tools is None else self._read_tools

    def _read_tools(self) -> tuple[JsonObject, ...]:
        with contextlib.closing(self._open_tools()) as worker:
            return worker.tools()

    def _open_tools(self) -> Worker:
        assert self.tools is not None
        hidden = {"OPENAI_API_KEY", *(p.key.variable for p in self.config.profiles.values())}
        return self.tools.open(hidden=hidden)

    def _open(self, profile: str) -> Backend:
        if self.open_backend is not None:
            return self.open_backend(profile)
        from batchrun.backends.opening import check_installed, open_backend

        check_installed(self.config.profile(profile))
        return open_backend(
            self.config.profile(profile),
            home=self.home.path,
            clock=self.clock,
            on_delta=self.on_delta,
        )

    def _deletes_remote(self, profile: str) -> bool:
        found = self.config.find(profile)
        return found is not None and found.delete_remote


def _is_failing(result: PassResult) -> bool:
    """Whether something is wrong that waiting waits for; an outputs folder that refuses keeps no work from going on."""
    return any(not isinstance(problem, LedgerError) for problem in result.problems)


def _is_hopeless(result: PassResult) -> bool:
    """A wrong key or account, a local model that is not installed, a file of functions that is broken: none mends itself while `wait` waits."""
    from batchrun.errors import AuthError, BackendError, JobFileError, WrongAccount

    return any(
        isinstance(problem, AuthError | WrongAccount | UsageError | JobFileError)
        or type(problem) is BackendError
        for problem in result.problems
    )
