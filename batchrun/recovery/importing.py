"""A batch of the service becomes a batch row here, with its items in flight, as if this ledger had created it.

One transaction takes the row from nothing to CREATED, or to ENDED: at no moment is there a row that a pass might upload or create. What
follows is the normal life of a batch. Batches are brought in the order of their creation, each settled before the next, so that of several
answers to one item the last one stands, as it would have.
"""

import contextlib
import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from batchrun.backends.base import TERMINAL_STATUSES, RemoteBatch
from batchrun.customids import line_prefix
from batchrun.ledger.batches import insert_batch, move_batch, remote_columns
from batchrun.ledger.connection import Ledger
from batchrun.ledger.followers import stop_following
from batchrun.ledger.history import keep_history
from batchrun.ledger.items import move_items
from batchrun.ledger.origins import record_custom_ids
from batchrun.ledger.requestfiles import FileKind, RequestFileWriter, break_up
from batchrun.ledger.states import BatchEvent, BatchState, FileState, ItemEvent, ItemState
from batchrun.ledger.turns import drop_turns
from batchrun.model import Account
from batchrun.recovery.sentlines import read_requests
from batchrun.windows import DEFAULT_WINDOW

MATCHED_TABLE: Final = """
create temp table if not exists matched (
  item integer primary key, custom_id text unique, number integer, send integer, is_first integer not null default 0
);
"""
_MATCHED: Final = "select item from matched"
_BEFORE_CREATED: Final = {
    BatchState.PLANNED: BatchEvent.UPLOADED,
    BatchState.UPLOADED: BatchEvent.INTENT,
    BatchState.CREATING: BatchEvent.CREATED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What the row of a batch says of where it is: the profile (the job's or its live twin), the account, its token, when this ledger, or one that it stands in for, made its input
    file there (None: another program did), and until when twins of a running one are looked for.
    """

    profile: str
    account: Account
    token: str
    input_file_created_at: int | None
    audit_until: int | None


class Copied(NamedTuple):
    """The request file of a batch: its number, bytes and checksum; of one that is not here, 0 and ""."""

    id: int
    bytes: int
    checksum: str


def import_batch(
    ledger: Ledger,
    remote: RemoteBatch,
    origin: Origin,
    *,
    job: sqlite3.Row,
    sent: Path | None,
    stray_count: int,
    at: int,
) -> int:
    """Make the row of a batch whose requests are `matched` (see `matching.Matcher`); returns its number.

    `sent`: its input file, where it is here. A batch that still runs keeps a copy of those of its requests that are items': should the
    service refuse it yet, that is what goes again. Raises LedgerError.
    """
    source = _asked(ledger)
    runs = remote.status not in TERMINAL_STATUSES
    writer = _copy_requests(ledger, job, source, sent) if runs and sent is not None else None
    with ledger.transaction():
        if writer is not None:
            done = writer.finish(FileState.USED)
            file = Copied(done.id, done.bytes, done.checksum)
        else:
            file = Copied(_no_file(ledger, job["id"], source), 0, "")
        batch = insert_imported(ledger, remote, origin, job=job, file=file, at=at)
        if stray_count:
            ledger.execute(
                "insert or replace into strays (remote_id, profile, batch, at) values (?, ?, ?, ?)",
                (remote.id, origin.profile, batch, at),
            )
    return batch


def insert_imported(
    ledger: Ledger,
    remote: RemoteBatch,
    origin: Origin,
    *,
    job: sqlite3.Row,
    file: Copied,
    at: int,
    metadata: Mapping[str, str] | None = None,
) -> int:
    """The row of a batch whose requests are `matched`, CREATED or ENDED, with its items in flight, inside the caller's transaction.

    `metadata`: what it is to bear should it have to be created anew, where that is not what it bears now.
    """
    source = _asked(ledger)
    batch = insert_batch(
        ledger,
        job=job["id"],
        at=at,
        columns={
            "profile": origin.profile,
            "endpoint": remote.endpoint or source["endpoint"],
            "model": source["model"],
            "window": remote.window or DEFAULT_WINDOW,
            "token": origin.token,
            "request_file": file.id,
            "request_count": source["n"],
            "input_bytes": file.bytes,
            "checksum": file.checksum,
            "first_item": source["first"],
            "last_item": source["last"],
            "metadata": json.dumps(remote.metadata if metadata is None else metadata),
        },
    )
    _assign(ledger, job["id"], batch, at)
    bring_to_service(ledger, batch, remote, origin, state=BatchState.PLANNED, at=at)
    return batch


def _asked(ledger: Ledger) -> sqlite3.Row:
    """What most of the matched items ask for, which judges all of them (where only custom_ids tell whose requests are whose, some may ask
    for something else by now), and how many items these are.
    """
    found = ledger.row(
        "select f.model, f.endpoint, f.criteria, min(min(m.item)) over () as first, max(max(m.item)) over () as last, "
        "sum(count(*)) over () as n from matched m join item_rows i on i.id = m.item join request_files f on f.id = i.file "
        "group by f.model, f.endpoint, f.criteria order by count(*) desc limit 1"
    )
    assert found is not None
    return found


def bring_to_service(
    ledger: Ledger,
    batch: int,
    remote: RemoteBatch,
    origin: Origin,
    *,
    state: BatchState,
    at: int,
) -> None:
    """Move a row that this ledger believes not created to where the service shows it: CREATED or ENDED. Inside the caller's transaction."""
    account, created_at = origin.account, min(remote.created_at, at)
    # A listing need not show it, and house-keeping deletes input files of ours that no row names.
    input_file = remote.input_file_id or ledger.value(
        "select input_file_id from batch_rows where id = ?", (batch,)
    )
    columns: dict[BatchEvent, dict[str, object]] = {
        BatchEvent.UPLOADED: {
            "input_file_created_at": origin.input_file_created_at,
            "base_url": account.base_url,
            "organization": account.organization,
            "project": account.project,
            "fingerprint": account.fingerprint,
            "uploads": int(origin.input_file_created_at is not None),
        },
        BatchEvent.INTENT: {"creates": 1, "intent_at": created_at},
        BatchEvent.CREATED: {
            "input_file_id": input_file,
            "created_at": created_at,
            "next_at": 0,
            "errors": 0,
            "audit_until": None if remote.status in TERMINAL_STATUSES else origin.audit_until,
            "reason": None,
            **remote_columns(remote),
        },
    }
    while (event := _BEFORE_CREATED.get(state)) is not None:
        detail = {"remote": remote.id, "recovered": True}
        state = move_batch(
            ledger, batch, before=state, event=event, at=at, detail=detail, **columns[event]
        )
    if remote.status in TERMINAL_STATUSES:
        end_batch(ledger, batch, remote, at)


def end_batch(ledger: Ledger, batch: int, remote: RemoteBatch, at: int) -> None:
    """CREATED -> ENDED, at the service's own time: how long files may still be late counts from then. Inside the caller's transaction."""
    move_batch(
        ledger,
        batch,
        before=BatchState.CREATED,
        event=BatchEvent.ENDED,
        at=at,
        detail={"status": remote.status, "recovered": True},
        ended_at=min(remote.ended_at or remote.created_at, at),
        next_at=0,
        errors=0,
        misses=0,
        reason=None,
        **remote_columns(remote),
    )


def _assign(ledger: Ledger, job: int, batch: int, at: int) -> None:
    """The matched items into the batch. Those that have an answer were asked again, else they would not stand in a later batch."""
    _break_up_fresh(ledger)
    settled = (
        "select m.item from matched m join item_rows i on i.id = m.item "
        f"where i.state not in ({int(ItemState.PENDING)}, {int(ItemState.IN_FLIGHT)})"
    )
    # Who is asked the first request again is asked anew, whatever was said before.
    anew = "select m.item from matched m where m.is_first and m.item in (select item from turns)"
    keep_history(ledger, f"{settled} union {anew}", ())
    drop_turns(ledger, anew)
    move_items(
        ledger,
        job=job,
        event=ItemEvent.REQUEUED,
        where=f"id in ({settled})",
        at=at,
        sets="batch = null",
    )
    ledger.execute(f"delete from queue where item in ({_MATCHED})")
    stop_following(ledger, _MATCHED)
    before = dict(
        ledger.execute(
            "select m.item, i.sends from matched m join item_rows i on i.id = m.item where i.sends > 0 or m.send > 1"
        ).fetchall()
    )
    # The next sending must bear a number that none before it had, here or in the ledger that sent this one.
    move_items(
        ledger,
        job=job,
        event=ItemEvent.ASSIGNED,
        where=f"id in ({_MATCHED}) and state = {int(ItemState.PENDING)}",
        at=at,
        batch=batch,
        sets=f"batch = {batch}, sends = max(sends + 1, (select m.send from matched m where m.item = item_rows.id))",
    )
    rows = ledger.execute(
        "select m.item, m.custom_id, m.number, m.send, i.sends from matched m join item_rows i on i.id = m.item"
    ).fetchall()
    record_custom_ids(
        ledger,
        batch,
        (
            (item, custom_id)
            for item, custom_id, number, send, sends in rows
            if (number, send) != (item, sends) or sends != before.get(item, 0) + 1
        ),
    )


def _break_up_fresh(ledger: Ledger) -> None:
    """Fresh request files of which items were sent already are never sent whole; what else is in them waits in the queue."""
    fresh = (
        "select distinct f.id from matched m join item_rows i on i.id = m.item "
        f"join request_files f on f.id = i.file where f.state = {int(FileState.FRESH)}"
    )
    for (file,) in ledger.execute(fresh).fetchall():
        break_up(ledger, file)


def _copy_requests(
    ledger: Ledger, job: sqlite3.Row, source: sqlite3.Row, sent: Path
) -> RequestFileWriter:
    """Those of the requests that are items', as they were sent. Swept with its row if we die before it is finished."""
    with ledger.transaction():
        writer = RequestFileWriter(
            ledger,
            job=job["id"],
            submission=None,
            criteria=source["criteria"],
            kind=FileKind.CUT,
            endpoint=source["endpoint"],
            model=source["model"],
        )
    try:
        with sent.open("rb") as file:
            for request in read_requests(sent):
                item = ledger.value(
                    "select item from matched where custom_id = ?", (request.custom_id,)
                )
                if item is not None:
                    file.seek(request.offset - len(line_prefix(request.custom_id)))
                    writer.append(
                        file.readline(), count=1, inputs=1, first_item=item, last_item=item
                    )
        writer.close()
    except BaseException:
        with contextlib.suppress(OSError):
            writer.abandon()
        raise
    return writer


def _no_file(ledger: Ledger, job: int, source: sqlite3.Row) -> int:
    """The row of a request file that is not here and not needed: everything in it has ended."""
    cursor = ledger.execute(
        "insert into request_files (job, criteria, kind, state, endpoint, model, request_count, first_item, last_item) "
        "values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            job,
            source["criteria"],
            FileKind.CUT,
            FileState.REMOVED,
            source["endpoint"],
            source["model"],
            source["n"],
            source["first"],
            source["last"],
        ),
    )
    return int(cursor.lastrowid or 0)
