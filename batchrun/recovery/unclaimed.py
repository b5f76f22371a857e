"""What is no item's here, a whole batch or some requests of one: noted as a stray, its answers kept for people (`unplaced.py` writes them).

Noted, so that an audit does not take it for a batch that nobody knows, and so that its answers are fetched once.
"""

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from batchrun.backends.base import TERMINAL_STATUSES, RemoteBatch
from batchrun.customids import custom_id
from batchrun.ledger.origins import custom_ids_of
from batchrun.ledger.states import BatchState
from batchrun.recovery.downloading import result_files
from batchrun.recovery.found import Became, FoundBatch
from batchrun.recovery.unplaced import write_unplaced
from batchrun.running.context import PassContext
from batchrun.running.results import in_spool


@dataclass(frozen=True, slots=True, kw_only=True)
class Unclaimed:
    """The strays of one profile."""

    ctx: PassContext
    profile: str

    def whole(self, remote: RemoteBatch, *, note: str) -> FoundBatch:
        """None of its requests is an item's here: its answers go to a folder of their own."""
        home = self.ctx.ledger.home
        stray = self.ctx.ledger.row("select folder from strays where remote_id = ?", (remote.id,))
        known = None if stray is None or stray["folder"] is None else Path(stray["folder"])
        if known is not None and known.is_dir():
            return FoundBatch.of(remote, self.profile, Became.UNCLAIMED, folder=known, note=note)
        if remote.status not in TERMINAL_STATUSES:
            self.note(remote, None)
            note += "; it runs on: its answers are kept when recover is run after its end"
            return FoundBatch.of(remote, self.profile, Became.UNCLAIMED, note=note)
        with result_files(self.ctx.backend(self.profile), home, remote) as files:
            if not files:
                return self.nothing_left(remote)
            folder, count = write_unplaced(home, remote.id, remote.endpoint or "", files, ())
        self.note(remote, folder)
        return FoundBatch.of(
            remote, self.profile, Became.UNCLAIMED, unplaced=count, folder=folder, note=note
        )

    def nothing_left(self, remote: RemoteBatch) -> FoundBatch:
        """It has ended, and neither its requests nor any answers can be had."""
        self.note(remote, None)
        answered = remote.completed_count + remote.failed_count
        if not answered:
            return FoundBatch.of(
                remote, self.profile, Became.NEVER_RAN, note="nothing of it was answered"
            )
        note = (
            f"the service no longer has its {answered:,} answers, nor what was asked: its items count as never sent, "
            "and asking them again is paying again"
        )
        return FoundBatch.of(remote, self.profile, Became.GONE, note=note)

    def part_of(
        self, row: sqlite3.Row, remote: RemoteBatch, became: Became, *, items: int = 0
    ) -> FoundBatch:
        """Put the answers of a settled batch that are no item's where people find them, once."""
        ledger, folder, count = self.ctx.ledger, None, 0
        note = row["reason"] if row["state"] == BatchState.LOST else None
        stray = ledger.row("select * from strays where remote_id = ?", (remote.id,))
        if stray is not None and stray["folder"] is None:
            folder, count = write_unplaced(
                ledger.home,
                remote.id,
                row["endpoint"],
                in_spool(self.ctx, row),
                self._placed(row["id"]),
            )
            if folder is None:
                with ledger.transaction():
                    ledger.execute("delete from strays where remote_id = ?", (remote.id,))
            else:
                self.note(remote, folder, row["id"])
        return FoundBatch.of(
            remote,
            self.profile,
            became,
            batch=row["id"],
            items=items,
            unplaced=count,
            folder=folder,
            note=note,
        )

    def note(self, remote: RemoteBatch, folder: Path | None, batch: int | None = None) -> None:
        """Record that some or all of its requests are no item's; `batch`: the row that settles the rest."""
        with self.ctx.ledger.transaction():
            self.ctx.ledger.execute(
                "insert or replace into strays (remote_id, profile, batch, folder, at) values (?, ?, ?, ?, ?)",
                (
                    remote.id,
                    self.profile,
                    batch,
                    None if folder is None else str(folder),
                    self.ctx.clock.now(),
                ),
            )

    def _placed(self, batch: int) -> set[str]:
        """The custom_ids of a settled batch that were items'."""
        ledger = self.ctx.ledger
        recorded = custom_ids_of(ledger, batch)
        rows = ledger.connection.execute(
            "select r.item, r.send, i.key from (select item, send from result_rows where batch = ?1 "
            "union all select item, send from history where batch = ?1) r join item_rows i on i.id = r.item",
            (batch,),
        )
        return {recorded.get(item) or custom_id(item, send, key) for item, send, key in rows}
