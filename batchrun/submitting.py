"""From job files to prepared jobs: one after the other, each by itself. A job with an error leaves no trace and stops no other."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from batchrun.affording import Affordable, Assessor
from batchrun.backends.accounts import addresses_of
from batchrun.backends.base import Backend
from batchrun.config import Config
from batchrun.endpoints import endpoint_of
from batchrun.errors import BatchrunError, JobFileError, Problem, Unexpected, UsageError
from batchrun.fitting import fitted
from batchrun.jobfile import JobEntry, Problems, load
from batchrun.jobfile.problems import shown
from batchrun.ledger.connection import Ledger
from batchrun.ledger.home import Home
from batchrun.ledger.jobs import owner_problem
from batchrun.ledger.submissions import Submission, Tally, submitted_tools
from batchrun.model import JobSettings, JsonObject
from batchrun.pace import pace_of
from batchrun.planning.deadline import SHORT_S, believed, deadline_at, switch_at
from batchrun.prepare import Attaching, prepare
from batchrun.takingitems import SubmitOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What became of one job line: its tally, or the error that stopped it (nothing of it was sent then). `settings` are as they fit the profile.

    `affordable`: what it may cost at most, where a hard limit is for it.
    """

    job: str
    profile: str
    path: str
    tally: Tally | None
    outputs: str = ""
    error: BatchrunError | None = None
    warnings: tuple[Problem, ...] = ()
    settings: JobSettings | None = None
    affordable: Affordable | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitter:
    """Prepares jobs into one ledger, under the home's lock.

    `home` is where outputs are beside; `backend` overrides the job lines' own; `confirm` is asked once per job, before anything of it
    becomes visible, and must not wait for a person, since nothing else can use the home meanwhile; `replace` and `fresh` as on the command line; with `is_check` everything is read and checked, and nothing is kept.
    `only` is the one job of a file that is prepared, where not all are; `met` is told the numbers of the items that the data bring.
    A job that nothing bounds is refused under a hard limit, unless nobody `is_strict` about that.
    `inspect` is shown each submission while all of it can be read, also where nothing of it is kept. `offered` gives the tools for jobs with `rounds`, and raises JobFileError for a file that has none; None where no file was named.
    """

    ledger: Ledger
    home: Home
    config: Config
    now: int
    open_backend: Callable[[str], Backend]
    options: SubmitOptions = field(default_factory=SubmitOptions)
    backend: str | None = None
    confirm: Callable[[Prepared], bool] = lambda _: True
    stdin: BinaryIO | None = None
    replace: bool = False
    fresh: bool = False
    is_check: bool = False
    offered: Callable[[], tuple[JsonObject, ...]] | None = None
    only: str | None = None
    met: Callable[[Iterable[int | None]], object] = lambda _: None
    inspect: Callable[[Submission], object] = lambda _: None
    is_strict: bool = True

    def prepare_files(self, files: Sequence[Path]) -> Iterator[Prepared]:
        """One Prepared for each job line, and for each file that cannot be read as a job file. Raises LedgerError."""
        for path in files:
            job_file = load(path)
            if job_file.problems:
                yield Prepared(
                    job=path.name,
                    profile="",
                    path=str(path),
                    tally=None,
                    error=JobFileError(job_file.problems),
                )
            wanted = [job for job in job_file.jobs if self.only in {None, job.name}]
            if not wanted and job_file.jobs:
                names = ", ".join(repr(job.name) for job in job_file.jobs if job.name)
                raise UsageError(f"{path} has no job {self.only!r}. It has {names}.")
            for entry in wanted:
                yield self._prepare_job(entry)

    def _prepare_job(self, entry: JobEntry) -> Prepared:
        settings, doubts = entry.settings or entry.draft, list(entry.warnings)
        problems = Problems()
        error: BatchrunError
        try:
            problems.add_all(entry.problems)
            if settings is None:
                raise problems.error()
            profile = self.backend or self.config.backend or settings.profile
            settings = self._with_tools(settings, profile, problems)
            self._check_table(settings, problems)
            if not self.is_check and not problems:
                self._check_owner(settings, profile)
            return self._prepare(entry, settings, profile, problems, doubts)
        except BatchrunError as exc:
            error = exc
        except (OSError, MemoryError):
            raise  # of the machine, not of this job
        except Exception as exc:  # noqa: BLE001 - one job's bug hides no other job's fate; it is told as any bug is
            error = Unexpected(entry.name or "?", exc)
        return Prepared(
            job=entry.name or "?",
            profile="",
            path=entry.settings.path if entry.settings else "",
            tally=None,
            error=error,
            warnings=tuple(doubts),
        )

    def _check_owner(self, settings: JobSettings, profile: str) -> None:
        """Raises JobFileError where the name is another file's, AuthError without a key: before a long file is read for nothing."""
        problem = None if self.replace else owner_problem(self.ledger, settings, profile)
        if problem is not None:
            raise JobFileError((problem,))
        if not self.options.is_dry_run:
            backend = self.open_backend(profile)
            try:
                backend.account(bytes.fromhex(self.ledger.meta("salt") or ""))
            finally:
                backend.close()

    def _with_tools(self, settings: JobSettings, profile: str, problems: Problems) -> JobSettings:
        """The settings with the functions that the job is offered; where it wants some and there are none, that is a problem.

        Where no file was named, they are those that the job was submitted with: what is asked stays the same, and calls wait. No code is run
        for a line that is wrong.
        """
        if settings.rounds is None:
            return settings
        if self.offered is None:
            known = () if self.fresh else submitted_tools(self.ledger, settings.name, profile)
            if not known:
                what = "'rounds' offers functions to the model, and no file of functions was named"
                fix = "Add --tools FILE.py, or leave 'rounds' out."
                where = shown(settings.path)
                problems.add(Problem(path=where, line=settings.line, what=what, fix=fix))
            return replace(settings, tools=known)
        if problems:
            return settings
        try:
            return replace(settings, tools=self.offered())
        except JobFileError as error:
            problems.add_all(error.problems)
            return settings

    def _check_table(self, settings: JobSettings, problems: Problems) -> None:
        """Where the answers could not be written into the database that the job line names, that is a problem."""
        target = settings.output.sqlite
        if target is None:
            return
        from batchrun.outputs.database import table_problem

        allowed = (Path(settings.path).parent, self.home.path.parent, *self.config.write_to)
        what = table_problem(target, home=self.home.path, allowed=allowed)
        if what is not None:
            what = f"'output.sqlite': {target.path}: {what}"
            problems.add(Problem(path=shown(settings.path), line=settings.line, what=what))

    def _prepare(
        self,
        entry: JobEntry,
        settings: JobSettings,
        profile: str,
        problems: Problems,
        doubts: list[Problem],
    ) -> Prepared:
        """`doubts` are warnings, and get more of them."""
        # Another profile than the job line's own has a folder of its own: a trial is not the real thing.
        suffix = "" if profile == settings.profile else f"@{profile}"
        outputs = str(self.home.outputs / f"{settings.name}{suffix}")
        target = self.config.profile(profile)
        try:
            settings, misfits = fitted(settings, target)
            doubts += misfits
        except JobFileError as error:
            problems.add_all(error.problems)

        assessed: list[Affordable | None] = []

        def inspect(submission: Submission) -> None:
            self.inspect(submission)
            assessed.append(self._assessor.assess(submission, profile))

        def prepared(tally: Tally) -> Prepared:
            return Prepared(
                job=settings.name,
                profile=profile,
                path=settings.path,
                tally=tally,
                outputs=outputs,
                warnings=(*doubts, *self._hurry(settings, profile, tally)),
                settings=settings,
                affordable=assessed[-1] if assessed else None,
            )

        return prepared(
            prepare(
                self.ledger,
                settings,
                profile=profile,
                outputs=outputs,
                limits=target.limits,
                at=self.now,
                options=self.options,
                attaching=Attaching(folders=self.config.attach_from, mode=target.traits.attach),
                stdin=self.stdin,
                agree=lambda tally: self.confirm(prepared(tally)),
                warn=doubts.append,
                is_kept=not self.is_check,
                is_fresh=self.fresh,
                live_twin=self.config.live_twin(profile),
                in_process=self.config.in_process,
                servers=addresses_of(target),
                met=self.met,
                inspect=inspect,
                problems=problems,
                reads_items=entry.settings is not None or entry.reads_items,
            )
        )

    @property
    def _assessor(self) -> Assessor:
        return Assessor(
            ledger=self.ledger,
            config=self.config,
            now=self.now,
            knows_spending=self.ledger.home == self.home,
            is_strict=self.is_strict,
        )

    def _hurry(self, settings: JobSettings, profile: str, tally: Tally) -> Iterator[Problem]:
        """What is sound in a deadline, and may disappoint."""
        if settings.deadline is None:
            return
        pace = pace_of(self.config, profile, settings.endpoint)
        items = tally.new + tally.changed
        what = None
        if pace is None:
            if endpoint_of(settings.endpoint).is_live:
                who = f"{profile!r}, which answers line by line as it is"
                fix = "Leave it out, or choose a profile that sends batches."
            else:
                who = f"{settings.endpoint}, which cannot be asked line by line"
                fix = "Leave it out: the job is answered by batch to the end."
            what = f"'deadline' changes nothing for {who}"
        elif items:
            due = deadline_at(settings.deadline, self.now)
            left = switch_at(due, items, believed(pace, None)) - self.now
            fix = "Give a later deadline, or none."
            if left <= 0:
                what = f"'deadline' leaves no time for a batch: {items:,} items are answered live from the start, at the full price"
            elif left < SHORT_S:
                what = f"'deadline' leaves a batch {left // 60} minutes: most of {items:,} items will be answered live, at the full price"
        if what is not None:
            yield Problem(path=shown(settings.path), line=settings.line, what=what, fix=fix)
