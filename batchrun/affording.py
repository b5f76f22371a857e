"""What a submission may cost at most, against what its limits leave: told before anything is stored, and a job that nothing bounds is refused."""

import contextlib
from dataclasses import dataclass
from functools import partial
from operator import itemgetter

from batchrun.config import Config
from batchrun.errors import Unbounded, UnknownPrice
from batchrun.ledger.attachments import pixels_named
from batchrun.ledger.bills import standing
from batchrun.ledger.connection import Ledger
from batchrun.ledger.submissions import Submission
from batchrun.ledger.wanted import wanted_requests
from batchrun.modes import mode_of
from batchrun.money.amounts import dollars
from batchrun.money.counting import CHUNK
from batchrun.money.limits import Limit
from batchrun.money.measure import Meter
from batchrun.money.price import Mode, Price
from batchrun.money.prices import PriceBook
from batchrun.money.worst import Bound
from batchrun.profiles import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Affordable:
    """The worst case of what a submission adds, in picodollars, and what the tightest hard `limit` leaves; None: nobody knows in a home that knows nothing.

    `prices`: the tables that it is reckoned by, each with its day. `why_not`: why the worst case is not known, which is None then.
    """

    limit: Limit
    left: int | None
    worst: int | None
    prices: tuple[str, ...] = ()
    why_not: str = ""

    @property
    def words(self) -> str:
        """`may cost up to $12.40 (genai-prices 0.2.3, 2026-11-09); $10.00 a month leaves $7.10: what fits goes first`."""
        if self.worst is None:
            return f"is refused under {self.limit.words}: {self.why_not}"
        what = f"may cost up to {dollars(self.worst)} ({'; '.join(self.prices)})"
        if not self.limit.amount:
            return f"{what}; {self.limit.words} lets nothing be sent"
        if self.left is not None and self.left <= 0:
            return f"{what}; nothing is left of {self.limit.words}: it waits"
        fits = self.worst <= (self.limit.amount if self.left is None else self.left)
        parts = (
            "" if fits else ": what fits goes first, and more of it as batches are settled for less"
        )
        if self.left is None:
            return f"{what}, under {self.limit.words}{parts}"
        return f"{what}; {self.limit.words} leaves {dollars(self.left, is_down=True)}{parts}"


def _of_job(exc: UnknownPrice | Unbounded, job: str, limit: Limit) -> UnknownPrice | Unbounded:
    """The same, with the job that it is of and the limit that is to hold."""
    message = f"{job}: {limit.words} cannot be kept to, so nothing was sent: {exc.message}"
    if isinstance(exc, UnknownPrice):
        return UnknownPrice(message, model=exc.model, mode=exc.mode)
    return Unbounded(message, model=exc.model, reason=exc.reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessor:
    """Assesses submissions to one profile. `knows_spending`: the ledger is the one in which what was spent is.

    `is_strict`: what nothing bounds is refused, and not only told.
    """

    ledger: Ledger
    config: Config
    now: int
    knows_spending: bool = True
    is_strict: bool = True

    def assess(self, submission: Submission, profile: str) -> Affordable | None:
        """None where no hard limit is for the job, where it costs nothing, or adds nothing. Raises UnknownPrice, Unbounded."""
        settings = submission.settings
        found = self.config.profile(profile)
        payer = self.config.payer(profile=profile, job=settings.name, tags=settings.tags)
        mode = mode_of(found, settings.body)
        if payer is None or mode is None:
            return None
        limits = self.config.budgets.limits_of(payer, settings.budget)
        hard = [limit for limit in limits if limit.is_hard]
        if not hard:
            return None
        book = PriceBook(own=self.config.prices, path=str(self.config.path or "batchrun.toml"))

        prices: dict[str, None] = {}

        def bound_of(model: str) -> Bound:
            price = self._price(book, model, mode, found, goes_live=settings.deadline is not None)
            prices[price.source] = None
            return Bound(
                url=settings.endpoint,
                price=price,
                ceiling=book.ceiling(model, base_url=found.base_url),
                fees=self.config.fees,
            )

        meter = Meter(settings.endpoint, bound_of, partial(pixels_named, self.ledger))
        left = [(limit.amount - self._taken(limit), limit) for limit in hard]
        least, tightest = min(left, key=itemgetter(0))
        try:
            for lines in wanted_requests(self.ledger, submission, chunk=CHUNK):
                meter.take(lines)
        except (UnknownPrice, Unbounded) as exc:
            if self.is_strict:
                raise _of_job(exc, settings.name, tightest) from exc
            return Affordable(limit=tightest, left=None, worst=None, why_not=exc.message)
        if not meter.requests:
            return None
        known = least if self.knows_spending else None
        return Affordable(limit=tightest, left=known, worst=meter.reserved, prices=tuple(prices))

    def _price(
        self, book: PriceBook, model: str, mode: Mode, profile: Profile, *, goes_live: bool
    ) -> Price:
        """What its requests cost; `goes_live`: at most, since a deadline may take all of them out of their batches."""
        if goes_live and mode is Mode.BATCH:
            live = self.config.profile(self.config.live_twin(profile.name))
            with contextlib.suppress(UnknownPrice):  # then nothing goes live under a limit
                return book.price(model, Mode.LIVE, base_url=live.base_url, at=self.now)
        return book.price(model, mode, base_url=profile.base_url, at=self.now)

    def _taken(self, limit: Limit) -> int:
        return standing(self.ledger, limit, self.now).taken if self.knows_spending else 0
