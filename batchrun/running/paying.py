"""Paying for batches: what one may cost, whether that fits into what the limits of its job leave, and what is said where it does not.

A job under no limit has no `Payment`: nothing of it is counted or reserved. Money is reserved with the batch, in one transaction
(`form.py`), looked at once more with the intent (`send.py`), and settled with the batch (`ledger/billing.py`).
"""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from batchrun.config import Config
from batchrun.errors import Unbounded, UnknownPrice
from batchrun.ledger.attachments import pixels_named
from batchrun.ledger.batches import update_batch
from batchrun.ledger.bills import Bill, standing
from batchrun.ledger.connection import Ledger
from batchrun.ledger.deadlines import take_back_unsent
from batchrun.ledger.jobs import DIVERTED_TO
from batchrun.ledger.reserves import aside_of
from batchrun.ledger.shortages import Shortage, end_shortage, note_shortage, shortage_of
from batchrun.ledger.submissions import settings_from_json
from batchrun.modes import mode_of
from batchrun.money.amounts import dollars
from batchrun.money.frozen import frozen
from batchrun.money.limits import Limit, Payer
from batchrun.money.measure import Measured, measure
from batchrun.money.prices import Mode, PriceBook
from batchrun.planning.facts import JobFacts
from batchrun.planning.means import Means
from batchrun.profiles import Profile

if TYPE_CHECKING:
    from batchrun.running.context import PassContext


class Quote(NamedTuple):
    """What a request file may cost. `fitting`: how many of its requests, from the first on, fit into what is left; `least`: the most that the first can cost."""

    bill: Bill
    requests: int
    fitting: int
    least: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """What holds for the batches of one job that go to one profile, at one moment."""

    ledger: Ledger
    config: Config
    job: int
    profile: Profile
    mode: Mode
    payer: Payer
    limits: tuple[Limit, ...]
    now: int

    def quote(self, path: Path, *, endpoint: str, model: str) -> Quote | None:
        """What the requests of a file may cost. None where that is not known, and no hard limit is to hold.

        Raises UnknownPrice, Unbounded, OSError.
        """
        base_url = self.profile.base_url
        book = self._book
        room = self.room
        try:
            price = book.price(model, self.mode, base_url=base_url, at=self.now)
            ceiling = book.ceiling(model, base_url=base_url)

            def measured(count: int | None) -> Measured:
                with path.open("rb", buffering=1 << 20) as file:
                    return measure(
                        islice(file, count),
                        endpoint,
                        price,
                        ceiling,
                        self.config.fees,
                        room=room,
                        look=partial(pixels_named, self.ledger),
                    )

            whole, first = measured(None), measured(1)
        except (UnknownPrice, Unbounded):
            if room is None:
                return None
            raise
        bill = Bill(
            payer=self.payer,
            price=frozen(price),
            reserved=whole.reserved,
            largest=whole.largest,
            tokens=whole.tokens,
            fees=whole.fees,
        )
        return Quote(bill, whole.requests, whole.fitting, first.reserved)

    def bill_of_pruned(self, model: str) -> Bill | None:
        """For a batch that has ended and whose requests are not here any more: what it costs is what its answers took."""
        try:
            price = self._book.price(model, self.mode, base_url=self.profile.base_url, at=self.now)
        except UnknownPrice:
            return None
        return Bill(payer=self.payer, price=frozen(price), reserved=0, largest=0, tokens=0)

    @property
    def _book(self) -> PriceBook:
        return PriceBook(own=self.config.prices, path=str(self.config.path or "batchrun.toml"))

    @property
    def room(self) -> int | None:
        """Picodollars that are left to the job, with what was set aside for it; None: no hard limit holds."""
        found = self._tightest()
        return None if found is None else found[0] + aside_of(self.ledger, self.job)

    @property
    def is_bound(self) -> bool:
        """Whether something that is out may yet make more room in the tightest limit."""
        found = self._tightest()
        return found is not None and found[2]

    def means(self, *, least: int, whole: int) -> Means | None:
        """The same for planning; None where nothing binds."""
        found = self._tightest()
        if found is None:
            return None
        return Means(
            room=found[0] + aside_of(self.ledger, self.job),
            is_stopped=self.why_stopped() is not None,
            is_bound=found[2],
            least=least,
            whole=whole,
        )

    def why_stopped(self) -> str | None:
        """Why nothing of the job may be sent at all, or None."""
        for limit in self.limits:
            if limit.is_hard and not limit.amount:
                return f"a limit of {limit.words} lets nothing be sent"
        over = self.ledger.row(
            "select batch, cost - reserved as over from bills where is_overrun = 1 and account = ? limit 1",
            (self.payer.account,),
        )
        if over is not None:
            return (
                f"batch {over['batch']} cost {dollars(over['over'])} more than the most that was reckoned with. "
                "Look at its incident, and let go with `batchrun resume`"
            )
        found = self._tightest()
        if found is not None and found[0] < 0:
            return f"more is spent and reserved than {found[1].words} allow"
        return None

    def lacks(self, quote: Quote) -> str:
        """Why a batch waits, in words."""
        found = self._tightest()
        assert found is not None, "nothing binds"
        left = max(found[0] + aside_of(self.ledger, self.job), 0)
        return (
            f"{dollars(left)} is left of {found[1].words}, and the next batch may cost {dollars(quote.bill.reserved)} "
            f"({quote.requests:,} requests, {dollars(quote.least)} for the first)"
        )

    def _tightest(self) -> tuple[int, Limit, bool] | None:
        """(what is left, of which limit, whether something of it may become free); None: no hard limit."""
        own = aside_of(self.ledger, self.job)
        found = None
        for limit in self.limits:
            if not limit.is_hard:
                continue
            stands = standing(self.ledger, limit, self.now)
            left = limit.amount - stands.taken
            if found is None or left < found[0]:
                found = (left, limit, stands.reserved + stands.aside > own)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Purse:
    """Finds out what holds for a job, from the settings of the home."""

    config: Config

    def payment(self, ledger: Ledger, job: sqlite3.Row, profile: str, now: int) -> Payment | None:
        """For batches of a job, a row of `jobs`, that go to a profile; None where they cost nothing or no limit is for them."""
        settings = settings_from_json(job["settings"])
        found = self.config.find(profile)
        payer = self.config.payer(profile=profile, job=job["name"], tags=settings.tags)
        if found is None or payer is None or (mode := mode_of(found, settings.body)) is None:
            return None
        limits = self.config.budgets.limits_of(payer, settings.budget)
        if not limits:
            return None
        return Payment(
            ledger=ledger,
            config=self.config,
            job=job["id"],
            profile=found,
            mode=mode,
            payer=payer,
            limits=limits,
            now=now,
        )

    def means(self, ledger: Ledger, job: sqlite3.Row, now: int) -> Means | None:
        """The same for planning. `job`: its id, name, settings, profile and `diverted_to`."""
        found = self.payment(ledger, job, job["diverted_to"] or job["profile"], now)
        if found is None:
            return None
        short = shortage_of(ledger, job["id"]) or Shortage(0, 0, "")
        return found.means(least=short.least, whole=short.whole)

    def note_stops(self, ledger: Ledger, jobs: Iterable[JobFacts], now: int) -> None:
        """Record why jobs may send nothing, and that others may again; what was prepared of the former and not sent is taken back.

        So it takes no room from others, and is cut to what fits once there is some.
        """
        for job in jobs:
            short = shortage_of(ledger, job.id)
            if job.is_stopped:
                row = ledger.row(
                    f"select j.*, {DIVERTED_TO} as diverted_to from jobs j where j.id = ?",
                    (job.id,),
                )
                assert row is not None
                found = self.payment(ledger, row, row["diverted_to"] or row["profile"], now)
                why = None if found is None else found.why_stopped()
                if why is not None and short != (known := Shortage(0, 0, why)):
                    with ledger.transaction():
                        note_shortage(ledger, job.id, known, now)
                        take_back_unsent(ledger, job.id)
            elif short is not None and (job.means is None or not short.whole):
                with ledger.transaction():
                    end_shortage(ledger, job.id)


def is_unpaid(ctx: "PassContext", batch: sqlite3.Row) -> bool:
    """Whether a limit forbids to create a batch after all: one may have come, or been lowered, since it was made. Inside the transaction of its intent."""
    payment = ctx.payment(batch["job"], batch["profile"])
    if payment is None or payment.room is None:
        return False
    has_bill = ctx.ledger.value("select 1 from bills where batch = ?", (batch["id"],))
    why = payment.why_stopped() or (None if has_bill else "nothing is reserved for it")
    if why is None:
        return False
    update_batch(ctx.ledger, batch["id"], reason=why)
    note_shortage(ctx.ledger, batch["job"], Shortage(0, 0, why), ctx.clock.now())
    take_back_unsent(ctx.ledger, batch["job"])
    return True
