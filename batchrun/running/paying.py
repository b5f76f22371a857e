"""Paying for batches: what one may cost, whether that fits into what the limits of its job leave, and what is said where it does not.

A job under no limit has no `Payment`: nothing of it is counted or reserved. Money is reserved with the batch, in one transaction
(`form.py`), looked at once more with the intent (`send.py`), and settled with the batch (`ledger/billing.py`).
"""

from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple
from zlib import crc32

import msgspec

from batchrun.config import Config
from batchrun.errors import LedgerError, Unbounded, UnknownPrice
from batchrun.ledger.attachments import pixels_named
from batchrun.ledger.bills import Bill, standing, will_free
from batchrun.ledger.connection import Ledger
from batchrun.ledger.reserves import aside_of
from batchrun.ledger.shortages import (
    Shortage,
    overruns,
)
from batchrun.ledger.states import ItemState
from batchrun.money.amounts import dollars
from batchrun.money.frozen import frozen
from batchrun.money.limits import Limit, Payer
from batchrun.money.measure import Measured, measure
from batchrun.money.price import Mode
from batchrun.money.prices import PriceBook
from batchrun.money.remedies import how_to_raise, remedy
from batchrun.planning.means import Means
from batchrun.profiles import Profile

_AMPLE: Final = 4  # of a limit one part in so many is worth a batch of its own


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
    source: str
    now: int

    def quote(self, path: Path, *, endpoint: str, model: str) -> Quote | None:
        """What the requests of a file may cost. None where that is not known, and no hard limit is to hold.

        Raises UnknownPrice, Unbounded, and LedgerError where the file is not there, or not what was written.
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
        except (OSError, msgspec.MsgspecError) as exc:
            if room is None:
                return None  # whoever sends it will say so
            raise LedgerError(
                f"{path}: cannot be read as it was written: {exc}. It holds requests that are still to be sent: "
                "restore it from a backup, or submit the job again with --fresh."
            ) from exc
        except (UnknownPrice, Unbounded):
            if room is None:
                return None
            raise
        bill = Bill(
            payer=self.payer,
            price=frozen(price if whole.is_seen else price.of_any_input),
            reserved=whole.reserved,
            largest=whole.largest,
            fees=whole.fees,
        )
        return Quote(bill, whole.requests, whole.fitting, first.reserved)

    def bill_of_pruned(self, model: str) -> Bill | None:
        """For a batch that has ended and whose requests are not here any more: what it costs is what its answers took.

        None where its price is not known, and no hard limit is to hold. Raises UnknownPrice.
        """
        try:
            price = self._book.price(model, self.mode, base_url=self.profile.base_url, at=self.now)
        except UnknownPrice:
            if self.room is None:
                return None
            raise
        return Bill(payer=self.payer, price=frozen(price), reserved=0, largest=0)

    @property
    def _book(self) -> PriceBook:
        return PriceBook(own=self.config.prices, path=str(self.config.path or "batchrun.toml"))

    @property
    def room(self) -> int | None:
        """Picodollars that are left to the job, with what was set aside for it; None: no hard limit holds."""
        found = self._tightest()
        return None if found is None else found.left + aside_of(self.ledger, self.job, self.payer)

    def affords(self, quote: Quote) -> bool:
        """Whether a batch still fits: what was measured is some time ago. Inside the transaction that reserves for it."""
        room = self.room
        return room is None or quote.bill.reserved <= room

    @property
    def is_patient(self) -> bool:
        """Whether what does not fit whole waits for more room: something that is out may make it, and little of the tightest limit is free."""
        found = self._tightest()
        return found is not None and found.is_bound and not found.is_ample

    def means(self, *, least: int, whole: int) -> Means | None:
        """The same for planning; None where nothing binds."""
        found = self._tightest()
        if found is None:
            return None
        return Means(
            room=found.left + aside_of(self.ledger, self.job, self.payer),
            is_stopped=self.stop() is not None,
            is_bound=found.is_bound,
            is_ample=found.is_ample,
            least=least,
            whole=whole,
        )

    def stop(self) -> Shortage | None:
        """Why nothing of the job may be sent at all, or None."""
        for limit in self.limits:
            if limit.is_hard and not limit.amount:
                how = how_to_raise(limit, self._settings_path, self.source)
                return Shortage(0, 0, f"a limit of {limit.words} lets nothing be sent. {how}")
        for overrun in overruns(self.ledger):
            if overrun.account == self.payer.account:
                return Shortage(0, 0, overrun.words, needs_resume=True)
        found = self._tightest()
        if found is not None and found.left < 0:
            what = f"more is spent and reserved than {found.limit.words} allow"
            return Shortage(0, 0, f"{what}. {self._remedy(found)}", is_bound=found.is_bound)
        return None

    def lacking(self, *, least: int, whole: int) -> Shortage:
        """Why a batch waits that may cost `whole`, and its first request `least`."""
        found = self._tightest()
        assert found is not None, "nothing binds"
        left = max(found.left + aside_of(self.ledger, self.job, self.payer), 0)
        first = "" if least == whole else f", its first request {dollars(least)}"
        why = (
            f"{dollars(left, is_down=True)} is left of {found.limit.words}, and the next batch may cost up to {dollars(whole)}{first}. "
            f"{self._remedy(found, needs=least)}"
        )
        return Shortage(least, whole, why, is_bound=found.is_bound, basis=self.basis)

    @property
    def basis(self) -> str:
        """What the amounts of a shortage are found for: what waits, and what it is priced by. Not the limits, which they are held against."""
        row = self.ledger.row(
            "select j.submission, (select sum(n) from item_counts c where c.job = j.id and c.state = ?) as n from jobs j where j.id = ?",
            (ItemState.PENDING, self.job),
        )
        assert row is not None
        prices = crc32(f"{self.profile.name} {self.config.prices} {self.config.fees}".encode())
        return f"{row['submission']} {row['n']} {prices:08x}"

    def _remedy(self, found: "_Tightest", *, needs: int = 0) -> str:
        return remedy(
            found.limit,
            self.now,
            settings=self._settings_path,
            source=self.source,
            is_bound=found.is_bound,
            needs=needs,
        )

    @property
    def _settings_path(self) -> str:
        return str(self.config.path or "batchrun.toml")

    def _tightest(self) -> "_Tightest | None":
        """None: no hard limit."""
        own = aside_of(self.ledger, self.job, self.payer)
        found = None
        for limit in self.limits:
            if not limit.is_hard:
                continue
            stands = standing(self.ledger, limit, self.now)
            left = limit.amount - stands.taken
            if found is None or left < found.left:
                is_bound = stands.aside > own or will_free(self.ledger, limit)
                is_ample = (left + own) * _AMPLE >= limit.amount
                found = _Tightest(left, limit, is_bound, is_ample)
        return found


class _Tightest(NamedTuple):
    """The limit that leaves least. `is_bound`: something of what is taken of it may become free by itself. `is_ample`: a good part of it is free."""

    left: int
    limit: Limit
    is_bound: bool
    is_ample: bool
