"""Job rows: finding, owning and archiving them, and whether it was told that they ended or are paused."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

from batchrun.clock import rfc3339
from batchrun.errors import Problem
from batchrun.ledger.canaries import canary_of
from batchrun.ledger.connection import Ledger
from batchrun.ledger.held import HELD_AT, IS_HOME_HELD
from batchrun.ledger.shortages import Shortage, shortage_of
from batchrun.ledger.states import IS_OPEN_ITEM
from batchrun.planning.canary import Canary, failure

if TYPE_CHECKING:  # `status` loads this module, and no pydantic-sized ones
    from batchrun.model import JobSettings

# In SQL over jobs j: the profile that new batches go to, where that is not the job's own: all of them, or those of a canary that is out.
DIVERTED_TO: Final = "coalesce(j.sends_to, (select c.sends_to from canaries c where c.job = j.id and c.settled_at is null))"
SENDS_TO: Final = f"coalesce({DIVERTED_TO}, j.profile)"
_IS_ENDED: Final = (
    "submission is not null and stale = 0 and not exists "
    f"(select 1 from item_counts c where c.job = jobs.id and c.{IS_OPEN_ITEM} and c.n > 0)"
)


class JobRow(NamedTuple):  # not a dataclass: `status` loads it, see looking.py
    """One job as the ledger knows it. `paused`: why nothing more is sent, or None. `held_at`: since when a person holds it or its home.

    `sends_to`: the profile that its new batches go to. `canary`: what became of the items that go first, while the rest waits for that.
    `short`: why something of it waits for money.
    """

    id: int
    name: str
    profile: str
    source: str
    outputs: str
    paused: str | None
    held_at: int | None
    is_home_held: bool
    is_stale: bool
    submitted_at: int
    deadline_at: int | None
    live_since: int | None
    sends_to: str
    canary: Canary | None
    short: Shortage | None

    @property
    def why_paused(self) -> str | None:
        """Why nothing more is sent before a person acts: batchrun's own reason, or how the canary failed."""
        return self.paused or (None if self.canary is None else failure(self.canary))

    @property
    def label(self) -> str:
        """The name that finds exactly this job on the command line."""
        return f"{self.name}@{self.profile}"


def find_jobs(ledger: Ledger) -> list[JobRow]:
    """Every job with a ready submission, in the order of their first submission."""
    return [
        JobRow(
            id=row["id"],
            name=row["name"],
            profile=row["profile"],
            source=row["source"],
            outputs=row["outputs"],
            paused=row["paused"],
            held_at=row["held_at"],
            is_home_held=bool(row["is_home_held"]),
            is_stale=bool(row["stale"]),
            submitted_at=row["at"],
            deadline_at=row["deadline_at"],
            live_since=row["live_since"],
            sends_to=row["sends_there"],
            canary=canary_of(ledger, row["id"]),
            short=shortage_of(ledger, row["id"]),
        )
        for row in ledger.rows(
            f"select j.*, s.at, {SENDS_TO} as sends_there, {HELD_AT} as held_at, {IS_HOME_HELD} as is_home_held from jobs j "
            "join submissions s on s.id = j.submission order by j.id"
        )
    ]


def owner_problem(ledger: Ledger, settings: "JobSettings", profile: str) -> Problem | None:
    """Why this file may not submit a job of this name, or None: a job belongs to the file that first submitted it."""
    source = ledger.value(
        "select source from jobs where name = ? and profile = ?", (settings.name, profile)
    )
    if source is None or source == settings.path:
        return None
    if is_adopted(source) and settings.is_raw:
        return None  # a ready Batch file of that name
    from batchrun.jobfile.problems import (
        shown,
    )  # with all of job files, which `status` has no use for

    return Problem(
        path=shown(settings.path),
        line=settings.line,
        what=f"job {settings.name!r} belongs to {source}",
        fix="Give this job another name, or move it here with --replace.",
    )


def adopted_source(name: str) -> str:
    """The `source` of a job that was made of batches of other programs: no file has it, and a ready Batch file of this name may take it over."""
    return f"{name}.jsonl"


def is_adopted(source: str) -> bool:
    """Whether no job file has this job: real ones have absolute paths."""
    return not source.startswith("/")


def archive_job(ledger: Ledger, name: str, profile: str, at: int) -> None:
    """Let the name go to a new job; the old one keeps its items, answers and running batches under `<name>~<time>`.

    Inside the caller's transaction; nothing happens where no job has the name.
    """
    suffix = "~" + rfc3339(at).replace(":", "")
    taken = ledger.value(
        "select count(*) from jobs where profile = ? and name glob ?",
        (profile, f"{name}{suffix}*"),
    )
    if taken:
        suffix += f"-{taken + 1}"
    ledger.execute(
        "update jobs set name = name || ?, outputs = outputs || ?, stale = 1 where name = ? and profile = ?",
        (suffix, suffix, name, profile),
    )


def sends_to(ledger: Ledger, job: int) -> str:
    """The profile that new batches of a job go to: its own, or the live twin of that."""
    return str(ledger.value(f"select {SENDS_TO} from jobs j where j.id = ?", (job,)))


def pause(ledger: Ledger, job: int, reason: str) -> None:
    """Send nothing more of a job until a person lets it go."""
    with ledger.transaction():
        ledger.execute(
            "update jobs set paused = ?, stale = 1 where id = ? and paused is null", (reason, job)
        )


def untold_ends(ledger: Ledger) -> frozenset[int]:
    """Jobs that ended, with their outputs written, of which no command has told a person yet: whatever command's pass found it."""
    found = ledger.rows(f"select id from jobs where reported_at is null and {_IS_ENDED}")
    return frozenset(row["id"] for row in found)


def mark_told(ledger: Ledger, jobs: Iterable[int], at: int) -> None:
    """A person was told that these jobs ended; one that was queued again meanwhile will end anew."""
    with ledger.transaction():
        ledger.executemany(
            f"update jobs set reported_at = ? where id = ? and {_IS_ENDED}",
            ((at, job) for job in jobs),
        )


def untold_pauses(ledger: Ledger) -> frozenset[int]:
    """Jobs of which no command has told a person that they are paused, whether they are or not: whatever command's pass found it."""
    found = ledger.rows(
        "select id from jobs where submission is not null and pause_told_at is null"
    )
    return frozenset(row["id"] for row in found)


def mark_pauses_told(ledger: Ledger, jobs: Iterable[int], at: int) -> None:
    """A person was told that these jobs are paused. What lets them go lets the next pause be told, too."""
    with ledger.transaction():
        ledger.executemany(
            "update jobs set pause_told_at = ? where id = ?", ((at, job) for job in jobs)
        )
