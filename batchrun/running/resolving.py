"""What a person found out about a batch that batchrun cannot judge by itself: it is this one on the service, or it is nowhere.

Their word replaces the proof, not the care: what the service can still say is asked first, the batch stays under audit, and a file that a
late create could use is deleted.
"""

import logging
import sqlite3
from dataclasses import dataclass
from typing import Final

from batchrun.backends.base import Backend, RemoteBatch
from batchrun.errors import BackendError, NotFound, Refused, UsageError
from batchrun.ledger.batches import move_batch, update_batch
from batchrun.ledger.connection import Ledger
from batchrun.ledger.states import BatchEvent, BatchState
from batchrun.model import TOKEN_KEY
from batchrun.running.context import PassContext
from batchrun.running.finding import own_batches
from batchrun.running.listing import MARGIN_S, read_listing
from batchrun.running.lost import note_reappeared
from batchrun.running.results import ERROR, OUTPUT
from batchrun.running.send import is_recorded_elsewhere, record_created

log = logging.getLogger(__name__)

_NUMBER_DIGITS: Final = 19  # a longer number is no row id


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What became of a batch: its state, and its name and status on the service where it has them."""

    batch: int
    job: str
    state: str
    remote_id: str | None
    remote_status: str | None


def resolve(ctx: PassContext, batch: int, *, remote_id: str | None) -> Resolved:
    """Adopt `remote_id` as batch number `batch`, whose creation went unanswered; None: it does not exist, and is uploaded again.

    Raises UsageError where there is nothing to resolve, or the service says otherwise; BackendError where the service cannot be asked.
    """
    row = _row(ctx, batch)
    backend = ctx.backend(row["profile"])
    if remote_id is None:
        _declare_absent(ctx, backend, row)
    else:
        _adopt(ctx, backend, row, remote_id)
    return _resolved(ctx, batch)


def number_of(ledger: Ledger, name: str) -> int:
    """The number of the batch that a person means: by our number, or by what the service calls it: its id, its input file, or our token on it.

    Raises UsageError where there is none, or several.
    """
    called = "remote_id = ?1 or token = ?1 or input_file_id = ?1"
    if name.isascii() and name.isdecimal() and len(name) < _NUMBER_DIGITS:
        called += f" or id = {int(name)}"
    found = [row["id"] for row in ledger.rows(f"select id from batch_rows where {called}", (name,))]
    if not found:
        raise UsageError(f"there is no batch {name}. `batchrun status` shows those that are open.")
    if len(found) > 1:
        raise UsageError(
            f"{name} may be each of the batches {', '.join(map(str, found))}. Nothing was changed. "
            "Name it by its token (`br-…`), which its metadata on the service show."
        )
    return int(found[0])


def settle_as_is(ctx: PassContext, batch: int) -> Resolved:
    """Let the next pass settle a batch by those of its result lines that can be read. Raises UsageError where none is in question."""
    row = ctx.ledger.row("select * from batch_rows where id = ?", (batch,))
    home = ctx.ledger.home
    assert row is not None
    if not any(home.suspect_file(batch, kind).exists() for kind in (OUTPUT, ERROR)):
        raise UsageError(f"batch {batch} has no result file that cannot be read.")
    if row["state"] != BatchState.ENDED:
        raise UsageError(f"batch {batch} is {BatchState(row['state']).name.lower()} already.")
    with ctx.ledger.transaction():
        update_batch(ctx.ledger, batch, takes_unreadable=1, next_at=0)
    return _resolved(ctx, batch)


def _resolved(ctx: PassContext, batch: int) -> Resolved:
    row = ctx.ledger.row(
        "select b.*, j.name as job_name from batch_rows b join jobs j on j.id = b.job where b.id = ?",
        (batch,),
    )
    assert row is not None
    return Resolved(
        batch=batch,
        job=row["job_name"],
        state=BatchState(row["state"]).name.lower(),
        remote_id=row["remote_id"],
        remote_status=row["remote_status"],
    )


def _row(ctx: PassContext, batch: int) -> sqlite3.Row:
    row = ctx.ledger.row("select * from batch_rows where id = ?", (batch,))
    assert row is not None
    state = BatchState(row["state"])
    is_lost_intent = state == BatchState.LOST and row["remote_id"] is None
    if state != BatchState.CREATING and not is_lost_intent:
        raise UsageError(
            f"batch {batch} is {state.name.lower()}: only of a batch whose creation went unanswered is there something to resolve."
        )
    return row


def _adopt(ctx: PassContext, backend: Backend, row: sqlite3.Row, remote_id: str) -> None:
    other = ctx.ledger.value(
        "select id from batch_rows where remote_id = ? and id <> ?", (remote_id, row["id"])
    )
    if other is not None:
        raise UsageError(f"{remote_id} is batch {other} already, and not batch {row['id']}.")
    remote = backend.retrieve(remote_id)
    if (wrong := _mismatch(ctx, row, remote)) is not None:
        raise UsageError(f"{remote.id} is not batch {row['id']}: {wrong}. Nothing was changed.")
    if row["state"] == BatchState.LOST:
        note_reappeared(ctx, row, remote)
    else:
        record_created(ctx, row, remote, is_first=False)


def _mismatch(ctx: PassContext, row: sqlite3.Row, remote: RemoteBatch) -> str | None:
    """What shows that a batch on the service cannot be this one, or None. What the service does not echo proves nothing."""
    if is_recorded_elsewhere(ctx.ledger, remote.id, row["id"]):
        return "it is recorded as another one"
    token = remote.metadata.get(TOKEN_KEY)
    if token is not None and token != row["token"]:
        return f"it bears the token {token!r}, not {row['token']!r}"
    if remote.input_file_id is not None:
        if remote.input_file_id != row["input_file_id"]:
            return f"its input file is {remote.input_file_id!r}, not {row['input_file_id']!r}"
        return None
    if remote.endpoint not in (None, row["endpoint"]):
        return f"its endpoint is {remote.endpoint!r}, not {row['endpoint']!r}"
    if remote.total_count not in (0, row["request_count"]):
        return f"it has {remote.total_count:,} requests, not {row['request_count']:,}"
    if remote.created_at and remote.created_at < (row["input_file_created_at"] or 0) - MARGIN_S:
        return "it is older than the input file"
    return None


def _declare_absent(ctx: PassContext, backend: Backend, row: sqlite3.Row) -> None:
    if row["state"] == BatchState.LOST:
        job = ctx.ledger.value("select name from jobs where id = ?", (row["job"],))
        raise UsageError(
            f"batch {row['id']} was given up, and its items failed with lost_result. "
            f"`batchrun retry {job} --rerun-lost` asks them again."
        )
    _refuse_if_listed(ctx, backend, row)
    is_fenced = _is_deleted(backend, row["input_file_id"])
    now, traits = ctx.clock.now(), backend.traits
    with ctx.ledger.transaction():
        move_batch(
            ctx.ledger,
            row["id"],
            before=BatchState.CREATING,
            event=BatchEvent.ABSENT,
            at=now,
            detail={"proof": "a person said so", "input file deleted": is_fenced},
            next_at=0,
            input_file_id=None,
            audit_until=now + 2 * (traits.settle_s + traits.second_settle_s),
            reason=None,
        )
    log.info("batch %s: creating -> planned, declared absent", row["id"])


def _refuse_if_listed(ctx: PassContext, backend: Backend, row: sqlite3.Row) -> None:
    """The service may show it after all. Raises UsageError naming what it shows; a service without a listing shows nothing."""
    try:
        listing = read_listing(backend, (row["input_file_created_at"] or 0) - MARGIN_S)
    except Refused:
        return
    if listed := own_batches(ctx, row, listing):
        raise UsageError(
            f"the service lists {listed[0].id} as batch {row['id']}: it exists. Nothing was changed. "
            f"`batchrun resolve {row['id']} --is {listed[0].id}` adopts it."
        )


def _is_deleted(backend: Backend, file_id: str) -> bool:
    """Delete the input file, so that a create still on its way fails; whether that is certain. A service without deletion keeps no one from going on."""
    try:
        return backend.delete_file(file_id)
    except NotFound:
        return True
    except BackendError as exc:
        log.warning("%s could not be deleted: %s", file_id, exc)
        return False
