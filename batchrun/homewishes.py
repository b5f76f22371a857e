"""What a person says of jobs: cancel, ask again, hold, go on; and what a person, or a service, has told or was told.

Written without the lock, so that nothing at work in the home has to be waited for; the next holder of the lock carries it out.
"""

import contextlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchrun.errors import HomeLocked
from batchrun.homeview import HomeView
from batchrun.ledger.connection import Ledger, open_for_reading, open_ledger
from batchrun.ledger.held import Resumed, hold, mark_holds_told, resume
from batchrun.ledger.jobs import JobRow, mark_pauses_told, mark_told
from batchrun.ledger.lock import pass_lock
from batchrun.ledger.shortages import mark_shortages_told
from batchrun.ledger.wishes import (
    add_cancel,
    add_retry,
    apply_wishes,
    check_retry,
    count_left_out,
    count_pruned,
    count_retry,
)

if TYPE_CHECKING:
    from batchrun.ledger.standings import Notice
    from batchrun.ledger.waking import Woken


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeWishes(HomeView):
    """Jobs are named as everywhere: NAME, or NAME@PROFILE."""

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

    def mark_shortages_told(self, jobs: Collection[int]) -> None:
        """A person was told that these jobs (ids) wait for money: `untold_shortages` has them no more, until that was over and came again."""
        if jobs:
            with open_ledger(self.home) as ledger:
                mark_shortages_told(ledger, jobs, self.clock.now())

    def mark_notices_told(self, notices: "Collection[Notice]") -> None:
        """A person was told of these: `untold_notices` has them no more."""
        from batchrun.ledger.standings import mark_notices_told

        if notices:
            with open_ledger(self.home) as ledger:
                mark_notices_told(ledger, notices, self.clock.now())

    def left_out(
        self,
        job: str,
        *,
        cause: str | None = None,
        rerun_lost: bool = False,
        rerun_uncertain: bool = False,
    ) -> dict[str, int]:
        """How many failed items such a `retry` leaves out because they may have been paid for, by cause: `lost_result` and `uncertain`."""
        arguments = {"cause": cause, "lost": rerun_lost, "uncertain": rerun_uncertain}
        with open_for_reading(self.home) as ledger:
            return count_left_out(ledger, self._one(ledger, job).id, arguments)

    def pruned_count(self, job: str) -> int:
        """How many items of a job no `retry --redo` can take, because their requests were pruned."""
        with open_for_reading(self.home) as ledger:
            return count_pruned(ledger, self._one(ledger, job).id)

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

    @contextlib.contextmanager
    def _wishing(self, job: str) -> Iterator[tuple[Ledger, JobRow, int]]:
        """For the writing of a wish, which is carried out at once where no other process holds the home."""
        with open_ledger(self.home) as ledger:
            now = self.clock.now()
            yield ledger, self._one(ledger, job), now
            with contextlib.suppress(HomeLocked), pass_lock(self.home, wait_s=0):
                apply_wishes(ledger, now)
