"""What a recovery found and did: plain values, for the command line and for programs."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self

from batchrun.backends.base import RemoteBatch
from batchrun.errors import BatchrunError
from batchrun.model import JOB_KEY, LEDGER_KEY, JsonObject
from batchrun.submitting import Prepared


class Became(StrEnum):
    """What became of one batch of the service."""

    KNOWN = "known"  # the ledger had settled it before
    COLLECTED = "collected"  # its answers are settled now
    IN_FLIGHT = "in_flight"  # it runs on, and is collected as any other
    NEVER_RAN = "never_ran"  # refused before anything ran: its items are as if it had never been
    UNCLAIMED = (
        "unclaimed"  # none of its requests is an item's here; its answers are kept in `folder`
    )
    GONE = "gone"  # it ended, and neither requests nor answers can be had any more
    WAITING = "waiting"  # cannot be settled yet: recover must be run again
    FOREIGN = "foreign"  # of another ledger, or of no batchrun: left alone


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundBatch:
    """One batch of the service. `job` and `ledger` are what its metadata say; `batch` is our number, where it is a row.

    `items`: requests that are items' of the job; `unplaced`: requests (answers, where the input file is gone) that are no item's.
    """

    remote_id: str
    profile: str
    job: str | None
    ledger: str | None
    status: str
    became: Became
    batch: int | None = None
    items: int = 0
    unplaced: int = 0
    folder: str | None = None
    note: str | None = None

    @classmethod
    def of(
        cls,
        remote: RemoteBatch,
        profile: str,
        became: Became,
        *,
        batch: int | None = None,
        items: int = 0,
        unplaced: int = 0,
        folder: Path | None = None,
        note: str | None = None,
    ) -> Self:
        """What became of a batch that batchrun made, as its metadata name it."""
        return cls(
            remote_id=remote.id,
            profile=profile,
            job=remote.metadata.get(JOB_KEY),
            ledger=remote.metadata.get(LEDGER_KEY),
            status=remote.status,
            became=became,
            batch=batch,
            items=items,
            unplaced=unplaced,
            folder=None if folder is None else str(folder),
            note=note,
        )

    def to_json(self) -> JsonObject:
        """As `batchrun recover --json` prints it."""
        return {
            "remote_id": self.remote_id,
            "profile": self.profile,
            "job": self.job,
            "ledger": self.ledger,
            "status": self.status,
            "became": str(self.became),
            "batch": self.batch,
            "items": self.items,
            "unplaced": self.unplaced,
            "folder": self.folder,
            "note": self.note,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveredJob:
    """Where a job stands after it all. `counts` by state name; what is pending was never answered, as far as the service tells."""

    name: str
    profile: str
    counts: Mapping[str, int]
    is_paused: bool

    def to_json(self) -> JsonObject:
        """As `batchrun recover --json` prints it."""
        return {
            "job": self.name,
            "profile": self.profile,
            "counts": dict(self.counts),
            "paused": self.is_paused,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """What came of a recovery. `look_again_at`: unix seconds from which on it can be ended by another run, None where it has ended.

    With a `prepared` job that has an error nothing was read from the service yet. `held`: other profiles that the lost ledger may have
    sent with, and which send nothing before they were recovered too.
    """

    is_dry_run: bool = False
    prepared: tuple[Prepared, ...] = ()
    batches: tuple[FoundBatch, ...] = ()
    jobs: tuple[RecoveredJob, ...] = ()
    ledgers: tuple[str, ...] = ()
    held: tuple[str, ...] = ()
    problems: tuple[BatchrunError, ...] = ()
    look_again_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopted:
    """What came of an adoption: the batches in the order in which they were taken, and where their job stands now.

    A batch that is WAITING has been taken, and cannot be settled yet; those behind it that are not named were not taken.
    """

    job: str
    profile: str
    batches: tuple[FoundBatch, ...]
    counts: Mapping[str, int]
    left: tuple[str, ...] = ()
    problems: tuple[BatchrunError, ...] = ()
