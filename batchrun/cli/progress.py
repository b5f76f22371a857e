"""Progress at a terminal: one bar a job, on stderr, read from the ledger once a second by a thread of its own.

The runner knows nothing of it: whatever the ledger says of batches in flight is what the bars show.
"""

import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from batchrun.api import Batchrun, JobStatus
from batchrun.clock import rfc3339
from batchrun.errors import BatchrunError
from batchrun.outputs.escaping import printable

_EVERY_S = 1.0


class Bars:
    """Shows the named jobs (none: all) for as long as the context lasts."""

    def __init__(self, batchrun: Batchrun, jobs: Sequence[str]) -> None:
        self._batchrun, self._jobs = batchrun, jobs
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            console=Console(stderr=True),
            redirect_stdout=False,
        )
        self._tasks: dict[int, TaskID] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="batchrun-progress", daemon=True)

    def __enter__(self) -> Self:
        self._refresh()
        self._progress.start()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._thread.join(_EVERY_S)
        if kind is None:
            self._refresh()
        self._progress.stop()

    def _follow(self) -> None:
        while not self._stopping.wait(_EVERY_S):
            self._refresh()

    def _refresh(self) -> None:
        try:
            jobs = self._batchrun.status(self._jobs)
        except BatchrunError:
            return  # the command itself will meet it, and say so
        for job in jobs:
            total, done, note = job.item_count, _done(job), _note(job)
            if job.id not in self._tasks:
                self._tasks[job.id] = self._progress.add_task(
                    escape(job.name), total=total, note=""
                )
            self._progress.update(self._tasks[job.id], total=total, completed=done, note=note)


def _done(job: JobStatus) -> int:
    """Items that are settled, and those that the service says it has answered."""
    answered = sum(batch.completed + batch.failed for batch in job.batches)
    open_count = job.counts["pending"] + job.counts["in_flight"]
    return job.item_count - open_count + min(answered, job.counts["in_flight"])


def _note(job: JobStatus) -> str:
    """What happens or is waited for, in a few words."""
    parts = [f"{job.counts['failed']:,} failed"] if job.counts["failed"] else []
    statuses = [batch.remote_status or batch.state for batch in job.batches]
    parts += [f"{statuses.count(word)} x {word}" for word in dict.fromkeys(statuses)]
    parts += [printable(reason) for reason in job.waiting[:1]]
    if job.next_at is not None and not job.waiting and job.is_open:
        parts.append(f"next look {rfc3339(job.next_at)[11:16]} UTC")
    return escape(", ".join(parts))
