"""A few items of a job asked live, before all of them are sent: what comes back, and what the whole job would take.

Everything is real: the items are prepared, sent, collected and judged by the code that runs jobs. Only two things differ. The batches are
formed of the chosen items alone, for the profile that asks line by line; and the pass goes on with these batches and with nothing else.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

import msgspec

from batchrun.config import Config
from batchrun.customids import custom_id, line_prefix
from batchrun.errors import BackendError, BatchrunError, GuardError
from batchrun.jobfile.choosing import Choice
from batchrun.ledger.connection import Ledger, open_ledger
from batchrun.ledger.jobs import JobRow, find_jobs
from batchrun.ledger.lock import pass_lock
from batchrun.ledger.shortages import shortage_of
from batchrun.ledger.states import IS_OPEN_BATCH
from batchrun.ledger.submissions import Tally
from batchrun.outputs.evidence import request_at
from batchrun.outputs.explain import Attempt, Explanation, explain
from batchrun.outputs.remedies import Remedies
from batchrun.outputs.rows import job_view
from batchrun.planning.confined import Confined
from batchrun.planning.policy import FOREVER
from batchrun.running.attaching import uploading
from batchrun.running.context import PassContext
from batchrun.running.cutting import cut_queued
from batchrun.running.runner import Runner
from batchrun.submitting import Prepared, Submitter
from batchrun.takingitems import SubmitOptions
from batchrun.trialcosts import TrialCosts

_SLICE_S: Final = 300.0  # of work between two looks at the batches


@dataclass(frozen=True, slots=True, kw_only=True)
class TryOptions:
    """Which items: the first `count`, or those of a `choice`; of one `job` of the file, or (None) of each.

    `is_kept`: in the job itself, and not beside it. `is_one_by_one`: each item is answered before the next is asked.
    """

    count: int = 3
    choice: Choice | None = None
    job: str | None = None
    is_kept: bool = False
    is_one_by_one: bool = False

    @property
    def submitting(self) -> SubmitOptions:
        """The same for PREPARE."""
        limit = self.count if self.choice is None else None
        return SubmitOptions(limit=limit, choice=self.choice, is_guarded=self.is_kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedItem:
    """One item after it was tried, with its life, and where it failed what to do. `is_asked`: in this very trial; else it stands as it was.

    `is_unsent`: it was to be asked, and nothing has reached the server. `request_bytes`: what its first request takes in an input file.
    """

    life: Explanation
    is_asked: bool
    request_bytes: int
    is_unsent: bool = False
    fix: str | None = None
    command: str | None = None

    @property
    def is_answered(self) -> bool:
        """Whether there is an answer that is of use."""
        return self.life.state == "succeeded"

    @property
    def is_elsewhere(self) -> bool:
        """Whether an earlier batch has it still."""
        return self.life.state == "in_flight" and not (self.is_asked or self.is_unsent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """What all of a job would take: counts, and tokens as far as the tried items let one guess (None: not at all)."""

    items: int
    batches: int
    bytes: int
    input_tokens: int | None
    output_tokens: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedJob:
    """One job after some of its items were tried with the profile `live`. `error`: why they were not, or what is wrong with the rest of its data."""

    prepared: Prepared
    live: str = ""
    items: tuple[TriedItem, ...] = ()
    whole: Whole | None = None
    error: BatchrunError | None = None


def choice_of(ids: tuple[str, ...], count: int, seed: int | None) -> Choice | None:
    """The items with these ids, else `count` drawn ones; None where neither is wanted."""
    if ids:
        return Choice(ids=ids)
    return None if seed is None else Choice(count=count, seed=seed)


class Watcher(Protocol):
    """Is told what happens while it happens."""

    def begin(self, prepared: Prepared, live: str, count: int) -> None:
        """So many items are about to be asked with the profile `live`, as far as they wait for that."""

    def ask(self, life: Explanation) -> None:
        """This item is about to be asked, if it waits for that."""

    def show(self, item: TriedItem) -> None:
        """One item has come to its end."""


def try_out(
    file: Path,
    options: TryOptions,
    watcher: Watcher,
    *,
    runner: Runner,
    config: Config,
    prepare: Callable[..., Submitter],
    check: Callable[[str], Prepared],
    lock_wait_s: float,
    costs: TrialCosts | None = None,
) -> tuple[tuple[TriedJob, ...], tuple[BatchrunError, ...]]:
    """Try the jobs of a file, one after the other, in the home of `runner`: what became of them, and what the profiles did wrong.

    `prepare` makes a submitter where it is told the rest; `check` reads a whole job of the file; `costs` says where they count where that home is thrown away. Raises UsageError, HomeLocked, LedgerError.
    """
    met: list[int] = []
    tried = []
    runner.home.create()
    with (
        pass_lock(runner.home, wait_s=lock_wait_s),
        open_ledger(runner.home, create=True) as ledger,
        runner.context(ledger, work_s=_SLICE_S) as context,
    ):
        submitter = prepare(
            ledger=ledger,
            now=runner.clock.now(),
            options=options.submitting,
            only=options.job,
            met=lambda numbers: met.extend(n for n in numbers if n is not None),
        )
        trial = _Trial(
            costs=costs, context=context, runner=runner, options=options, watcher=watcher
        )
        for prepared in submitter.prepare_files([file]):
            numbers = list(dict.fromkeys(met))
            met.clear()
            if prepared.tally is None:
                tried.append(TriedJob(prepared=prepared, error=prepared.error))
                continue
            tried.append(trial.try_job(prepared, config.live_twin(prepared.profile), numbers))
    # The home is free by now: long data take their time.
    whole = (job if job.error else _with_whole(job, check(job.prepared.job)) for job in tried)
    return tuple(whole), tuple(context.problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trial:
    """What one trial works with, in a home that is locked. `costs`: where they count, if not in this home."""

    costs: TrialCosts | None
    context: PassContext
    runner: Runner
    options: TryOptions
    watcher: Watcher

    @property
    def ledger(self) -> Ledger:
        return self.context.ledger

    def try_job(self, prepared: Prepared, live: str, numbers: Sequence[int]) -> TriedJob:
        """Ask what is to be asked of these items, and show each when it has come to its end."""
        job = next(
            row
            for row in find_jobs(self.ledger)
            if (row.name, row.profile) == (prepared.job, prepared.profile)
        )
        names = {number: self._name(number) for number in numbers}
        self.watcher.begin(prepared, live, len(names))
        if (why := self._why_not(job, live)) is not None:
            return TriedJob(prepared=prepared, live=live, error=GuardError(f"{job.name}: {why}"))
        items: list[TriedItem] = []
        groups = [[number] for number in numbers] if self.options.is_one_by_one else [numbers]
        for group in groups:
            before = {number: self._sends(number) for number in group}
            for number in group:
                self.watcher.ask(explain(self.ledger, job.id, names[number]))
            self._ask(job.id, live, group)
            for number in group:
                is_asked = self._sends(number) > before[number]
                items.append(self._tried(job.id, number, names[number], is_asked=is_asked))
                self.watcher.show(items[-1])
        return TriedJob(prepared=prepared, live=live, items=tuple(items))

    def _why_not(self, job: JobRow, live: str) -> str | None:
        """Why nothing of a job may be sent now, if a person must act first."""
        if job.held_at is not None:
            what, name = (
                ("its home is", "") if job.is_home_held else ("it is", f" {job.name}@{job.profile}")
            )
            return (
                f"{what} held, so nothing of it was asked now. What was new is queued, and is sent after `batchrun resume{name}`. "
                "To see answers before, try it without --keep."
            )
        if job.why_paused is not None:
            return job.why_paused
        # What is not known of its own profile may be these very items, sent and paid.
        reason = self.ledger.value(
            "select reason from holds where profile in (?, ?) and until >= ?",
            (job.profile, live, FOREVER),
        )
        return None if reason is None else str(reason)

    def _ask(self, job: int, live: str, numbers: Sequence[int]) -> None:
        """Have these items answered, as far as they wait: with all that follows an answer, but for attempts whose time comes later."""
        context = self.context
        before = len(context.problems)
        while live not in context.unreachable and len(context.problems) == before:
            context.begin_again(_SLICE_S)
            payment = context.payment(job, live)
            try:
                batches = cut_queued(
                    self.ledger,
                    job,
                    context.backend(live).limits,
                    context.clock.now(),
                    uploading(context, live),
                    chosen=numbers,
                    profile=live,
                    payment=payment,
                )
                trial = None
                if self.costs is not None and payment is not None:
                    trial = self.costs.reserve(self.ledger, payment, batches)
            except BackendError as exc:
                context.fail(live, exc)
                return
            except GuardError as exc:  # nothing was asked
                context.note(exc, job=job)
                return
            if not batches:
                if (short := shortage_of(self.ledger, job)) is not None:
                    context.note(GuardError(f"{short.reason}. Nothing of it was asked"), job=job)
                return
            writes = self.options.is_kept
            self._settle(Confined(job=job, batches=frozenset(batches), writes=writes))
            if self.costs is not None:
                self.costs.settle(self.ledger, trial, batches)

    def _settle(self, to: Confined) -> None:
        """Bring batches to their end, or as far as it goes; the server may want a pause."""
        context = self.context
        before = len(context.problems)
        while True:
            next_at = self.runner.run_confined(context, to)
            if len(context.problems) > before or next_at is None or not self._is_open(to):
                return
            if next_at > context.clock.now():
                context.observer("sleeping", until=next_at)
                context.clock.sleep_until(next_at)
            context.begin_again(_SLICE_S)

    def _is_open(self, to: Confined) -> bool:
        found = self.ledger.rows(f"select id from batch_rows where {IS_OPEN_BATCH}")
        return any(row["id"] in to.batches for row in found)

    def _name(self, number: int) -> str:
        return str(
            self.ledger.value("select coalesce(key, name) from item_rows where id = ?", (number,))
        )

    def _sends(self, number: int) -> int:
        return int(self.ledger.value("select sends from item_rows where id = ?", (number,)))

    def _tried(self, job: int, number: int, name: str, *, is_asked: bool) -> TriedItem:
        life = explain(self.ledger, job, name)
        is_unsent = is_asked and life.state == "in_flight" and self._is_unsent(life.attempts[-1])
        tried = TriedItem(
            life=life,
            is_asked=is_asked and not is_unsent,
            request_bytes=self._request_bytes(number),
            is_unsent=is_unsent,
        )
        if life.cause is None:
            return tried
        remedies = Remedies(job_view(self.ledger, job))
        # A job that is not there after this cannot be retried.
        command = remedies.command(life.cause) if self.options.is_kept else None
        return replace(tried, fix=remedies.fix(life.cause), command=command)

    def _is_unsent(self, attempt: Attempt) -> bool:
        """Whether no line of its batch has come to an end: what came in between is told as a problem, and took each line back."""
        if attempt.remote_id is None:
            return True
        profile = self.ledger.value("select profile from batch_rows where id = ?", (attempt.batch,))
        try:
            remote = self.context.backend(str(profile)).retrieve(attempt.remote_id)
        except BackendError:
            return False  # nobody knows
        return remote.completed_count + remote.failed_count == 0

    def _request_bytes(self, number: int) -> int:
        row = self.ledger.row("select key, file, offset from item_rows where id = ?", (number,))
        assert row is not None
        request = request_at(self.ledger, row["file"], row["offset"])
        return len(line_prefix(custom_id(number, 1, row["key"]))) + len(
            msgspec.json.encode(request)
        )


def _with_whole(job: TriedJob, checked: Prepared) -> TriedJob:
    whole = None if checked.tally is None else _whole(checked.tally, job.items)
    return replace(job, whole=whole, error=checked.error)


def _whole(tally: Tally, items: Sequence[TriedItem]) -> Whole:
    """Input goes with the bytes of the requests, output with their number."""
    asked_bytes = input_tokens = output_tokens = count = 0
    for item in items:
        used = [attempt.usage for attempt in item.life.attempts]
        if any(usage.input_tokens or usage.output_tokens for usage in used):
            count += 1
            asked_bytes += item.request_bytes
            input_tokens += sum(usage.input_tokens for usage in used)
            output_tokens += sum(usage.output_tokens for usage in used)
    return Whole(
        items=tally.items,
        batches=tally.files,
        bytes=tally.bytes,
        input_tokens=round(input_tokens * tally.bytes / asked_bytes) if asked_bytes else None,
        output_tokens=round(output_tokens * tally.items / count) if count else None,
    )
