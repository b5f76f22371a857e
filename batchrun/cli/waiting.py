"""Waiting for jobs with progress, and the exit code at the end: the common half of `run` and `wait`."""

import dataclasses
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from batchrun.api import Batchrun, worst_exit_code
from batchrun.cli.errors import show_warning
from batchrun.cli.finishing import pass_json, show_jobs, show_problems
from batchrun.cli.invocation import Invocation
from batchrun.cli.needing import tell_notices
from batchrun.cli.printing import is_terminal, put_json, tell
from batchrun.clock import rfc3339
from batchrun.errors import NotFinished, placed


class _Notes:
    """An observer that tells at once what a person may want to mend, or why nothing moves, while we wait; each message once."""

    def __init__(self, batchrun: Batchrun, jobs: Sequence[str], *, is_silent: bool) -> None:
        self.told: set[str] = set()
        self.reasons: set[str] = set()  # the same, as they stand at jobs
        self._batchrun, self._jobs = batchrun, jobs
        self._quiet_until: dict[
            int, int
        ] = {}  # by job: when the first of the retries that were told is due
        self._short: set[int] = set()
        self._is_silent = is_silent
        self._is_news = False

    def __call__(self, event: str, **facts: object) -> None:
        """Take note of an event of the runner."""
        reason, profile = str(facts.get("message", "")), facts.get("profile")
        message = placed(reason, str(profile) if profile else None)
        if event == "unreachable" and not self._is_silent and message not in self.told:
            self.told.add(message)
            self.reasons.add(reason)
            self._is_news = True
            tell(f"batchrun: {message}")
        elif event == "sleeping" and self._is_news and isinstance(until := facts.get("until"), int):
            self._is_news = False
            tell(f"batchrun: all is kept; trying again from {rfc3339(until)} on")
        if event == "sleeping" and not self._is_silent:
            tell_notices(self._batchrun, is_json=False)
            self._tell_what_waits()

    def _tell_what_waits(self) -> None:
        """Retries, each time anew, and who waits for money, once: what is left changes with every answer."""
        now = self._batchrun.clock.now()
        for job in self._batchrun.status(self._jobs):
            if job.short is not None and job.id not in self._short:
                self._short.add(job.id)
                self.reasons.add(job.short)
                tell(f"batchrun: {job.name} ({job.profile}) waits for money: {job.short}")
            if job.retry_at is not None and self._quiet_until.get(job.id, 0) <= now < job.retry_at:
                self._quiet_until[job.id] = job.retry_at
                for line in job.retries:
                    tell(f"batchrun: {job.name} ({job.profile}): {line}")


def wait_for(
    invocation: Invocation,
    batchrun: Batchrun,
    jobs: Sequence[str],
    *,
    timeout_s: float | None,
    codes: Sequence[int] = (),
) -> int:
    """Wait for the named jobs (none: all), print how they ended, and return the exit code; `codes` are those of what went before."""
    until = None if timeout_s is None else batchrun.clock.now() + int(timeout_s)
    batchrun.status(jobs)  # a name that means nothing is told before anything is done
    notes = _Notes(batchrun, jobs, is_silent=invocation.is_json)
    with _progress(batchrun, jobs, is_json=invocation.is_json):
        observed = dataclasses.replace(batchrun, observer=notes)
        result, is_done = observed.wait(jobs, until=until)
    found = batchrun.status(jobs)
    codes = [*codes, *(job.exit_code for job in found)]
    codes += show_problems(result.problems, invocation, told=notes.told)
    for message in sorted({problem.placed for problem in result.others} - notes.told):
        show_warning(message, invocation)
    if invocation.is_json:
        put_json(
            pass_json(
                batchrun,
                jobs=found,
                problems=result.problems,
                next_at=result.next_at,
                notices=tell_notices(batchrun, is_json=True),
            )
        )
    else:
        tell_notices(batchrun, is_json=False)
        show_jobs(batchrun, found, told={*notes.reasons, *map(str, result.problems)})
    batchrun.mark_told([job.id for job in found if not job.is_open])
    batchrun.mark_pauses_told([job.id for job in found if job.is_open and job.paused])
    batchrun.mark_shortages_told([job.id for job in found if job.is_stuck])
    return worst_exit_code(codes if is_done else [*codes, NotFinished.exit_code])


def _progress(
    batchrun: Batchrun, jobs: Sequence[str], *, is_json: bool
) -> AbstractContextManager[object]:
    """Bars at a terminal; nothing in a log."""
    if is_json or not is_terminal(sys.stderr):
        return nullcontext()
    from batchrun.cli.progress import Bars

    return Bars(batchrun, jobs)
