"""The purse of a home: which limits hold for a job, by the settings, and what is recorded of jobs that wait for money."""

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final
from zlib import crc32

import msgspec

from batchrun.config import Config
from batchrun.ledger.connection import Ledger
from batchrun.ledger.deadlines import take_back_unsent
from batchrun.ledger.jobs import DIVERTED_TO
from batchrun.ledger.shortages import (
    Shortage,
    end_shortage,
    note_shortage,
    shortage_of,
)
from batchrun.ledger.standings import limits_of_jobs, note_shares
from batchrun.model import Allowance, JsonObject
from batchrun.modes import mode_of
from batchrun.planning.facts import JobFacts
from batchrun.planning.means import Means
from batchrun.running.paying import Payment

_LIMITS: Final = "limits"  # of meta: the limits of the settings, as a pass last found them


class _Terms(msgspec.Struct):
    """What of a job's settings is about money; of a job that was forgotten, nothing."""

    tags: tuple[str, ...] = ()
    budget: Allowance | None = None
    body: JsonObject = {}


_decode_terms: Final = msgspec.json.Decoder(_Terms).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Purse:
    """Finds out what holds for a job, from the settings of the home."""

    config: Config

    def payment(self, ledger: Ledger, job: sqlite3.Row, profile: str, now: int) -> Payment | None:
        """For batches of a job, a row of `jobs`, that go to a profile; None where they cost nothing or no limit is for them."""
        settings = _decode_terms(job["settings"])
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
            source=job["source"],
            now=now,
        )

    def means(self, ledger: Ledger, job: sqlite3.Row, now: int) -> Means | None:
        """The same for planning. `job`: its id, name, settings, profile and `diverted_to`."""
        found = self.payment(ledger, job, job["diverted_to"] or job["profile"], now)
        if found is None:
            return None
        short = shortage_of(ledger, job["id"])
        if short is None or short.basis != found.basis:
            short = Shortage(0, 0, "")
        return found.means(least=short.least, whole=short.whole)

    def note_shares(self, ledger: Ledger, now: int) -> None:
        """Record of which limits so much is spent that a person is told."""
        limits = (*self.config.budgets.limits, *limits_of_jobs(ledger, is_untold=True))
        note_shares(ledger, limits, self.config.budgets.notices, now)
        if self.has_other_limits(ledger):
            with ledger.transaction():
                ledger.execute("insert or replace into meta values (?, ?)", (_LIMITS, self._limits))

    def has_other_limits(self, ledger: Ledger) -> bool:
        """Whether the settings have other limits than when `note_shares` last looked: of these something may be to be told, or counted, that no batch brings."""
        return (ledger.meta(_LIMITS) or "") != self._limits

    @property
    def _limits(self) -> str:
        budgets = self.config.budgets
        if not budgets.limits:
            return ""
        return f"{crc32(f'{budgets.limits} {budgets.notices}'.encode()):08x}"

    def note_stops(self, ledger: Ledger, jobs: Iterable[JobFacts], now: int) -> None:
        """Record why jobs wait for money, as it is now, and that others do not any more; what was prepared of those that may send nothing, and not sent, is taken back.

        So it takes no room from others, and is cut to what fits once there is some.
        """
        for job, after in self._news(ledger, jobs, now):
            with ledger.transaction():
                if after is None:
                    end_shortage(ledger, job.id)
                    continue
                note_shortage(ledger, job.id, after, now)
                if job.is_stopped:
                    take_back_unsent(ledger, job.id)

    def has_news(self, ledger: Ledger, jobs: Iterable[JobFacts], now: int) -> bool:
        """Whether `note_stops` would record anything."""
        return any(True for _ in self._news(ledger, jobs, now))

    def _news(
        self, ledger: Ledger, jobs: Iterable[JobFacts], now: int
    ) -> Iterator[tuple[JobFacts, Shortage | None]]:
        """Jobs that wait for another reason than is recorded, or not any more (None)."""
        for job in jobs:
            before = shortage_of(ledger, job.id)
            if before is None and not job.is_stopped:
                continue
            after = self._shortage(ledger, job, before or Shortage(0, 0, ""), now)
            if after != before:
                yield job, after

    def _shortage(
        self, ledger: Ledger, job: JobFacts, before: Shortage, now: int
    ) -> Shortage | None:
        row = ledger.row(
            f"select j.*, {DIVERTED_TO} as diverted_to from jobs j where j.id = ?", (job.id,)
        )
        assert row is not None
        found = self.payment(ledger, row, row["diverted_to"] or row["profile"], now)
        if found is None or not job.is_short:
            return None
        return found.stop() or found.lacking(least=before.least, whole=before.whole)
