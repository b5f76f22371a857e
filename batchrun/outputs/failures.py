"""Failed items grouped by cause, each group with what to do and the exact command."""

from dataclasses import dataclass, field
from typing import Final

from batchrun.ledger.connection import Ledger
from batchrun.outputs.lines import FAILURE_CAUSE, FAILURE_JOINS, FAILURE_MESSAGE, IS_FAILED
from batchrun.outputs.remedies import Remedies
from batchrun.outputs.rows import item_blocks, job_view, snapshot

EXAMPLE_COUNT: Final = 3
_MESSAGE_LIMIT: Final = 500  # characters of the example's message; failures.jsonl has all of it


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureGroup:
    """Items of one job that failed for one cause. `examples` are the first ids in output order, `message` that of the first of them."""

    job: str
    profile: str
    cause: str
    title: str
    count: int
    is_retryable: bool
    fix: str
    command: str
    examples: tuple[str, ...]
    message: str


@dataclass(slots=True)
class _Tally:
    message: str
    count: int = 0
    examples: list[str] = field(default_factory=list)


def failure_groups(ledger: Ledger, job_id: int | None) -> tuple[FailureGroup, ...]:
    """Groups of one job or of all of them; in a job the largest first, then by cause. Raises UsageError for no such job."""
    with snapshot(ledger):
        if job_id is not None:
            return _groups(ledger, job_id)
        jobs = [row["id"] for row in ledger.rows("select id from jobs order by name, profile")]
        return tuple(group for job in jobs for group in _groups(ledger, job))


def _groups(ledger: Ledger, job_id: int) -> tuple[FailureGroup, ...]:
    job = job_view(ledger, job_id)
    tallies: dict[str, _Tally] = {}
    columns = (
        f"{FAILURE_CAUSE}, coalesce(i.key, i.name), substr({FAILURE_MESSAGE}, 1, {_MESSAGE_LIMIT})"
    )
    for rows in item_blocks(ledger, job, columns, joins=FAILURE_JOINS, where=IS_FAILED):
        for code, item_id, message in rows:
            tally = tallies.get(code)
            if tally is None:
                tally = tallies[code] = _Tally(message)
            tally.count += 1
            if len(tally.examples) < EXAMPLE_COUNT:
                tally.examples.append(item_id)
    remedies = Remedies(job)
    return tuple(
        FailureGroup(
            job=job.name,
            profile=job.profile,
            cause=code,
            title=remedies.cause(code).title,
            count=tally.count,
            is_retryable=remedies.cause(code).is_retryable,
            fix=remedies.fix(code),
            command=remedies.command(code),
            examples=tuple(tally.examples),
            message=tally.message,
        )
        for code, tally in sorted(tallies.items(), key=lambda entry: (-entry[1].count, entry[0]))
    )
