"""What the answers of a job took so far, in tokens and time: the best that can be known of those that are still to come."""

from typing import Final, NamedTuple

from batchrun.ledger.connection import Ledger

_NEWEST: Final = 10_000  # answers that are looked at
_LOW: Final = 0.1  # the share of answers that are no longer than the low estimate


class Answered(NamedTuple):
    """Of the newest answers of a job: how many, output tokens of one (low: a tenth have no more), and of its slowest batch the seconds."""

    answers: int
    low: int
    mean: float
    slowest_s: int | None


def answered(ledger: Ledger, job: int) -> Answered | None:
    """None before a job has any answer whose tokens are known."""
    tokens = sorted(
        row["output_tokens"]
        for row in ledger.rows(
            "select r.output_tokens from item_rows i join result_rows r on r.item = i.id "
            "where i.job = ? and r.output_tokens is not null order by i.id desc limit ?",
            (job, _NEWEST),
        )
    )
    if not tokens:
        return None
    slowest = ledger.value(
        "select max(ended_at - created_at) from batch_rows where job = ? and collected_at is not null",
        (job,),
    )
    return Answered(
        answers=len(tokens),
        low=tokens[int(_LOW * (len(tokens) - 1))],
        mean=sum(tokens) / len(tokens),
        slowest_s=None if slowest is None else int(slowest),
    )
