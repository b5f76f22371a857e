"""What one pass carries along: the ledger, the clock, the backends it has opened, and what it has learned about them."""

import sqlite3
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final, Protocol

from batchrun.backends.base import Backend
from batchrun.clock import Clock
from batchrun.errors import AuthError, BackendError, BatchrunError, NotFound, WrongAccount
from batchrun.ledger.batches import open_accounts
from batchrun.ledger.connection import Ledger
from batchrun.ledger.held import resting_batches
from batchrun.ledger.queues import QueueOf, no_queue
from batchrun.ledger.states import IS_OPEN_BATCH
from batchrun.model import Account
from batchrun.running.listing import Looked
from batchrun.running.paying import Payment
from batchrun.running.purse import Purse
from batchrun.tools.worker import Worker

OpenBackend = Callable[[str], Backend]
_WORK_SLICE_S: Final = (
    5.0  # of executing lines, between two looks at wishes, ended batches and whatever else is due
)


class Observer(Protocol):
    """Told of what happens, for progress and logs; `event` is a stable word (docs/command-line.md), `facts` are plain values."""

    def __call__(self, event: str, **facts: object) -> None:
        """Take note; must not raise."""
        ...


def silent(event: str, **facts: object) -> None:
    """The observer that does nothing."""


def never(profile: str) -> bool:  # noqa: ARG001 - the shape of a question about a profile
    """No profile does."""
    return False


@dataclass(slots=True)
class PassContext:
    """One pass. `only`: of batches in our own process, it executes no others. `problems` are what a person must see; `ended` the jobs whose outputs this pass wrote; `work_s` what in-process
    services may still use of it; `under_way` those that may have lines under way; `quiet` those whose server wants nothing before a moment; `unwritable` the jobs whose outputs folder refused: they are left alone until the next pass; `looked`
    what the look before the first create with a profile came to. `tools` runs the functions that answers call, until `tired_at`, but for
    the jobs in `not_lent`, which were submitted with other functions. `purse` knows the limits of what may be spent, None: there are none; `stopped` are jobs that
    these let send nothing, as they were seen last, `unpaid` such whose deadline would cost more than is left. `kept`: backends of the pass before that go on in this one; those
    that are to go on in the next are left open in it. None: there is no next. `queue_of`: which queue of tokens a batch goes into.
    """

    ledger: Ledger
    clock: Clock
    open_backend: OpenBackend
    is_in_process: Callable[[str], bool]
    deletes_remote: Callable[[str], bool] = never
    observer: Observer = silent
    work_s: float = 300.0
    backends: dict[str, Backend] = field(default_factory=dict)
    accounts: dict[str, Account] = field(default_factory=dict)
    exhausted: set[str] = field(default_factory=set)
    quiet: dict[str, int] = field(default_factory=dict)
    under_way: set[str] = field(default_factory=set)
    unreachable: set[str] = field(default_factory=set)
    problems: list[BatchrunError] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    unwritable: set[int] = field(default_factory=set)
    looked: dict[str, Looked] = field(default_factory=dict)
    tools: Worker | None = None
    not_lent: set[int] = field(default_factory=set)
    tired_at: int = 0
    only: frozenset[int] | None = None
    purse: Purse | None = None
    stopped: frozenset[int] = frozenset()
    unpaid: set[int] = field(default_factory=set)
    kept: dict[str, Backend] | None = None
    queue_of: QueueOf = no_queue

    def backend(self, profile: str) -> Backend:
        """The backend of a profile, opened once; its account is compared with that of the rows before any use of it.

        Raises AuthError (no key), WrongAccount, JobFileError (no such profile).
        """
        backend = self.backends.get(profile)
        if backend is None:
            backend = (self.kept or {}).pop(profile, None) or self.open_backend(profile)
            self.backends[profile] = backend
        if profile not in self.accounts:
            self.accounts[profile] = self._checked_account(profile, backend)
        return backend

    def is_account_of(self, row: sqlite3.Row) -> bool:
        """Whether a batch row belongs to the place (address, organisation, project) that its profile, which is open, means now."""
        place = self.accounts[row["profile"]].place
        return place == (row["base_url"], row["organization"], row["project"])

    def note(
        self, problem: BatchrunError, *, profile: str | None = None, job: int | None = None
    ) -> None:
        """Note what a person must see, and whom it concerns: one job, all of a profile, or everybody."""
        problem.profile, problem.job = profile, job
        self.problems.append(problem)

    def fail(self, profile: str, error: BackendError) -> None:
        """Note what went wrong; where the whole profile is affected, leave it alone for the rest of the pass."""
        self.note(error, profile=profile or None)
        self.unreachable.add(profile)
        self.observer("unreachable", profile=profile, message=str(error))

    def work(self, profile: str) -> None:
        """Give an in-process service one slice of this pass. Its lines stay under way until the next, unless none follows."""
        backend = self.backends[profile]
        share = min(_WORK_SLICE_S, self.work_s)
        before = self.clock.now()
        self.under_way.discard(profile)
        due_at = backend.work(
            share,
            resting=resting_batches(self.ledger, profile, only=self.only, stopped=self.stopped),
            goes_on=self.kept is not None or share < self.work_s,
        )
        if due_at is None:
            return
        self.under_way.add(profile)
        # A manual clock does not move by itself: the slice counts in full, so that a pass always ends.
        self.work_s -= max(share, self.clock.now() - before)
        if due_at > self.clock.now():
            self.quiet[profile] = due_at
        if self.work_s <= 0 or profile in self.quiet:
            self.exhausted.add(profile)

    def payment(self, job: int, profile: str) -> Payment | None:
        """What holds for batches of a job that go to a profile; None where they cost nothing or no limit is for them."""
        if self.purse is None:
            return None
        row = self.ledger.row("select * from jobs where id = ?", (job,))
        assert row is not None
        return self.purse.payment(self.ledger, row, profile, self.clock.now())

    def end_work(self, *, besides: Collection[str]) -> None:
        """Have what is under way with other profiles than these come to its end and be recorded: no slice follows for them now."""
        for profile in sorted(self.under_way.difference(besides, self.exhausted)):
            self.under_way.discard(profile)
            try:
                self.backends[profile].work(0.0)
            except BackendError as exc:
                self.fail(profile, exc)

    def begin_again(self, work_s: float) -> None:
        """Another pass, with what this one has opened."""
        self.work_s, self.tired_at = work_s, self.clock.now() + int(work_s)
        self.exhausted.clear()
        self.quiet.clear()

    def close(self) -> None:
        """Close every backend, and end what runs functions. What still executes lines is kept for the next pass: a model stays loaded,
        and how much a server bears stays known.
        """
        if self.tools is not None:
            self.tools.close()
        for profile, backend in self.backends.items():
            if self.kept is not None and profile in self.exhausted:
                self.kept[profile] = backend
            else:
                backend.close()
        for profile in (self.kept or {}).keys() - self.exhausted:
            assert self.kept is not None
            self.kept.pop(profile).close()  # this pass had nothing to do for it
        self.backends.clear()
        self.accounts.clear()

    def _checked_account(self, profile: str, backend: Backend) -> Account:
        account = backend.account(bytes.fromhex(self.ledger.meta("salt") or ""))
        for theirs in open_accounts(self.ledger, profile):
            self._check(profile, backend, account, theirs)
        return account

    def _check(self, profile: str, backend: Backend, account: Account, theirs: Account) -> None:
        if account.place != theirs.place:
            raise WrongAccount(
                f"profile {profile!r} has open batches on {_place(theirs)}, but now means {_place(account)}. "
                "Nothing was sent or changed. Restore the old settings until those batches have ended, "
                "or give the new place a profile of its own in batchrun.toml."
            )
        if account.fingerprint == theirs.fingerprint or self._is_proven(account):
            return
        self._prove(profile, backend, account)

    def _is_proven(self, account: Account) -> bool:
        return bool(
            self.ledger.value(
                "select 1 from accounts where base_url = ? and organization = ? and project = ? and fingerprint = ?",
                (account.base_url, account.organization, account.project, account.fingerprint),
            )
        )

    def _prove(self, profile: str, backend: Backend, account: Account) -> None:
        """A new key is accepted once it could see something that is ours: a key of another project sees none of it."""
        row = self.ledger.row(
            f"select remote_id, input_file_id from batch_rows where profile = ? and {IS_OPEN_BATCH} and fingerprint <> ? "
            "and (remote_id is not null or input_file_id is not null) order by remote_id is null limit 1",
            (profile, account.fingerprint),
        )
        assert row is not None
        try:
            if row["remote_id"] is not None:
                backend.retrieve(row["remote_id"])
            else:
                backend.get_file(row["input_file_id"])
        except (NotFound, AuthError) as exc:
            raise WrongAccount(
                f"profile {profile!r}: the API key has changed, and the new one cannot see the open batches "
                f"({row['remote_id'] or row['input_file_id']}). Nothing was sent or changed. "
                "Use a key of the same project, or give the new one a profile of its own in batchrun.toml."
            ) from exc
        with self.ledger.transaction():
            self.ledger.execute(
                "insert or ignore into accounts values (?, ?, ?, ?, ?)",
                (
                    account.base_url,
                    account.organization,
                    account.project,
                    account.fingerprint,
                    self.clock.now(),
                ),
            )


def _place(account: Account) -> str:
    parts = [account.base_url]
    parts += [f"organization {account.organization}"] if account.organization else []
    parts += [f"project {account.project}"] if account.project else []
    return ", ".join(parts)
