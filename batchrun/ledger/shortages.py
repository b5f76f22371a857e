"""Jobs that wait for money: what of them does not fit into what a limit leaves, why, and since when. Light: `status` loads it."""

from collections.abc import Iterable
from typing import NamedTuple

from batchrun.ledger.connection import Ledger


class Shortage(NamedTuple):
    """`least` and `whole`: the most that the next request and the next batch can cost, in picodollars; 0 where that does not matter.

    `is_bound`: something that is out may yet make room by itself; else only time does, or a person. `needs_resume`: a person who lets go.
    `basis`: what the two amounts were found for; they say nothing once that is another.
    """

    least: int
    whole: int
    reason: str
    is_bound: bool = False
    needs_resume: bool = False
    basis: str = ""


def note_shortage(ledger: Ledger, job: int, found: Shortage, at: int) -> None:
    """A job waits, for this reason from now on; since when, and whether that was told, stays as it was. Inside the caller's transaction."""
    ledger.execute(
        "insert into short_of_money (job, least, whole, reason, is_bound, needs_resume, basis, at) values (?, ?, ?, ?, ?, ?, ?, ?) "
        "on conflict do update set least = excluded.least, whole = excluded.whole, reason = excluded.reason, "
        "is_bound = excluded.is_bound, needs_resume = excluded.needs_resume, basis = excluded.basis",
        (job, *found, at),
    )
    # Its outputs say why it waits.
    ledger.execute("update jobs set stale = 1 where id = ?", (job,))


def end_shortage(ledger: Ledger, job: int) -> None:
    """A job waits no more. Inside the caller's transaction."""
    ledger.execute("delete from short_of_money where job = ?", (job,))


def shortage_of(ledger: Ledger, job: int) -> Shortage | None:
    """What a job waits for, or None."""
    row = ledger.row(
        "select least, whole, reason, is_bound, needs_resume, basis from short_of_money where job = ?",
        (job,),
    )
    if row is None:
        return None
    return Shortage(
        least=row["least"],
        whole=row["whole"],
        reason=row["reason"],
        is_bound=bool(row["is_bound"]),
        needs_resume=bool(row["needs_resume"]),
        basis=row["basis"],
    )


def untold_shortages(ledger: Ledger) -> frozenset[int]:
    """Jobs that wait for money which nothing that is out can free, of which no command has told a person."""
    found = ledger.rows("select job from short_of_money where not is_bound and told_at is null")
    return frozenset(row["job"] for row in found)


def mark_shortages_told(ledger: Ledger, jobs: Iterable[int], at: int) -> None:
    """A person was told that these jobs wait for money. Once they do not, and then do again, that is told again."""
    with ledger.transaction():
        ledger.executemany(
            "update short_of_money set told_at = ? where job = ?", ((at, job) for job in jobs)
        )


def has_limited_jobs(ledger: Ledger) -> bool:
    """Whether the line of any job has a limit of its own."""
    found = ledger.value(
        "select 1 from jobs where submission is not null and settings ->> '$.budget' is not null limit 1"
    )
    return found is not None


class Overrun(NamedTuple):
    """An account that sends nothing, since its batch cost so much more (picodollars) than was reserved."""

    account: str
    batch: int
    over: int

    @property
    def words(self) -> str:
        """What happened, and what to do."""
        from batchrun.money.amounts import dollars  # `status` loads this module

        return (
            f"batch {self.batch} cost {dollars(self.over)} more than the most that was reckoned with, so account {self.account!r} sends nothing. "
            "Compare the prices in batchrun.toml with those of the service, then let go with `batchrun resume`"
        )


def overruns(ledger: Ledger) -> list[Overrun]:
    """The last of each account that sends nothing."""
    return [
        Overrun(row["account"], row["batch"], row["over"])
        for row in ledger.rows(
            "select account, max(batch) as batch, cost - reserved as over from bills where is_overrun = 1 group by account order by account"
        )
    ]


def accept_overruns(ledger: Ledger) -> int:
    """A person has looked at the batches that cost more than was reserved; how many they were. Inside the caller's transaction."""
    return ledger.execute("update bills set is_overrun = 0 where is_overrun = 1").rowcount
