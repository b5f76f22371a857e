"""The report of a job: how many, what it took, what went wrong and what to do about it. `report.json` and its readable twin."""

from dataclasses import fields
from typing import Final

from batchrun.clock import rfc3339
from batchrun.ledger.canaries import canary_of
from batchrun.ledger.connection import Ledger
from batchrun.ledger.items import counts, uncertain_count
from batchrun.ledger.opencalls import waiting_calls
from batchrun.ledger.shortages import shortage_of
from batchrun.ledger.states import OPEN_ITEM_STATES, BatchState
from batchrun.ledger.toolcalls import call_errors
from batchrun.model import JsonObject, Usage
from batchrun.outputs.database import count_keyless
from batchrun.outputs.deadlines import deadline_report
from batchrun.outputs.failures import failure_groups
from batchrun.outputs.markdown import report_markdown
from batchrun.outputs.rows import JobView, job_view, snapshot
from batchrun.outputs.sharing import shared_report
from batchrun.planning.canary import failure

__all__ = ["job_report", "report_markdown"]

TOOL_ERROR_COUNT: Final = 10  # errors of functions shown, the first
INCIDENT_COUNT: Final = 100  # incidents listed, the latest; all of them are counted
_SUMS: Final = ", ".join(
    # As far as answers say it; null where none does.
    f"nullif(sum(u.{name}), case when sum(u.maybe_written_tokens) > 0 then 0 end) as {name}"
    if name == "cache_write_tokens"
    else f"coalesce(sum(u.{name}), 0) as {name}"
    for name in ("attempts", *(field.name for field in fields(Usage)))
)


def job_report(ledger: Ledger, job_id: int) -> JsonObject:
    """The report as JSON; docs/outputs.md has its keys. Times are the ledger's, so an unchanged ledger gives an unchanged report.

    Raises UsageError for no such job, LedgerError.
    """
    with snapshot(ledger):
        job = job_view(ledger, job_id)
        found = counts(ledger, job_id)
        batches = _batches(ledger, job_id)
        spent = _spent(ledger, job_id)
        ended_at = ledger.value(
            "select max(coalesce(collected_at, 0), coalesce(ended_at, 0)) as at from batch_rows where job = ? order by at desc",
            (job_id,),
        )
        # Nothing was sent where a job was submitted again unchanged: it was done when it was submitted.
        finished_at = max(ended_at, job.submitted_at or 0) if ended_at else None
        is_complete = not any(found[state] for state in OPEN_ITEM_STATES)
        canary = None if is_complete else canary_of(ledger, job_id)
        short = shortage_of(ledger, job_id)
        return {
            "job": job.name,
            "profile": job.profile,
            "job_file": job.source,
            "complete": is_complete,
            "paused": job.paused or (None if canary is None else failure(canary)),
            "short": None if is_complete or short is None else short.reason,
            "submitted_at": _time(job.submitted_at),
            "finished_at": _time(finished_at) if is_complete else None,
            "duration_s": _duration(job.submitted_at, finished_at) if is_complete else None,
            "counts": {
                "items": sum(found.values()),
                **{state.name.lower(): n for state, n in found.items()},
            },
            "uncertain": uncertain_count(ledger, job_id),
            **_keyless(ledger, job),
            "failures": [
                {
                    "cause": group.cause,
                    "title": group.title,
                    "count": group.count,
                    "fix": group.fix,
                    "command": group.command,
                    "examples": list(group.examples),
                    "message": group.message,
                }
                for group in failure_groups(ledger, job_id)
            ],
            "attempts": spent["attempts"],
            "tokens": {name: n for name, n in spent.items() if name != "attempts"},
            "by_profile": _by_profile(ledger, job, spent),
            **deadline_report(ledger, job, finished_at if is_complete else None),
            **shared_report(ledger, job),
            **_tools(ledger, job),
            "batches": [
                {
                    **batch,
                    "created_at": _time(batch["created_at"]),
                    "ended_at": _time(batch["ended_at"]),
                }
                for batch in batches
            ],
            **_incidents(ledger, job_id),
        }


def _spent(ledger: Ledger, job_id: int, profile: str | None = None) -> dict[str, int | None]:
    """Tokens of every attempt ever settled, and how many there were: what the service may have billed. Of one profile, or of all."""
    row = ledger.row(
        f"select {_SUMS} from batch_rows b join batch_usage u on u.batch = b.id where b.job = ?1 and (?2 is null or b.profile = ?2)",
        (job_id, profile),
    )
    assert row is not None
    return dict(row)


def _by_profile(ledger: Ledger, job: JobView, all_of_it: dict[str, int | None]) -> JsonObject:
    """Who is billed for it: the job's profile, and the one that answered some of its items live, if any did."""
    used = ledger.rows(
        "select distinct profile from batch_rows where job = ? order by 1", (job.id,)
    )
    names = [row["profile"] for row in used] or [job.profile]
    if len(names) == 1:
        return {names[0]: all_of_it}
    return {name: _spent(ledger, job.id, name) for name in names}


def _keyless(ledger: Ledger, job: JobView) -> JsonObject:
    count = count_keyless(ledger, job)
    return {} if count is None else {"without_key": count}


def _tools(ledger: Ledger, job: JobView) -> JsonObject:
    """The calls of functions that were run in the conversations as they stand; nothing where the job has none."""
    if job.settings.rounds is None:
        return {}
    calls, errors, first = call_errors(ledger, job.id, most=TOOL_ERROR_COUNT)
    return {
        "tools": {
            "calls": calls,
            "errors": errors,
            "waiting": waiting_calls(ledger, job.id),
            "first_errors": [
                {"id": row["id"], "name": row["name"], "message": row["output"]} for row in first
            ],
        }
    }


def _batches(ledger: Ledger, job_id: int) -> list[JsonObject]:
    return [
        {
            "batch": row["id"],
            "remote_id": row["remote_id"],
            "state": BatchState(row["state"]).name.lower(),
            "remote_status": row["remote_status"],
            "model": row["model"],
            "requests": row["request_count"],
            "created_at": row["created_at"],
            "ended_at": row["ended_at"],
            "reason": row["reason"],
        }
        for row in ledger.rows(
            "select id, remote_id, state, remote_status, model, request_count, created_at, ended_at, reason "
            "from batch_rows where job = ? order by id",
            (job_id,),
        )
    ]


def _incidents(ledger: Ledger, job_id: int) -> JsonObject:
    rows = ledger.rows(
        "select at, batch, kind, message from incidents where job = ? order by id desc limit ?",
        (job_id, INCIDENT_COUNT),
    )
    latest = [
        {
            "at": _time(row["at"]),
            "batch": row["batch"],
            "kind": row["kind"],
            "message": row["message"],
        }
        for row in rows
    ]
    return {
        "incident_count": int(
            ledger.value("select count(*) from incidents where job = ?", (job_id,)) or 0
        ),
        "incidents": latest[::-1],
    }


def _time(at: int | None) -> str | None:
    return None if at is None else rfc3339(at)


def _duration(since: int | None, until: int | None) -> int:
    return 0 if since is None or until is None else until - since
