"""What a person holds back: nothing more of it is sent, until the same person lets it go. What is on the service is collected all the same.

Written without the home's lock, and read before each step that sends: it takes effect at once, whoever is at work in the home.
"""

from collections.abc import Collection
from typing import Final, NamedTuple

from batchrun.ledger.canaries import canary_of, settle_canary
from batchrun.ledger.connection import Ledger
from batchrun.ledger.shortages import accept_overruns
from batchrun.ledger.states import BatchState
from batchrun.planning.canary import failure

HOME: Final = 0  # in place of a job's number: the whole home, jobs that come later too
# Since when a job is held, by itself or with its home, as SQL over jobs j; null where it is not.
HELD_AT: Final = f"(select min(h.at) from held h where h.job in ({HOME}, j.id))"
IS_HOME_HELD: Final = f"exists (select 1 from held h where h.job = {HOME})"


class Resumed(NamedTuple):
    """What a resume let go. `held_at`: since when it was held, `paused`: why it sent nothing; None where it was not. `home_held_at`: the whole home still is.

    `overruns`: batches that cost more than was reserved, of which a person knows by now.
    """

    held_at: int | None
    paused: str | None
    home_held_at: int | None
    overruns: int


def hold(ledger: Ledger, job: int | None, at: int) -> int:
    """Hold a job, or (None) the whole home; returns since when it is. One that is held already stays so since then."""
    number = HOME if job is None else job
    with ledger.transaction():
        ledger.execute("insert or ignore into held (job, at) values (?, ?)", (number, at))
        return int(ledger.value("select at from held where job = ?", (number,)))


def resume(ledger: Ledger, job: int | None, at: int) -> Resumed:
    """Let go a job, whatever it waited for a person for, or (None) the home, whose jobs stay held and paused where they were so by themselves.

    A canary that failed counts as passed from now on; one that is out is still waited for.
    """
    number, paused = HOME if job is None else job, None
    with ledger.transaction():
        since = held_at(ledger, number)
        ledger.execute("delete from held where job = ?", (number,))
        overruns = accept_overruns(ledger)
        if job is not None:
            paused = ledger.value("select paused from jobs where id = ?", (job,))
            # Outputs that are written say why it was paused.
            ledger.execute(
                "update jobs set stale = max(stale, paused is not null), paused = null, pause_told_at = null, releases = 0 where id = ?",
                (job,),
            )
            canary = canary_of(ledger, job)
            if canary is not None and (why := failure(canary)) is not None:
                paused = paused or why
                settle_canary(ledger, job, at)
        return Resumed(
            held_at=since, paused=paused, home_held_at=held_at(ledger, HOME), overruns=overruns
        )


def held_at(ledger: Ledger, number: int) -> int | None:
    """Since when this very job, or HOME, is held; None where it is not."""
    at = ledger.value("select at from held where job = ?", (number,))
    return None if at is None else int(at)


def is_held(ledger: Ledger, job: int) -> bool:
    """Whether nothing more of a job is to be sent, because a person said so."""
    return bool(ledger.value("select 1 from held where job in (?, ?)", (HOME, job)))


def resting_batches(
    ledger: Ledger,
    profile: str,
    *,
    only: Collection[int] | None = None,
    stopped: Collection[int] = (),
) -> frozenset[str]:
    """Batches of a profile, by their ids there, of which nothing is to be executed: those of held jobs, and of these that are `stopped`.

    `only`: and all but these, by their numbers here.
    """
    rows = ledger.rows(
        "select b.id, b.job, b.remote_id, exists (select 1 from held h where h.job in (?, b.job)) as is_held from batch_rows b "
        "where b.profile = ? and b.state = ?",
        (HOME, profile, BatchState.CREATED),
    )
    return frozenset(
        row["remote_id"]
        for row in rows
        if row["is_held"] or row["job"] in stopped or (only is not None and row["id"] not in only)
    )


def untold_holds(ledger: Ledger) -> frozenset[int]:
    """What is held, and no pass has told: numbers of jobs, and HOME."""
    return frozenset(
        row["job"] for row in ledger.rows("select job from held where told_at is null")
    )


def mark_holds_told(ledger: Ledger, numbers: Collection[int], at: int) -> None:
    """A person was told that these are held."""
    with ledger.transaction():
        ledger.executemany(
            "update held set told_at = ? where job = ?",
            ((at, number) for number in sorted(numbers)),
        )


def hand_on(ledger: Ledger, *, name: str, profile: str, job: int) -> None:
    """A job that takes the name of a held one is held as that was; inside the caller's transaction."""
    ledger.execute(
        "insert or ignore into held (job, at, told_at) select ?, h.at, h.told_at from held h join jobs j on j.id = h.job "
        "where j.name = ? and j.profile = ?",
        (job, name, profile),
    )
