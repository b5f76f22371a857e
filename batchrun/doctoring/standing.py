"""What the ledger says of itself: whether this home may send, whether anything ticks, and what is in flight for too long."""

import json
from collections.abc import Iterator
from typing import Final

from batchrun.configtable import nearest
from batchrun.doctoring.diagnosis import Area, Diagnosis, Level
from batchrun.ledger.connection import Ledger, is_copied
from batchrun.ledger.jobs import JobRow, find_jobs
from batchrun.ledger.opencalls import waiting_calls
from batchrun.ledger.snapshot import MeansOf, no_means, take_snapshot
from batchrun.ledger.states import IS_OPEN_BATCH, BatchState
from batchrun.money.limits import Budgets, Scope
from batchrun.planning.actions import Wait
from batchrun.planning.plan import plan
from batchrun.planning.policy import FOREVER

TICK_AGE_S: Final = 3_600
# Services keep results for 30 days: whoever has not looked for 20 is about to lose some.
FLIGHT_AGE_S: Final = 20 * 86_400
_DAY_S: Final = 86_400
_CRON: Final = 'Run `batchrun tick` from cron: (crontab -l; echo "*/5 * * * * batchrun tick --home {home}") | crontab -'
# What somebody must do about a batch that does not go on by itself, by its state.
_FOR_PERSON: Final = {
    BatchState.PLANNED: "Restore the file from a backup, or start the job anew: batchrun submit FILE --fresh --yes",
    BatchState.CREATING: "batchrun resolve {number} --is BATCH_ID --home {home}, or --absent where it is not on the service.",
    BatchState.CREATED: "Look at {remote} on the service.",
    BatchState.ENDED: "Mend the file in its place, or: batchrun resolve {number} --as-is --home {home}",
}


def _home(name: str, level: Level, what: str, fix: str = "") -> Diagnosis:
    return Diagnosis(area=Area.HOME, name=name, level=level, what=what, fix=fix)


def examine_ledger(
    ledger: Ledger, now: int, *, in_process: frozenset[str], means_of: MeansOf = no_means
) -> Iterator[Diagnosis]:
    """Reads rows of jobs and open batches only. `in_process`: the profiles whose lines run in our own passes; `means_of`: what jobs may spend."""
    yield _original(ledger)
    yield _ticking(ledger, now, in_process, means_of)
    yield _in_flight(ledger, now)
    yield from _held(ledger)
    yield from _needing_person(ledger)
    yield _paused(ledger)
    yield _short(ledger)
    yield from _calling(ledger)


def examine_limits(ledger: Ledger, budgets: Budgets) -> Iterator[Diagnosis]:
    """Limits of the settings for tags and jobs that no job here has: such a one may be misspelt, and holds nothing then."""
    jobs = list(ledger.rows("select name, settings ->> '$.tags' as tags from jobs"))
    known = {
        Scope.JOB: {row["name"] for row in jobs},
        Scope.TAG: {tag for row in jobs for tag in json.loads(row["tags"] or "[]")},
    }
    for scope, names in known.items():
        for name in sorted(set(budgets.named.get(scope, ())) - names):
            yield _home(
                "limits",
                Level.WARN,
                f"[budget.{scope}.{name}] is for a {scope} that no job of this home has.{nearest(name, names)}",
                "Write its name as it stands in the job line; of a job that is still to come, nothing is to be done.",
            )


def used_profiles(ledger: Ledger) -> tuple[str, ...]:
    """The profiles of jobs that are not archived, in alphabetical order."""
    rows = ledger.rows(
        "select distinct profile from jobs where submission is not null order by profile"
    )
    return tuple(row["profile"] for row in rows)


def _original(ledger: Ledger) -> Diagnosis:
    reason = is_copied(ledger)
    if reason is None:
        return _home("original", Level.OK, "this home is no copy")
    return _home(
        "original",
        Level.FAIL,
        f"this home is a copy or was restored ({reason}): it sends nothing",
        f"batchrun recover --take-over --home {ledger.home.path}, if the original is gone for good.",
    )


def _ticking(ledger: Ledger, now: int, in_process: frozenset[str], means_of: MeansOf) -> Diagnosis:
    """Whether work has been due for an hour: a pass that waits for its time is no sign of trouble, one that nobody makes is."""
    last = ledger.meta("last_pass_at")
    shown = (
        "no pass was ever made"
        if last is None
        else f"the last pass ended {_age(now - int(last))} ago"
    )
    then = now - TICK_AGE_S
    is_young = (last is not None and int(last) > then) or any(
        job.submitted_at > then for job in find_jobs(ledger)
    )
    found = take_snapshot(ledger, then, in_process=in_process, means_of=means_of)
    actions = () if is_young else plan(found, then)
    if not actions or isinstance(actions[0], Wait):
        return _home("last-pass", Level.OK, f"nothing is overdue; {shown}")
    return _home(
        "last-pass",
        Level.WARN,
        f"work has been due for more than an hour; {shown}",
        _CRON.format(home=ledger.home.path),
    )


def _in_flight(ledger: Ledger, now: int) -> Diagnosis:
    row = ledger.row(
        "select count(*) as n, min(coalesce(created_at, intent_at)) as since from batch_rows where state in (?, ?, ?)",
        (BatchState.CREATING, BatchState.CREATED, BatchState.ENDED),
    )
    assert row is not None
    if not row["n"]:
        return _home("in-flight", Level.OK, "no batch is in flight")
    age = now - (row["since"] or now)
    what = f"{row['n']:,} batches in flight, the oldest for {_age(age)}"
    if age <= FLIGHT_AGE_S:
        return _home("in-flight", Level.OK, what)
    return _home(
        "in-flight",
        Level.WARN,
        f"{what}: services delete results after 30 days",
        f"batchrun tick --home {ledger.home.path}, today.",
    )


def _held(ledger: Ledger) -> Iterator[Diagnosis]:
    """Profiles that nothing but a person lets send again, whether or not anything waits behind them now."""
    held = list(
        ledger.rows(
            "select profile, reason from holds where until >= ? order by profile, model", (FOREVER,)
        )
    )
    if not held:
        yield _home("held", Level.OK, "no profile is held back until somebody acts")
    for row in held:
        yield _home(
            "held",
            Level.FAIL,
            f"profile {row['profile']!r} sends nothing: {row['reason']}",
            f"batchrun recover FILE... --backend {row['profile']} --home {ledger.home.path}",
        )


def _needing_person(ledger: Ledger) -> Iterator[Diagnosis]:
    needing = list(
        ledger.rows(
            "select b.id, b.state, b.remote_id, b.reason, j.name from batch_rows b join jobs j on j.id = b.job "
            f"where b.{IS_OPEN_BATCH} and b.needs_person order by b.id"
        )
    )
    if not needing:
        yield _home("needs-person", Level.OK, "no batch waits for a person")
    for row in needing:
        yield _home(
            "needs-person",
            Level.WARN,
            f"batch {row['id']} of {row['name']}: {row['reason']}",
            _FOR_PERSON[BatchState(row["state"])].format(
                number=row["id"], remote=row["remote_id"], home=ledger.home.path
            ),
        )


def _paused(ledger: Ledger) -> Diagnosis:
    paused = sorted(
        job.name for job in find_jobs(ledger) if job.why_paused or job.held_at is not None
    )
    if not paused:
        return _home("paused", Level.OK, "no job is paused or held")
    return _home(
        "paused",
        Level.WARN,
        f"paused and held jobs send nothing: {', '.join(paused)}",
        "batchrun status says why, and batchrun resume lets them go on.",
    )


def _short(ledger: Ledger) -> Diagnosis:
    short = sorted(job.name for job in find_jobs(ledger) if _is_stuck(job))
    if not short:
        return _home("money", Level.OK, "no job waits for a limit")
    return _home(
        "money",
        Level.WARN,
        f"what is left of their limits does not let jobs send more: {', '.join(short)}",
        "batchrun status says which limit, when it begins anew and where it stands.",
    )


def _is_stuck(job: JobRow) -> bool:
    return job.short is not None and not job.short.is_bound


def _calling(ledger: Ledger) -> Iterator[Diagnosis]:
    """Calls of functions, which nobody runs who does not name them."""
    for job in find_jobs(ledger):
        if waiting := waiting_calls(ledger, job.id):
            yield _home(
                "calls",
                Level.WARN,
                f"job {job.label}: {waiting:,} calls of functions wait for their file",
                f"batchrun tick --tools FILE --home {ledger.home.path}",
            )


def _age(seconds: int) -> str:
    seconds = max(0, seconds)
    if seconds >= 2 * _DAY_S:
        return f"{seconds // _DAY_S} days"
    return f"{seconds // 3_600} hours" if seconds >= 2 * 3_600 else f"{seconds // 60} minutes"
