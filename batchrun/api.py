"""batchrun as a library: what the command line calls, and what Python programs may call. Nothing here prints.

batchrun = Batchrun(home=Home(path), config=load_config(...))
batchrun.submit([Path("jobs/reviews.jsonl")])
batchrun.wait()
for line in batchrun.results("reviews"): ...
"""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from batchrun.backends.base import Backend
from batchrun.clock import Clock, SystemClock
from batchrun.config import BackendKind, Config
from batchrun.errors import (
    BatchrunError,
    HomeLocked,
    JobFileError,
    NotFinished,
    Problem,
    UsageError,
)
from batchrun.jobfile import JobEntry, JobFile, load
from batchrun.ledger.connection import Ledger, open_for_reading, open_ledger
from batchrun.ledger.home import Home
from batchrun.ledger.items import counts, open_count
from batchrun.ledger.jobs import JobRow, archive_job, find_jobs, owner_problem
from batchrun.ledger.lock import pass_lock
from batchrun.ledger.snapshot import take_snapshot
from batchrun.ledger.states import ItemState
from batchrun.ledger.submissions import Tally
from batchrun.ledger.wishes import add_wish, apply_wishes, has_wishes
from batchrun.model import JobSettings
from batchrun.planning.plan import Wait, plan
from batchrun.prepare import SubmitOptions, prepare
from batchrun.running.context import Observer, silent
from batchrun.running.runner import PassResult, Runner, clear_debris

LOCK_WAIT_S: Final = 600.0
TICK_WORK_S: Final = 300.0
_WAIT_SLICE_S: Final = 30.0  # of in-process work between two looks at the clock and the lock
_EXIT_ORDER: Final = (7, 75, 6, 8, 5, 3, 4)  # the most urgent first (docs/exit-codes.md)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What became of one job line: its tally, or the error that stopped it (nothing of it was sent then)."""

    job: str
    profile: str
    path: str
    tally: Tally | None
    error: BatchrunError | None = None
    warnings: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """Where one job stands. `counts` by state name; `batches` are those not final, as plain values; `waiting` says why nothing moves."""

    name: str
    profile: str
    source: str
    outputs: str
    counts: Mapping[str, int]
    is_open: bool
    batches: tuple[Mapping[str, object], ...]
    waiting: tuple[str, ...]
    submitted_at: int

    @property
    def exit_code(self) -> int:
        """0 all answered, 3 finished with failures, 4 not finished."""
        if self.is_open:
            return 4
        return 3 if self.counts["failed"] else 0


def worst_exit_code(codes: Sequence[int]) -> int:
    """The one exit code of several outcomes."""
    return next((code for code in _EXIT_ORDER if code in codes), max(codes, default=0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Batchrun:
    """One home and the settings to work with. `backend` overrides the job lines' (`--backend`); `open_backend` is a seam for tests."""

    home: Home
    config: Config
    clock: Clock = field(default_factory=SystemClock)
    observer: Observer = silent
    backend: str | None = None
    lock_wait_s: float = LOCK_WAIT_S
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
        anything of it becomes visible. Raises HomeLocked, LedgerError.
        """
        options = options or SubmitOptions()
        prepared: list[Prepared] = []
        self.home.create()
        with (
            pass_lock(self.home, wait_s=self.lock_wait_s),
            open_ledger(self.home, create=True) as ledger,
        ):
            clear_debris(ledger, self.clock.now())
            for entry, job_file in self._entries(files):
                prepared.append(
                    self._submit_one(
                        ledger, entry, job_file, options, replace, fresh, confirm, stdin
                    )
                )
            if options.is_dry_run or not send or not any(p.tally for p in prepared):
                return tuple(prepared), None
            result = self._runner().run_locked(ledger, work_s=0)
        return tuple(prepared), result

    def check(
        self,
        files: Sequence[Path],
        options: SubmitOptions | None = None,
        *,
        stdin: BinaryIO | None = None,
    ) -> tuple[Prepared, ...]:
        """Read and check everything as `submit` would, offline, into a home that is thrown away."""
        options = options or SubmitOptions()
        with tempfile.TemporaryDirectory(prefix="batchrun-check-") as folder:
            home = Home(Path(folder) / ".batchrun")
            with open_ledger(home, create=True) as ledger:
                return tuple(
                    self._prepare(ledger, entry, options, lambda _: True, stdin, is_check=True)
                    for entry, _ in self._entries(files)
                )

    def _submit_one(
        self,
        ledger: Ledger,
        entry: JobEntry,
        job_file: JobFile,
        options: SubmitOptions,
        replace: bool,
        fresh: bool,
        confirm: Callable[[Prepared], bool],
        stdin: BinaryIO | None,
    ) -> Prepared:
        settings = entry.settings
        if settings is not None and not entry.problems:
            profile = self._profile_name(settings)
            problem = None if replace else owner_problem(ledger, settings, profile)
            if problem is not None:
                return self._failed(entry, JobFileError((problem,)))
            try:
                # Without a key nothing can be sent: say so before a long file is read.
                if not options.is_dry_run:
                    self._account(ledger, profile)
            except BatchrunError as exc:
                return self._failed(entry, exc)
            if fresh and not options.is_dry_run:
                archive_job(ledger, settings.name, profile, self.clock.now())
        return self._prepare(ledger, entry, options, confirm, stdin)

    def _prepare(
        self,
        ledger: Ledger,
        entry: JobEntry,
        options: SubmitOptions,
        confirm: Callable[[Prepared], bool],
        stdin: BinaryIO | None,
        *,
        is_check: bool = False,
    ) -> Prepared:
        settings = entry.settings
        if settings is None or entry.problems:
            return self._failed(entry, JobFileError(entry.problems))
        profile = self._profile_name(settings)

        def agree(tally: Tally) -> bool:
            return confirm(
                Prepared(job=settings.name, profile=profile, path=settings.path, tally=tally)
            )

        try:
            tally = prepare(
                ledger,
                settings,
                profile=profile,
                outputs=str(self._outputs_of(settings, profile)),
                limits=self.config.profile(profile).limits,
                at=self.clock.now(),
                options=options,
                stdin=stdin,
                agree=agree,
                is_kept=not is_check,
            )
        except BatchrunError as exc:
            return self._failed(entry, exc)
        return Prepared(
            job=settings.name,
            profile=profile,
            path=settings.path,
            tally=tally,
            warnings=entry.warnings,
        )

    def _failed(self, entry: JobEntry, error: BatchrunError) -> Prepared:
        settings = entry.settings
        path = settings.path if settings else ""
        return Prepared(
            job=entry.name or "?",
            profile="",
            path=path,
            tally=None,
            error=error,
            warnings=entry.warnings,
        )

    def _entries(self, files: Sequence[Path]) -> Iterator[tuple[JobEntry, JobFile]]:
        for path in files:
            job_file = load(path)
            if job_file.problems:
                yield (
                    JobEntry(
                        name=path.name, settings=None, problems=job_file.problems, warnings=()
                    ),
                    job_file,
                )
            for entry in job_file.jobs:
                yield entry, job_file

    def _profile_name(self, settings: JobSettings) -> str:
        return self.backend or self.config.backend or settings.profile

    def _outputs_of(self, settings: JobSettings, profile: str) -> Path:
        """`outputs/<job>` beside the home; another profile than the job line's own has a folder of its own."""
        suffix = "" if profile == settings.profile else f"@{profile}"
        return self.home.outputs / f"{settings.name}{suffix}"

    def _account(self, ledger: Ledger, profile: str) -> None:
        backend = self._open(profile)
        try:
            backend.account(bytes.fromhex(ledger.meta("salt") or ""))
        finally:
            backend.close()

    # -- going on -------------------------------------------------------------------------------------------------------------

    def tick(self, *, work_s: float = TICK_WORK_S) -> PassResult | None:
        """One pass over everything; None when another process is at work in the home, which is as good.

        When nothing is due it reads the ledger and returns, without the lock and without opening a backend.
        """
        with open_for_reading(self.home) as ledger:
            idle = self._idle_until(ledger)
        if idle is not None:
            return PassResult(next_at=idle.next_at, ended=(), problems=())
        try:
            return self._runner().run_pass(lock_wait_s=0, work_s=work_s)
        except HomeLocked:
            return None

    def wait(
        self, jobs: Sequence[str] = (), *, until: int | None = None
    ) -> tuple[PassResult, bool]:
        """Passes until the named jobs (none: all) have no open item, or `until` (unix seconds) has come; the lock is free in between.

        Returns the last pass, with the jobs that ended and the problems of all passes, and whether everything named is done.
        """
        runner = self._runner()
        ended: list[int] = []
        while True:
            result = runner.run_pass(lock_wait_s=self.lock_wait_s, work_s=_WAIT_SLICE_S)
            ended += result.ended
            result = PassResult(
                next_at=result.next_at, ended=tuple(ended), problems=result.problems
            )
            with open_for_reading(self.home) as ledger:
                is_done = not any(
                    open_count(ledger, job.id)
                    for job in self._chosen(ledger, jobs)
                    if not job.paused
                )
            if is_done or result.next_at is None:
                return result, is_done
            if until is not None and result.next_at >= until:
                return result, False
            if _is_hopeless(result):
                return result, False
            self.observer("sleeping", until=result.next_at)
            self.clock.sleep_until(result.next_at)

    def cancel(self, job: str) -> None:
        """Wish a job cancelled, and carry that out at once where no other process holds the home."""
        self._wish(job, "cancel", {})

    def retry(
        self,
        job: str,
        items: Sequence[str] | None = None,
        *,
        redo: bool = False,
        rerun_lost: bool = False,
    ) -> None:
        """Wish failed items (all, or the named ones) asked again as they were sent; `redo` takes answered ones too."""
        self._wish(
            job,
            "retry",
            {"items": list(items) if items else None, "redo": redo, "lost": rerun_lost},
        )

    def _wish(self, job: str, kind: str, arguments: dict[str, object]) -> None:
        with open_ledger(self.home) as ledger:
            row = self._one(ledger, job)
            now = self.clock.now()
            add_wish(ledger, job=row.id, kind=kind, arguments=arguments, at=now)
            with contextlib.suppress(HomeLocked), pass_lock(self.home, wait_s=0):
                apply_wishes(ledger, now)

    def _runner(self) -> Runner:
        return Runner(
            home=self.home,
            clock=self.clock,
            open_backend=self._open,
            is_in_process=self._is_in_process,
            observer=self.observer,
        )

    def _open(self, profile: str) -> Backend:
        if self.open_backend is not None:
            return self.open_backend(profile)
        from batchrun.backends.opening import open_backend

        return open_backend(self.config.profile(profile), home=self.home.path, clock=self.clock)

    def _is_in_process(self, profile: str) -> bool:
        found = self.config.profiles.get(profile)
        return found is not None and found.kind is BackendKind.LOCAL

    def _idle_until(self, ledger: Ledger) -> PassResult | None:
        if has_wishes(ledger):
            return None
        now = self.clock.now()
        profiles = {
            row["profile"]
            for row in ledger.rows("select distinct profile from batch_rows where state < 5")
        }
        in_process = frozenset(p for p in profiles if self._is_in_process(p))
        actions = plan(take_snapshot(ledger, now, in_process=in_process), now)
        if not actions:
            return PassResult(next_at=None, ended=(), problems=())
        first = actions[0]
        if isinstance(first, Wait):
            return PassResult(next_at=first.until, ended=(), problems=())
        return None

    # -- looking --------------------------------------------------------------------------------------------------------------

    def status(self, jobs: Sequence[str] = ()) -> tuple[JobStatus, ...]:
        """Where the named jobs stand (none: all); costs rows of jobs and open batches, whatever the number of items."""
        with open_for_reading(self.home) as ledger:
            return tuple(_status_of(ledger, job) for job in self._chosen(ledger, jobs))

    def last_pass_at(self) -> int | None:
        """When the last pass ended well, in unix seconds."""
        with open_for_reading(self.home) as ledger:
            value = ledger.meta("last_pass_at")
        return None if value is None else int(value)

    def results(
        self, job: str, *, format: str = "jsonl", require_complete: bool = False
    ) -> Iterator[bytes]:
        """Items and answers in input order, streamed from the ledger, finished or not. Raises NotFinished where asked to."""
        from batchrun.outputs.results import stream_results

        with open_for_reading(self.home) as ledger:
            row = self._one(ledger, job)
            left = open_count(ledger, row.id)
            if require_complete and left:
                raise NotFinished(
                    f"job {row.name!r} has {left:,} open items. Go on with `batchrun wait {row.name}`, "
                    "or leave out --complete to see what there is."
                )
            yield from stream_results(ledger, row.id, format=format)

    def job(self, name: str) -> JobRow:
        """One job by name. Raises UsageError naming those that there are."""
        with open_for_reading(self.home) as ledger:
            return self._one(ledger, name)

    def open_for_reading(self) -> Ledger:
        """The ledger, for `outputs` functions that want one; the caller closes it."""
        return open_for_reading(self.home)

    def _chosen(self, ledger: Ledger, names: Sequence[str]) -> list[JobRow]:
        if not names:
            return find_jobs(ledger)
        return [job for name in names for job in self._named(ledger, name)]

    def _named(self, ledger: Ledger, name: str) -> list[JobRow]:
        jobs = find_jobs(ledger)
        plain, _, profile = name.partition("@")
        wanted = profile or self.backend or self.config.backend
        found = [j for j in jobs if j.name in (plain, name) and (not wanted or j.profile == wanted)]
        if not found:
            known = ", ".join(sorted({j.label for j in jobs})) or "none yet"
            raise UsageError(f"no job {name!r} in {self.home.path}. There are: {known}.")
        return found

    def _one(self, ledger: Ledger, name: str) -> JobRow:
        found = self._named(ledger, name)
        if len(found) > 1:
            labels = ", ".join(f"{j.name}@{j.profile}" for j in found)
            raise UsageError(f"job {name!r} was run by several backends. Name one: {labels}.")
        return found[0]


def _status_of(ledger: Ledger, job: JobRow) -> JobStatus:
    by_state = counts(ledger, job.id)
    batches = [
        dict(row)
        for row in ledger.rows(
            "select id, state, remote_status, remote_id, model, request_count, planned_at, created_at, next_at, reason, remote "
            "from batch_rows where job = ? and state < 5 order by id",
            (job.id,),
        )
    ]
    waiting = [str(b["reason"]) for b in batches if b["reason"]]
    waiting += [job.paused] if job.paused else []
    waiting += [
        str(row["reason"])
        for row in ledger.rows(
            "select reason from holds where profile = ? and until > 0", (job.profile,)
        )
        if open_count(ledger, job.id)
    ]
    return JobStatus(
        name=job.name,
        profile=job.profile,
        source=job.source,
        outputs=job.outputs,
        counts={state.name.lower(): by_state[state] for state in ItemState},
        is_open=bool(open_count(ledger, job.id)),
        batches=tuple(batches),
        waiting=tuple(dict.fromkeys(waiting)),
        submitted_at=job.submitted_at,
    )


def _is_hopeless(result: PassResult) -> bool:
    """A wrong key or account does not mend itself: `wait` would wait for ever."""
    from batchrun.errors import AuthError, WrongAccount

    return any(
        isinstance(problem, AuthError | WrongAccount | UsageError) for problem in result.problems
    )
