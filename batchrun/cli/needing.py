"""What waits for a person: jobs that are paused or out of money, and what is held. Told once, by the first that finds it untold, whichever command's pass it came of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchrun.cli.finishing import goes_on
from batchrun.cli.printing import tell
from batchrun.clock import rfc3339
from batchrun.errors import BackendError, BatchrunError, GuardError, NotFinished
from batchrun.ledger.held import HOME

if TYPE_CHECKING:
    from batchrun.api import Batchrun
    from batchrun.looking import JobStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """Jobs with open items that were paused, those that wait for money, and by the number of what is held one that waits behind it: of which nobody was told."""

    paused: tuple["JobStatus", ...]
    short: tuple["JobStatus", ...]
    held: Mapping[int, "JobStatus"]

    @property
    def jobs(self) -> tuple["JobStatus", ...]:
        """All of them, each once."""
        found = {job.id: job for job in (*self.paused, *self.short, *self.held.values())}
        return tuple(found.values())

    @property
    def codes(self) -> list[int]:
        """The exit codes that they come to."""
        kinds: list[type[BatchrunError]] = [
            GuardError if job.has_failed_canary else BackendError for job in self.paused
        ]
        kinds += [GuardError for _ in self.short]
        return [kind.exit_code for kind in kinds] + [NotFinished.exit_code for _ in self.held]

    def lines(self, option: str) -> list[str]:
        """One for each, which says how it goes on; `option` names the home."""
        paused = [
            f"batchrun: job {job.label} is paused: {(job.paused or '').rstrip('.')}. Go on with: {goes_on(job, option)}"
            for job in self.paused
        ]
        held = [
            f"batchrun: {f'job {job.label}' if number != HOME else 'the home'} is held since {rfc3339(job.held_since or 0)}; "
            f"nothing more of it is sent. Go on with: {goes_on(job, option)}"
            for number, job in self.held.items()
        ]
        short = [
            f"batchrun: job {job.label} waits for money: {(job.short or '').rstrip('.')}"
            for job in self.short
        ]
        return paused + short + held

    def mark_told(self, batchrun: "Batchrun") -> None:
        """A person was told of them."""
        batchrun.mark_pauses_told([job.id for job in self.paused])
        batchrun.mark_shortages_told([job.id for job in self.short])
        batchrun.mark_holds_told(self.held)


def tell_notices(batchrun: "Batchrun", *, is_json: bool) -> list[dict[str, object]]:
    """The shares of limits that were reached and not told: on stderr, a line each, or as JSON for a document. News, and no failure."""
    notices = batchrun.untold_notices()
    if not notices:
        return []
    from batchrun.cli.amounts import notice_json

    batchrun.mark_notices_told(notices)
    if is_json:
        return [notice_json(notice) for notice in notices]
    for notice in notices:
        tell(f"batchrun: {notice.words}")
    return []


def untold_needs(batchrun: "Batchrun", jobs: Sequence["JobStatus"]) -> Needs:
    """What of these jobs needs a person who was not told."""
    pauses, holds = batchrun.untold_pauses(), batchrun.untold_holds()
    shortages = batchrun.untold_shortages()
    held = {
        HOME if job.is_home_held else job.id: job
        for job in jobs
        if job.is_open and job.held_since is not None
    }
    return Needs(
        paused=tuple(job for job in jobs if job.is_open and job.paused and job.id in pauses),
        short=tuple(job for job in jobs if job.is_stuck and job.id in shortages),
        held={number: job for number, job in held.items() if number in holds},
    )
