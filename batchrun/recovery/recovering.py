"""The order of a recovery: hold, read the job files, list, bring every batch here, wait, list once more, let go.

Each step may be repeated, and a recovery that was killed is simply run again: what is in the ledger already is known, and the hold stands
until one has come to its end.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from batchrun.backends.base import Backend
from batchrun.clock import Clock
from batchrun.config import Config
from batchrun.errors import (
    BackendError,
    BatchrunError,
    JobFileError,
    Problem,
    UsageError,
)
from batchrun.jobfile import load
from batchrun.keeping.pruning import note_missing
from batchrun.ledger.connection import Ledger, open_for_reading
from batchrun.ledger.home import Home
from batchrun.ledger.items import open_count
from batchrun.ledger.jobs import find_jobs
from batchrun.ledger.lock import pass_lock
from batchrun.ledger.origins import adopt_ledger, own_ledgers
from batchrun.model import JsonObject
from batchrun.queues import queue_of
from batchrun.recovery.asked import asked_of
from batchrun.recovery.foreseeing import foresee
from batchrun.recovery.found import Became, FoundBatch, Recovered
from batchrun.recovery.holding import begin, begun, end, held, note, wait_left
from batchrun.recovery.matching import Matcher
from batchrun.recovery.opening import has_ledger, open_for_recovery
from batchrun.recovery.scope import chosen_batches, chosen_ledgers, whole_listing
from batchrun.recovery.settling import Recovery
from batchrun.recovery.standing import pause_unsent, standing
from batchrun.running.context import Observer, PassContext
from batchrun.running.performing import write_job_outputs
from batchrun.running.runner import clear_debris
from batchrun.submitting import Prepared, Submitter
from batchrun.takingitems import SubmitOptions

_LOOK_AGAIN_S: Final = 600  # where a batch cannot be settled yet


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoverOptions:
    """What the user asked for; see docs/command-line.md. `items` is absolute."""

    ledgers: tuple[str, ...] = ()
    items: str | None = None
    takes_unproven: bool = False
    allow_missing: bool = False
    reask: bool = False
    is_dry_run: bool = False
    waits: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Recoverer:
    """Recovers one home. The fields are those of `api.Batchrun`."""

    home: Home
    config: Config
    clock: Clock
    open_backend: Callable[[str], Backend]
    is_in_process: Callable[[str], bool]
    observer: Observer
    backend: str | None
    lock_wait_s: float
    offered: Callable[[], tuple[JsonObject, ...]] | None = None

    def recover(self, files: Sequence[Path], options: RecoverOptions) -> Recovered:
        """Rebuild what these job files ask (none: the jobs that the ledger knows) from the service, and wait for the second look.

        Sleeps without the lock. Raises JobFileError, UsageError, HomeLocked, LedgerError; what a service did is in `problems`.
        """
        wanted = self._profiles_of(files)
        if options.is_dry_run:
            return self._foresee(wanted, options)
        self.home.create()
        result = self._once(files, wanted, options)
        while options.waits and result.look_again_at is not None and not _is_stuck(result):
            self.observer("sleeping", until=result.look_again_at)
            self.clock.sleep_until(result.look_again_at)
            later = self._once((), wanted, options)
            result = replace(
                later,
                prepared=result.prepared,
                batches=_merged(result.batches, later.batches),
                problems=later.problems,
            )
        return result

    # -- one look -----------------------------------------------------------------------------------------------------------------

    def _once(
        self, files: Sequence[Path], wanted: dict[str, set[str]], options: RecoverOptions
    ) -> Recovered:
        def hold(ledger: Ledger) -> None:
            # Nothing says with which profiles the lost ledger had sent: none of them sends before it was looked at.
            far = (p for p in self.config.profiles if not self.is_in_process(p))
            for profile in asked_of({*wanted, *far}, self.config, self.home):
                begin(ledger, profile)

        with (
            pass_lock(self.home, wait_s=self.lock_wait_s),
            open_for_recovery(self.home, hold) as ledger,
        ):
            clear_debris(ledger, self.clock.now())
            profiles = {**{p: set() for p in self._known_profiles(ledger)}, **wanted}
            if not profiles:
                raise UsageError(
                    f"{self.home.path}: there is no job in this home. Name the job files whose answers are to be recovered."
                )
            owners = asked_of(profiles, self.config, self.home)
            with ledger.transaction():
                for profile in owners:
                    begin(ledger, profile)
            prepared = self._prepare(ledger, files, options)
            if any(job.error is not None for job in prepared):
                return Recovered(prepared=prepared)
            return self._recover_profiles(ledger, owners, prepared, options)

    def _recover_profiles(
        self,
        ledger: Ledger,
        owners: Mapping[str, set[str]],
        prepared: tuple[Prepared, ...],
        options: RecoverOptions,
    ) -> Recovered:
        ctx = PassContext(
            ledger=ledger,
            clock=self.clock,
            open_backend=self.open_backend,
            is_in_process=self.is_in_process,
            observer=self.observer,
            queue_of=partial(queue_of, self.config),
        )
        matcher, found, again = Matcher(ledger), list[FoundBatch](), dict[str, int]()
        try:
            for profile in owners:
                try:
                    batches, look_again_at = self._recover_profile(
                        ctx, profile, owners[profile], matcher, options
                    )
                except BackendError as exc:
                    ctx.fail(profile, exc)
                    batches, look_again_at = [], self.clock.now() + _LOOK_AGAIN_S
                found += batches
                again |= {} if look_again_at is None else {profile: look_again_at}
            # A profile sends again once nothing that others were asked for its jobs can still turn up.
            waiting = {*again}.union(*(owners[profile] for profile in again))
            for profile in owners.keys() - waiting:
                with ledger.transaction():
                    pause_unsent(ledger, profile)
                    end(ledger, profile)
            jobs = find_jobs(ledger)
            note_missing(ledger, jobs, now=self.clock.now())
            for job in jobs:
                if job.is_stale and not open_count(ledger, job.id):
                    write_job_outputs(ctx, job.id)
        finally:
            ctx.close()
        return Recovered(
            prepared=prepared,
            batches=tuple(found),
            jobs=standing(ledger, owners),
            ledgers=tuple(sorted(own_ledgers(ledger))),
            held=tuple(p for p in held(ledger) if p not in owners),
            problems=tuple(ctx.problems),
            look_again_at=max(again.values(), default=None),
        )

    def _recover_profile(
        self,
        ctx: PassContext,
        profile: str,
        owners: set[str],
        matcher: Matcher,
        options: RecoverOptions,
    ) -> tuple[list[FoundBatch], int | None]:
        """Everything that one service has for jobs of `owners`; and when to look again, None where this was the last look."""
        ledger, now = ctx.ledger, self.clock.now()
        listing = whole_listing(ctx.backend(profile), profile)
        state = begun(ledger, profile)
        if state.since is None:
            state = replace(state, since=now, server_since=listing.server_time)
        jobs = {
            row["name"]: row
            for owner in sorted(owners)
            for row in ledger.rows(
                "select * from jobs where profile = ? and submission is not null", (owner,)
            )
        }
        ours = chosen_ledgers(ledger, listing.batches, jobs=jobs, asked=options.ledgers)
        with ledger.transaction():
            note(ledger, profile, state)
            for name in ours - own_ledgers(ledger):
                adopt_ledger(ledger, name, is_former=False, at=now)
        recovery = Recovery(
            ctx=ctx,
            profile=profile,
            matcher=matcher,
            jobs=jobs,
            ours=ours,
            chosen=chosen_batches(listing.batches),
            takes_unproven=options.takes_unproven,
        )
        found = []
        for remote in sorted(listing.batches, key=lambda r: (r.created_at, r.id)):
            found.append(recovery.settle(remote))
            if found[-1].became is Became.WAITING:
                # A later batch may ask the same items: it must not overtake this one.
                return found, now + _LOOK_AGAIN_S
        left = wait_left(
            state,
            now=now,
            server_now=listing.server_time,
            settle_s=ctx.backend(profile).traits.settle_s,
        )
        return found, now + left if left > 0 else None

    def _prepare(
        self, ledger: Ledger, files: Sequence[Path], options: RecoverOptions
    ) -> tuple[Prepared, ...]:
        """The jobs of these files as `submit` would queue them, and nothing of it sent."""
        paused = {(job.name, job.profile): job.paused for job in find_jobs(ledger)}
        submitter = Submitter(
            ledger=ledger,
            home=self.home,
            config=self.config,
            now=self.clock.now(),
            open_backend=self.open_backend,
            options=SubmitOptions(
                items=options.items, allow_missing=options.allow_missing, reask=options.reask
            ),
            backend=self.backend,
            offered=self.offered,
        )
        prepared = tuple(submitter.prepare_files(files))
        with ledger.transaction():
            for job in prepared:
                if (reason := paused.get((job.job, job.profile))) is not None:
                    ledger.execute(
                        "update jobs set paused = ? where name = ? and profile = ?",
                        (reason, job.job, job.profile),
                    )
        return prepared

    def _foresee(self, wanted: dict[str, set[str]], options: RecoverOptions) -> Recovered:
        if not has_ledger(self.home):
            return foresee(None, self._asked(wanted), self.open_backend, options.ledgers)
        with open_for_reading(self.home) as ledger:
            known = self._known_profiles(ledger)
            names = {p: wanted.get(p, set()) | known.get(p, set()) for p in {*wanted, *known}}
            return foresee(ledger, self._asked(names), self.open_backend, options.ledgers)

    # -- which profiles -------------------------------------------------------------------------------------------------------------

    @property
    def _wanted_backend(self) -> str | None:
        return self.backend or self.config.backend

    def _profiles_of(self, files: Sequence[Path]) -> dict[str, set[str]]:
        """The profiles of the jobs in these files, each with the names of its jobs. Raises JobFileError where a file cannot be read."""
        found: dict[str, set[str]] = {}
        problems: list[Problem] = []
        for path in files:
            job_file = load(path)
            problems += job_file.problems
            for entry in job_file.jobs:
                problems += entry.problems
                if entry.settings is not None:
                    profile = self._wanted_backend or entry.settings.profile
                    self.config.profile(profile)
                    found.setdefault(profile, set()).add(entry.settings.name)
        if problems:
            raise JobFileError(tuple(problems))
        if not files and not has_ledger(self.home):
            raise UsageError(
                f"{self.home.path}: there is no ledger. Name the job files whose answers are to be recovered."
            )
        return found

    def _asked(self, names: Mapping[str, set[str]]) -> dict[str, set[str]]:
        """The names of jobs for which each profile may have been asked; `names`: those of the jobs of each."""
        asked = asked_of(names, self.config, self.home)
        return {p: set().union(*(names[owner] for owner in owners)) for p, owners in asked.items()}

    def _known_profiles(self, ledger: Ledger) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for job in find_jobs(ledger):
            if self._wanted_backend in {None, job.profile}:
                found.setdefault(job.profile, set()).add(job.name)
        return found


def _merged(first: Sequence[FoundBatch], later: Sequence[FoundBatch]) -> tuple[FoundBatch, ...]:
    """Of two looks: what the second only knows again, the first had done."""
    before = {batch.remote_id: batch for batch in first}
    return tuple(
        before[batch.remote_id]
        if batch.became in {Became.KNOWN, Became.UNCLAIMED} and batch.remote_id in before
        else batch
        for batch in later
    )


def _is_stuck(result: Recovered) -> bool:
    """Whether something is in the way that waiting alone does not remove."""
    problems: tuple[BatchrunError, ...] = result.problems
    return bool(problems) or any(batch.became is Became.WAITING for batch in result.batches)
