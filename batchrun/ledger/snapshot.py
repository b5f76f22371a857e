"""Reading the ledger into the plain facts that planning looks at.

Costs rows of jobs and open batches, never of items: the queue is counted no further than planning cares.
"""

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from batchrun.ledger.canaries import canary_of, queue_of
from batchrun.ledger.connection import Ledger
from batchrun.ledger.deadlines import pace_here
from batchrun.ledger.held import HELD_AT
from batchrun.ledger.jobs import DIVERTED_TO
from batchrun.ledger.opencalls import has_waiting_calls
from batchrun.ledger.queues import NOT_ADMITTED, QueueOf, no_queue, queue_facts, sent_by_job
from batchrun.ledger.remotefiles import untidy
from batchrun.ledger.states import (
    IS_OPEN_BATCH,
    IS_OPEN_ITEM,
    BatchState,
    FileState,
    ItemState,
    SubmissionState,
)
from batchrun.planning.canary import Verdict, judge
from batchrun.planning.deadline import Pace
from batchrun.planning.facts import BatchFacts, JobFacts, Snapshot
from batchrun.planning.means import Means
from batchrun.planning.plan import RETRY_GATHER_COUNT
from batchrun.planning.policy import LOST_MOST_S
from batchrun.planning.queuefacts import Queue, QueueFacts, QueueKey

# What a job, a row of `jobs`, may spend; None: nothing binds it.
MeansOf = Callable[[Ledger, sqlite3.Row, int], Means | None]
# How fast the live twin of a profile may be asked, and at this endpoint; None: it has no other, or cannot be asked there.
PaceOf = Callable[[str, str], Pace | None]


def no_pace(profile: str, endpoint: str) -> Pace | None:  # noqa: ARG001 - the shape of the question
    """No profile can be asked live."""
    return None


def no_means(ledger: Ledger, job: sqlite3.Row, now: int) -> Means | None:  # noqa: ARG001 - the shape of the question
    """Nothing binds any job."""
    return None


def take_snapshot(
    ledger: Ledger,
    now: int,
    *,
    in_process: frozenset[str] = frozenset(),
    exhausted: frozenset[str] = frozenset(),
    quiet: tuple[tuple[str, int], ...] = (),
    unreachable: frozenset[str] = frozenset(),
    has_tools: bool = False,
    not_lent: frozenset[int] = frozenset(),
    is_tired: bool = False,
    unpaid: frozenset[int] = frozenset(),
    pace_of: PaceOf = no_pace,
    means_of: MeansOf = no_means,
    queue_of: QueueOf = no_queue,
) -> Snapshot:
    """The facts as of `now`; the sets and flags are what the current pass knows (see Snapshot). `pace_of`: how live answers are had; `means_of`: what
    may be spent; `queue_of`: which queue of tokens a batch goes into.
    """
    return Snapshot(
        jobs=_jobs(ledger, now, pace_of, means_of),
        batches=_batches(ledger, now, queue_of),
        queues=_queues(ledger, queue_of),
        holds=tuple(
            (row["profile"], row["model"], row["until"])
            for row in ledger.rows(
                "select profile, model, until from holds order by profile, model"
            )
        ),
        in_process=in_process,
        exhausted=exhausted,
        quiet=quiet,
        unreachable=unreachable,
        untidy=untidy(ledger),
        has_tools=has_tools,
        not_lent=not_lent,
        is_tired=is_tired,
        unpaid=unpaid,
    )


_FACTS: Final = (
    "id, job, profile, model, state, request_count, (select tokens from request_files f where f.id = request_file) as tokens, next_at, audit_until, remote_status, cancel_requested, cancel_sent_at, "
    "case when lost_at is not null then coalesce(created_at, intent_at) end as lost_since"
)


def _batches(ledger: Ledger, now: int, queue_of: QueueOf) -> tuple[BatchFacts, ...]:
    return tuple(
        BatchFacts(
            id=row["id"],
            job=row["job"],
            profile=row["profile"],
            model=row["model"],
            state=BatchState(row["state"]),
            next_at=row["next_at"],
            audit_until=row["audit_until"],
            sought_until=None if row["lost_since"] is None else row["lost_since"] + LOST_MOST_S,
            is_admitted=row["remote_status"] not in NOT_ADMITTED,
            cancel_requested=bool(row["cancel_requested"]),
            cancel_sent=row["cancel_sent_at"] is not None,
            queue=_key(queue_of(row["profile"], row["model"])),
            tokens=row["tokens"],
            requests=row["request_count"],
        )
        for row in ledger.rows(
            f"select {_FACTS} from batch_rows where {IS_OPEN_BATCH} union all select {_FACTS} from batch_rows where state >= {int(BatchState.COLLECTED)} "
            "and (audit_until > ?1 or (state = ?2 and coalesce(created_at, intent_at) > ?1 - ?3)) order by id",
            (now, BatchState.LOST, LOST_MOST_S),
        )
    )


def _key(queue: Queue | None) -> QueueKey | None:
    return None if queue is None else queue.key


def _queues(ledger: Ledger, queue_of: QueueOf) -> tuple[QueueFacts, ...]:
    """The queues with limits into which open batches go."""
    models = ledger.rows(f"select distinct profile, model from batch_rows where {IS_OPEN_BATCH}")
    queues = {queue_of(row["profile"], row["model"]) for row in models}
    found = [facts for queue in queues if (facts := queue_facts(ledger, queue)) is not None]
    sent = sent_by_job(ledger, [facts.key for facts in found], queue_of)
    return tuple(replace(facts, sent=sent[facts.key]) for facts in sorted(found, key=_by_key))


def _by_key(facts: QueueFacts) -> QueueKey:
    return facts.key


def _jobs(ledger: Ledger, now: int, pace_of: PaceOf, means_of: MeansOf) -> tuple[JobFacts, ...]:
    facts = []
    for job in ledger.rows(
        f"select j.id, j.name, j.source, j.settings, j.profile, {DIVERTED_TO} as diverted_to, j.deadline_at, j.live_since, j.settings ->> '$.endpoint' as endpoint, j.paused, j.stale, {HELD_AT} as held_at, coalesce((select sum(n) from item_counts c where c.job = j.id "
        f"and c.{IS_OPEN_ITEM}), 0) as open, coalesce((select sum(n) from item_counts c where c.job = j.id and c.state = {int(ItemState.PENDING)}), 0) "
        "as pending from jobs j where j.submission is not null order by j.id"
    ):
        if not job["open"] and not job["stale"]:
            continue
        fresh: tuple[tuple[int, str], ...] = ()
        due, next_at, since = 0, None, None
        canary = canary_of(ledger, job["id"])
        has_failed = canary is not None and judge(canary) is Verdict.FAILED
        if job["pending"]:
            fresh = tuple(
                (row["id"], row["model"])
                for row in ledger.rows(
                    "select f.id, f.model from request_files f join submissions s on s.id = f.submission "
                    "where f.job = ? and f.state = ? and s.state = ? and f.is_canary >= ? order by f.id",
                    (job["id"], FileState.FRESH, SubmissionState.READY, canary is not None),
                )
            )
            due, next_at, since = _queued(ledger, job["id"], now)
        facts.append(
            JobFacts(
                id=job["id"],
                profile=job["profile"],
                has_open_items=bool(job["open"]),
                is_stale=bool(job["stale"]),
                is_paused=job["paused"] is not None or job["held_at"] is not None or has_failed,
                is_held=job["held_at"] is not None,
                fresh_files=fresh,
                queued_due=due,
                queued_next_at=next_at,
                queued_since=since,
                diverted_to=job["diverted_to"],
                canary=canary,
                deadline_at=job["deadline_at"],
                open_count=job["open"],
                pace=_pace(ledger, job, pace_of),
                is_live=job["live_since"] is not None,
                means=means_of(ledger, job, now) if job["open"] else None,
                has_calls=bool(job["pending"]) and has_waiting_calls(ledger, job["id"]),
            )
        )
    return tuple(facts)


def _pace(ledger: Ledger, job: sqlite3.Row, pace_of: PaceOf) -> Pace | None:
    """How fast a job with a deadline could be answered live."""
    if job["deadline_at"] is None or not job["open"]:
        return None
    pace = pace_of(job["profile"], job["endpoint"])
    return None if pace is None else pace_here(ledger, job["id"], pace)


def _queued(ledger: Ledger, job: int, now: int) -> tuple[int, int | None, int | None]:
    """Of a job's queue: how many are due (counted up to RETRY_GATHER_COUNT), when the next one is, since when the oldest waits."""
    queue = queue_of(ledger, job)
    since = ledger.value(
        f"select min(not_before) from {queue} where job = ? and not_before <= ?", (job, now)
    )
    next_at = ledger.value(
        f"select min(not_before) from {queue} where job = ? and not_before > ?", (job, now)
    )
    due = ledger.value(
        f"select count(*) from (select 1 from {queue} where job = ? and not_before <= ? limit ?)",
        (job, now, RETRY_GATHER_COUNT),
    )
    return due, next_at, since
