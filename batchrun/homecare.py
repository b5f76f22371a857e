"""What a home needs now and then: space freed, data forgotten, a lost ledger rebuilt, a doubt resolved, foreign batches brought in.

The part of the library's face that no nightly run calls.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from batchrun.ledger.connection import Ledger, open_ledger
from batchrun.ledger.lock import pass_lock
from batchrun.ledger.takeover import take_over
from batchrun.openhome import OpenHome
from batchrun.running.resolving import Resolved, number_of, resolve, settle_as_is
from batchrun.running.runner import clear_debris

if TYPE_CHECKING:
    from batchrun.keeping.forgetting import Forgotten
    from batchrun.keeping.pruning import Pruned
    from batchrun.recovery.adopting import AdoptOptions
    from batchrun.recovery.found import Adopted, Recovered
    from batchrun.recovery.recovering import RecoverOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeCare(OpenHome):
    """Every call takes the lock."""

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

    def take_over(self) -> int:
        """Make a copied or restored home the one that sends; returns how many unsent batches start anew. Raises HomeLocked."""
        with (
            pass_lock(self.home, wait_s=self.lock_wait_s),
            open_ledger(self.home) as ledger,
        ):
            return take_over(ledger, self.clock.now())
