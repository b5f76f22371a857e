"""Where jobs stand, read from the ledger alone. Light on purpose: `batchrun status` imports this and not the whole of `api`.

Hence named tuples: a dataclass takes eight times as long to define.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from batchrun.clock import rfc3339
from batchrun.errors import UsageError
from batchrun.ledger.backoff import Backoff, backoffs
from batchrun.ledger.connection import Ledger
from batchrun.ledger.followers import following_count
from batchrun.ledger.items import counts, open_count, uncertain_count
from batchrun.ledger.jobs import JobRow, find_jobs
from batchrun.ledger.opencalls import waiting_calls
from batchrun.ledger.states import IS_OPEN_BATCH, BatchState, ItemState
from batchrun.planning.canary import Verdict, judge
from batchrun.planning.policy import FOREVER

if TYPE_CHECKING:
    from batchrun.model import Json, JsonObject

_VIDEOS: Final = "/v1/videos"
_VIDEO_LIFE_S: Final = 86_400  # after the end of its batch. Source: OpenAI's Batch guide
# Written by running/switching.py, and by a kind that ledger/deadlines.py names: too much to load here.
_UNPAID_DEADLINE: Final = "select message from incidents where job = ? and kind = 'unpaid_deadline' and at >= ? order by id desc limit 1"
_EXIT_ORDER: Final = (1, 7, 75, 6, 8, 5, 3, 4)  # the most urgent first (docs/exit-codes.md)


def worst_exit_code(codes: Sequence[int]) -> int:
    """The one exit code of several outcomes."""
    return next((code for code in _EXIT_ORDER if code in codes), max(codes, default=0))


class BatchStatus(NamedTuple):
    """One batch that is not final. `completed` and `total` are the service's counts at the last look; times are unix seconds.

    `needs_person`: it does not go on by itself; `reason` says what somebody must do. `next_at`: when it is looked at again. `created_at` is None until the service has it.
    """

    id: int
    state: str
    remote_id: str | None
    remote_status: str | None
    model: str
    requests: int
    completed: int
    failed: int
    planned_at: int
    created_at: int | None
    next_at: int | None
    reason: str | None
    needs_person: bool


class JobStatus(NamedTuple):
    """Where one job stands. `counts` by state name; `batches` are those not final; `waiting` says why nothing moves.

    `paused` is one of `waiting`: a person has to act; `has_failed_canary`: because the items that went first failed. `held_since`: a person holds it, or (`is_home_held`) all of its home. `is_held`: its profile sends nothing before a recovery has come to its end. `is_open`: some item has no outcome yet.
    `deadline_at`: when all should be answered; `live_since`: since when that is no more done by batch.
    `videos_until`: when the service drops the first videos that this submission made; None for all other jobs.
    `retries` are of `waiting`, too: items that were tried and go again by themselves, the first at `retry_at`.
    `short`: why something waits for money. `is_stuck`: nothing that is out can make room for it: only time does, or a person, who has to let go where it `needs_resume`.
    `uncertain`: failed items that were sent and may have been executed, without an answer.
    `open_calls`: calls in answers that wait for functions, which only a person can name.
    """

    id: int
    name: str
    profile: str
    source: str
    outputs: str
    counts: Mapping[str, int]
    is_open: bool
    batches: tuple[BatchStatus, ...]
    waiting: tuple[str, ...]
    paused: str | None
    has_failed_canary: bool
    held_since: int | None
    is_home_held: bool
    is_held: bool
    short: str | None
    is_stuck: bool
    needs_resume: bool
    retries: tuple[str, ...]
    retry_at: int | None
    uncertain: int
    open_calls: int
    submitted_at: int
    videos_until: int | None
    deadline_at: int | None
    live_since: int | None

    @property
    def label(self) -> str:
        """The name that finds exactly this job on the command line."""
        return f"{self.name}@{self.profile}"

    @property
    def item_count(self) -> int:
        """All items that count."""
        return sum(self.counts.values())

    @property
    def next_at(self) -> int | None:
        """When the first of its batches is looked at again, or its first item goes again; None where none is waiting for that."""
        times = [b.next_at for b in self.batches] + [self.retry_at]
        return min((at for at in times if at is not None), default=None)

    @property
    def exit_code(self) -> int:
        """0 all answered, 3 finished with items that failed or were cancelled, 4 not finished, 8 nor going to be by itself: the canary failed, or a limit is used up."""
        if self.is_open:
            return 8 if self.has_failed_canary or self.is_stuck else 4
        return 3 if self.counts["failed"] or self.counts["cancelled"] else 0


def job_statuses(
    ledger: Ledger, names: Sequence[str] = (), *, profile: str | None = None
) -> tuple[JobStatus, ...]:
    """Where the named jobs stand (none: all); costs rows of jobs and open batches, and a look at each item before its next attempt and each open call.

    Whatever the number of other items.
    """
    return tuple(job_status(ledger, job) for job in choose_jobs(ledger, names, profile=profile))


def choose_jobs(
    ledger: Ledger, names: Sequence[str], *, profile: str | None = None
) -> list[JobRow]:
    """The jobs of these names, in their order (none: all jobs). `NAME@PROFILE` means exactly one; `profile` narrows plain names.

    Raises UsageError naming the jobs that there are.
    """
    jobs = find_jobs(ledger)
    if not names:
        return jobs
    return [job for name in names for job in _named(ledger, jobs, name, profile)]


def choose_job(ledger: Ledger, name: str, *, profile: str | None = None) -> JobRow:
    """The one job of this name. Raises UsageError where there is none, or one for each of several backends."""
    found = choose_jobs(ledger, (name,), profile=profile)
    if len(found) > 1:
        labels = ", ".join(job.label for job in found)
        raise UsageError(f"job {name!r} was run by several backends. Name one: {labels}.")
    return found[0]


def _named(ledger: Ledger, jobs: list[JobRow], name: str, profile: str | None) -> list[JobRow]:
    plain, _, asked = name.partition("@")
    wanted = asked or profile
    found = [j for j in jobs if j.name == plain and (not wanted or j.profile == wanted)]
    if not found:
        known = ", ".join(sorted({job.label for job in jobs})) or "none yet"
        raise UsageError(f"no job {name!r} in {ledger.home.path}. There are: {known}.")
    return found


def job_status(ledger: Ledger, job: JobRow) -> JobStatus:
    """Where one job stands."""
    by_state = counts(ledger, job.id)
    is_open = bool(open_count(ledger, job.id))
    batches = _batches(ledger, job.id)
    waiting = [batch.reason for batch in batches if batch.reason]
    paused = job.why_paused if is_open else job.paused
    waiting += [paused] if paused else []
    canary = job.canary if is_open else None
    has_failed = canary is not None and judge(canary) is Verdict.FAILED
    if canary is not None and not has_failed:
        waiting.append(
            f"canary: {canary.items:,} items go first, {canary.undecided:,} of them open; the rest waits for what becomes of them"
        )
    if is_open and job.held_at is not None:
        whole = ", with the whole home" if job.is_home_held else ""
        waiting.append(f"held since {rfc3339(job.held_at)}{whole}: nothing more is sent")
    if is_open and job.deadline_at is not None and job.live_since is None:
        unpaid = ledger.value(_UNPAID_DEADLINE, (job.id, job.submitted_at))
        waiting += [] if unpaid is None else [unpaid]
    open_calls = waiting_calls(ledger, job.id) if by_state[ItemState.PENDING] else 0
    if open_calls:
        waiting.append(calls_line(open_calls))
    following = following_count(ledger, job.id) if by_state[ItemState.PENDING] else 0
    if following:
        waiting.append(_following_line(following))
    holds = list(
        ledger.rows(
            "select until, reason from holds where until > 0 and (profile = ?1 or (profile = ?2 and until >= ?3))",
            (job.sends_to, job.profile, FOREVER),
        )
    )
    if is_open:
        waiting += [str(row["reason"]) for row in holds]
    short = job.short if is_open else None
    if short is not None:
        waiting.append(short.reason)
    goes_on = by_state[ItemState.PENDING] and not paused and job.held_at is None
    found = backoffs(ledger, job.id) if goes_on else ()
    retries = tuple(map(_retry_line, found))
    waiting += retries
    return JobStatus(
        id=job.id,
        name=job.name,
        profile=job.profile,
        source=job.source,
        outputs=job.outputs,
        counts={state.name.lower(): by_state[state] for state in ItemState},
        is_open=is_open,
        batches=batches,
        waiting=tuple(dict.fromkeys(waiting)),
        paused=paused,
        has_failed_canary=has_failed,
        held_since=job.held_at,
        is_home_held=job.is_home_held,
        is_held=any(row["until"] >= FOREVER for row in holds),
        short=None if short is None else short.reason,
        is_stuck=short is not None and not short.is_bound,
        needs_resume=short is not None and short.needs_resume,
        retries=retries,
        retry_at=min((backoff.until for backoff in found), default=None),
        uncertain=uncertain_count(ledger, job.id) if by_state[ItemState.FAILED] else 0,
        open_calls=open_calls,
        submitted_at=job.submitted_at,
        videos_until=_videos_until(ledger, job),
        deadline_at=job.deadline_at,
        live_since=job.live_since,
    )


def _following_line(count: int) -> str:
    if count == 1:
        return "1 item waits for the answer to an equal request"
    return f"{count:,} items wait for the answers to equal requests"


def calls_line(open_calls: int) -> str:
    """What so many calls in answers wait for."""
    wait = "1 call waits" if open_calls == 1 else f"{open_calls:,} calls wait"
    return f"{wait} for tools: batchrun tick --tools FILE"


def _retry_line(backoff: Backoff) -> str:
    from batchrun.planning.causes import cause_of

    who = "1 item goes" if backoff.items == 1 else f"{backoff.items:,} items go"
    title = cause_of(backoff.cause).title
    return f"{who} again: {backoff.cause} ({title}), from {rfc3339(backoff.until)} on"


def _videos_until(ledger: Ledger, job: JobRow) -> int | None:
    ended_at = ledger.value(
        "select min(ended_at) from batch_rows where job = ? and endpoint = ? and planned_at >= ?",
        (job.id, _VIDEOS, job.submitted_at),
    )
    return None if ended_at is None else int(ended_at) + _VIDEO_LIFE_S


def _batches(ledger: Ledger, job: int) -> tuple[BatchStatus, ...]:
    found = []
    for row in ledger.rows(
        "select id, state, remote_status, remote_id, model, request_count, planned_at, created_at, next_at, reason, remote, needs_person "
        f"from batch_rows where job = ? and {IS_OPEN_BATCH} order by id",
        (job,),
    ):
        tally = _request_counts(row["remote"])
        found.append(
            BatchStatus(
                id=row["id"],
                state=BatchState(row["state"]).name.lower(),
                remote_id=row["remote_id"],
                remote_status=row["remote_status"],
                model=row["model"],
                requests=row["request_count"],
                completed=_count(tally.get("completed")),
                failed=_count(tally.get("failed")),
                planned_at=row["planned_at"],
                created_at=row["created_at"],
                next_at=row["next_at"] or None,
                reason=row["reason"],
                needs_person=bool(row["needs_person"]),
            )
        )
    return tuple(found)


def _request_counts(remote: str | None) -> "JsonObject":
    """The service's own counts, from its object as last seen; foreign, so anything may stand there."""
    if remote is None:
        return {}
    import json

    batch = json.loads(remote)
    found = batch.get("request_counts") if isinstance(batch, dict) else None
    return found if isinstance(found, dict) else {}


def _count(value: "Json") -> int:
    """A count, or 0 where it is none: a display must not fail over it."""
    is_whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return int(value) if is_whole and value > 0 else 0
