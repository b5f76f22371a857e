"""Jobs that wait for money: what of them does not fit into what a limit leaves, and since when."""

from typing import NamedTuple

from batchrun.ledger.connection import Ledger


class Shortage(NamedTuple):
    """`least` and `whole`: the most that the next request and the next batch can cost, in picodollars; 0 where that does not matter."""

    least: int
    whole: int
    reason: str


def note_shortage(ledger: Ledger, job: int, found: Shortage, at: int) -> None:
    """A job waits, for this reason from now on; since when, and whether that was told, stays as it was. Inside the caller's transaction."""
    ledger.execute(
        "insert into short_of_money (job, least, whole, reason, at) values (?, ?, ?, ?, ?) "
        "on conflict do update set least = excluded.least, whole = excluded.whole, reason = excluded.reason",
        (job, *found, at),
    )
    # Its outputs say why it waits.
    ledger.execute("update jobs set stale = 1 where id = ?", (job,))


def end_shortage(ledger: Ledger, job: int) -> None:
    """A job waits no more. Inside the caller's transaction."""
    ledger.execute("delete from short_of_money where job = ?", (job,))


def shortage_of(ledger: Ledger, job: int) -> Shortage | None:
    """What a job waits for, or None."""
    row = ledger.row("select least, whole, reason from short_of_money where job = ?", (job,))
    return None if row is None else Shortage(row["least"], row["whole"], row["reason"])
