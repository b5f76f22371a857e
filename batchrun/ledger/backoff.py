"""Items that were tried and wait for their next attempt: how many, why, and from when on. Light, because `status` reads it."""

from typing import NamedTuple

from batchrun.ledger.connection import Ledger


class Backoff(NamedTuple):
    """`items` of a job go again, because `cause` ended their last attempt; the first of them from `until` (unix seconds) on."""

    cause: str
    items: int
    until: int


def backoffs(ledger: Ledger, job: int) -> tuple[Backoff, ...]:
    """Those of a job, the largest first; costs a look at each item that waits for a retry, and at no other."""
    return tuple(
        Backoff(row["cause"], row["n"], row["until"])
        for row in ledger.rows(
            "select r.cause, count(*) as n, min(q.not_before) as until from queue q cross join result_rows r on r.item = q.item "
            "where q.job = ? and q.not_before > 0 and r.cause is not null group by r.cause order by n desc, r.cause",
            (job,),
        )
    )
