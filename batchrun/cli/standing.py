"""Where jobs stand, as a table for people and as JSON. Plain string formatting: `status` must not cost a rich import."""

from collections.abc import Sequence
from typing import Final

from batchrun.cli.printing import counted
from batchrun.clock import rfc3339
from batchrun.looking import BatchStatus, JobStatus

_HEADER: Final = ("JOB", "BACKEND", "ITEMS", "DONE", "FAILED", "CANCELLED", "OPEN", "STATE")
_NUMBERS: Final = frozenset({2, 3, 4, 5, 6})
_BATCHES_SHOWN: Final = 5


def status_text(jobs: Sequence[JobStatus], now: int) -> str:
    """A line a job, and below it its batches and why it waits."""
    rows = [_HEADER, *(_row(job) for job in jobs)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
    lines = [_aligned(_HEADER, widths)]
    for job, row in zip(jobs, rows[1:], strict=True):
        lines.append(_aligned(row, widths))
        lines += [f"  {line}" for line in _details(job, now)]
    return _printable("\n".join(lines))


def status_json(job: JobStatus) -> dict[str, object]:
    """One job of `status --json`; keys are never renamed, times are RFC 3339."""
    return {
        "job": job.name,
        "profile": job.profile,
        "job_file": job.source,
        "outputs": job.outputs,
        "submitted_at": rfc3339(job.submitted_at),
        "counts": {"items": job.item_count, **job.counts},
        "open": job.is_open,
        "paused": job.paused,
        "held_since": _time(job.held_since),
        "short": job.short,
        "uncertain": job.uncertain,
        "deadline_at": _time(job.deadline_at),
        "live_since": _time(job.live_since),
        "open_calls": job.open_calls,
        "waiting": list(job.waiting),
        "next_at": _time(job.next_at),
        "batches": [_batch_json(batch) for batch in job.batches],
    }


def _batch_json(batch: BatchStatus) -> dict[str, object]:
    return {
        "batch": batch.id,
        "state": batch.state,
        "remote_id": batch.remote_id,
        "remote_status": batch.remote_status,
        "model": batch.model,
        "requests": batch.requests,
        "completed": batch.completed,
        "failed": batch.failed,
        "planned_at": _time(batch.planned_at),
        "created_at": _time(batch.created_at),
        "next_at": _time(batch.next_at),
        "reason": batch.reason,
        "needs_person": batch.needs_person,
    }


def _row(job: JobStatus) -> tuple[str, ...]:
    found = job.counts
    numbers = (
        job.item_count,
        found["succeeded"],
        found["failed"],
        found["cancelled"],
        found["pending"] + found["in_flight"],
    )
    return (job.name, job.profile, *(f"{number:,}" for number in numbers), _state(job))


def _state(job: JobStatus) -> str:
    if job.is_open and job.held_since is not None:
        return "held"
    if job.paused:
        return "paused"
    if job.is_open:
        if job.is_stuck and not job.batches:
            return "waiting for money"
        sent = sum(batch.remote_id is not None for batch in job.batches)
        if job.open_calls and not sent:
            return "waiting for tools"
        if job.retries and not sent:
            return "waiting for a retry"
        return (
            f"{sent} batch{'' if sent == 1 else 'es'} in flight" if sent else "waiting to be sent"
        )
    if job.counts["failed"]:
        return "finished, with failures"
    return "finished, some cancelled" if job.counts["cancelled"] else "done"


def _details(job: JobStatus, now: int) -> list[str]:
    # Those that somebody must look at are never among those left out.
    urgent = [batch for batch in job.batches if batch.needs_person]
    others = [batch for batch in job.batches if not batch.needs_person]
    shown = urgent + others[: max(0, _BATCHES_SHOWN - len(urgent))]
    lines = [_batch_line(batch, now) for batch in shown]
    more = len(job.batches) - len(shown)
    if more > 0:
        lines.append(f"… and {more:,} more batches")
    if job.uncertain:
        lines.append(
            f"uncertain: {counted(job.uncertain, 'item')} may have been executed without an answer; "
            f"batchrun retry {job.label} --rerun-uncertain asks again"
        )
    if job.is_open and job.deadline_at is not None:
        how = "" if job.live_since is None else f", live since {rfc3339(job.live_since)}"
        lines.append(f"deadline {rfc3339(job.deadline_at)}{how}")
    told = {batch.reason for batch in shown}
    return lines + [f"waits: {reason}" for reason in job.waiting if reason not in told]


def _batch_line(batch: BatchStatus, now: int) -> str:
    number = f"batch {batch.id}"
    name = batch.remote_id or number
    if batch.needs_person and batch.remote_id:
        name = f"{number}, {name}"  # what `resolve` wants is the number
    since = batch.created_at or batch.planned_at
    line = f"{name}: {batch.remote_status or batch.state}"
    if batch.remote_id:
        line += f", {batch.completed + batch.failed:,} of {batch.requests:,}"
    else:
        line += f", {counted(batch.requests, 'request')}"
    line += f", for {age(now - since)}"
    if batch.next_at is not None and batch.next_at > now:
        line += f", next look {rfc3339(batch.next_at)}"
    return line + (f" ({batch.reason})" if batch.reason else "")


def age(seconds: int) -> str:
    """`42 s`, `5 min`, `3 h 20 min`, `2 d 4 h`."""
    seconds = max(0, seconds)  # clocks are set back
    minutes, hours, days = seconds // 60, seconds // 3_600, seconds // 86_400
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min" if minutes else f"{seconds} s"


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = (
        cell.rjust(width) if column in _NUMBERS else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    return "  ".join(cells).rstrip()


def _time(at: int | None) -> str | None:
    return None if at is None else rfc3339(at)


def _printable(text: str) -> str:
    lines = text.split("\n")
    if all(line.isprintable() for line in lines):
        return text
    from batchrun.outputs.escaping import printable

    return "\n".join(map(printable, lines))
