"""What equal requests save: those that are not asked, counted and priced as if each were."""

from dataclasses import dataclass

from batchrun.estimating.costs import Cost
from batchrun.ledger.connection import Ledger
from batchrun.ledger.submissions import Submission
from batchrun.ledger.wanted import unasked_requests
from batchrun.money.counting import CHUNK, RequestCounter
from batchrun.money.price import Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """So many requests are not asked, and what they would cost."""

    requests: int = 0
    costs: dict[Mode, Cost]


def count_unasked(
    ledger: Ledger, submission: Submission, *, by_earlier_job: bool
) -> RequestCounter | None:
    """The requests that get the answer of another item of the job, or of an earlier job; None where there are none."""
    tally = submission.intake.tally
    if not (tally.reused if by_earlier_job else tally.shared):
        return None
    counter = RequestCounter(submission.settings.endpoint)
    for lines in unasked_requests(ledger, submission, by_earlier_job=by_earlier_job, chunk=CHUNK):
        counter.take(lines)
    return counter
