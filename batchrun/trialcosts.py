"""What a trial in a home that is thrown away may cost, counted in the home that it stands beside: a limit does not care where a request was made."""

from collections.abc import Collection
from dataclasses import dataclass, replace

from batchrun.clock import Clock
from batchrun.errors import GuardError
from batchrun.ledger.bills import room
from batchrun.ledger.connection import Ledger, open_ledger
from batchrun.ledger.home import Home
from batchrun.ledger.reserves import open_trial, settle_trial
from batchrun.money.amounts import dollars
from batchrun.running.paying import Payment


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialCosts:
    """Books trials in `home`, which is made where there is none: only a job under a limit comes here."""

    home: Home
    clock: Clock

    def reserve(self, ledger: Ledger, payment: Payment, batches: Collection[int]) -> int | None:
        """Count the most that batches of the passing `ledger` can cost, before anything of them is asked; the number of the entry, None where they cost nothing.

        Raises GuardError where a limit does not leave so much.
        """
        amount = _sum_of_bills(ledger, batches)
        if not batches:
            return None
        self.home.create()
        now = self.clock.now()
        with open_ledger(self.home, create=True) as here, here.transaction():
            if (stop := replace(payment, ledger=here, now=now).stop()) is not None:
                raise GuardError(f"{stop.reason}. Nothing of it was asked")
            if not amount:
                return None
            left = room(here, payment.limits, now)
            if left is not None and left[0] < amount:
                raise GuardError(
                    f"{dollars(max(left[0], 0), is_down=True)} is left of {left[1].words}, and these items may cost {dollars(amount)}. "
                    "Try fewer of them (-n 1), cap their answers, or raise the limit."
                )
            return open_trial(here, payer=payment.payer, amount=amount, at=now)

    def settle(self, ledger: Ledger, trial: int | None, batches: Collection[int]) -> None:
        """What became of it; of what is not settled, the most that it can cost."""
        if trial is None:
            return
        with open_ledger(self.home) as here, here.transaction():
            settle_trial(here, trial, _sum_of_bills(ledger, batches), self.clock.now())


def _sum_of_bills(ledger: Ledger, batches: Collection[int]) -> int:
    rows = ledger.rows("select batch, coalesce(cost + presumed, reserved) as amount from bills")
    return sum(row["amount"] for row in rows if row["batch"] in batches)
