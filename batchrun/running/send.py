"""Upload and create: the only steps that cost anything, and the order in which they are remembered.

Intent -> effect -> outcome. The intent is committed before POST /batches; whatever is not an unmistakable answer leaves the row in
CREATING, where only a complete sweep may say what happened (docs/guarantees.md).
"""

import json
import logging
import re
import sqlite3
from typing import Final

from batchrun.backends.base import RemoteBatch
from batchrun.errors import (
    Ambiguous,
    AuthError,
    BackendError,
    LedgerError,
    NotFound,
    Refused,
    Transient,
)
from batchrun.ledger.batches import failed_call, move_batch, remote_columns, update_batch
from batchrun.ledger.connection import Ledger
from batchrun.ledger.remotefiles import mark_untidy
from batchrun.ledger.requestfiles import verify
from batchrun.ledger.states import BatchEvent, BatchState
from batchrun.planning.policy import FILE_RETRIES, error_delay_s, poll_delay_s
from batchrun.running.context import PassContext
from batchrun.running.refusing import (
    QUOTA_CODES,
    QUOTA_HOLD_S,
    cut_smaller,
    hold,
    is_for_later,
    is_too_large,
    put_off,
    put_under_audit,
    reject,
)
from batchrun.running.unpaid import is_unpaid
from batchrun.windows import upload_life_s

log = logging.getLogger(__name__)

# The service's words for a file that it does not see (yet); a profile or a file format is something else.
_ABOUT_FILE: Final = re.compile(
    r"\binput_file|\bfile_not_found|\b(?:no such|(?:can ?not|could not|can't) find) (?:the |input )*file\b"
    r"|\bfile\b[^.]*\b(?:not found|(?:not|n't) exist|deleted|expired|no access|not ready|not (?:yet )?processed)\b",
    re.IGNORECASE,
)
_REPAIR_S: Final = 600  # until a damaged request file is looked at again
_FILE_LAG_S: Final = 30  # how long a new file may be invisible before it is uploaded again


def upload(ctx: PassContext, batch: sqlite3.Row) -> None:
    """Send the input file of a PLANNED batch. May be repeated: an orphan costs nothing and expires."""
    backend = ctx.backend(batch["profile"])
    path = ctx.ledger.home.request_file(batch["request_file"])
    try:
        verify(path, batch["checksum"])
    except LedgerError as exc:
        # What was written is not what is there: this batch waits for a person, the others need not.
        _wait_for_repair(ctx, batch, exc)
        return
    size = batch["input_bytes"]
    if not backend.traits.executes_in_process:
        with ctx.ledger.transaction():
            mark_untidy(ctx.ledger, batch["profile"], ctx.clock.now())
    try:
        file = backend.upload(
            path, name=f"{batch['token']}.jsonl", expires_after_s=upload_life_s(batch["window"])
        )
    except (Refused, AuthError) as exc:
        _keep_failed(ctx, batch, exc)
        if is_for_later(exc) or exc.status not in (400, 413, 422):
            put_off(ctx, batch, exc)
            return
        if is_too_large(batch, exc):
            cut_smaller(ctx, batch, f"the service found the input file too large: {exc}")
            return
        reject(ctx, batch, f"the service refused the input file: {exc}")
        return
    except BackendError as exc:
        put_off(ctx, batch, exc)
        return
    now = ctx.clock.now()
    if file.bytes not in (0, size):  # 0: the service does not say
        put_off(
            ctx,
            batch,
            Transient(
                f"the service stored {file.bytes:,} bytes of a file of {size:,}; sending it again"
            ),
        )
        return
    account = ctx.accounts[batch["profile"]]
    with ctx.ledger.transaction():
        move_batch(
            ctx.ledger,
            batch["id"],
            before=BatchState.PLANNED,
            event=BatchEvent.UPLOADED,
            at=now,
            detail={"file": file.id},
            input_file_id=file.id,
            input_file_created_at=file.created_at or now,
            base_url=account.base_url,
            organization=account.organization,
            project=account.project,
            fingerprint=account.fingerprint,
            uploads=batch["uploads"] + 1,
            file_seen_at=None,
            fenced_at=None,
            fenced_server_at=None,
            errors=0,
            next_at=0,
            reason=None,
        )
    _log(batch, BatchState.PLANNED, BatchState.UPLOADED, file.id)


def _wait_for_repair(ctx: PassContext, batch: sqlite3.Row, exc: LedgerError) -> None:
    ctx.note(exc, profile=batch["profile"], job=batch["job"])
    with ctx.ledger.transaction():
        update_batch(
            ctx.ledger,
            batch["id"],
            next_at=ctx.clock.now() + _REPAIR_S,
            reason=str(exc),
            needs_person=1,
        )


def create(ctx: PassContext, batch: sqlite3.Row) -> None:
    """Commit the intent of an UPLOADED batch, then POST /batches, once."""
    backend = ctx.backend(batch["profile"])
    now = ctx.clock.now()
    with ctx.ledger.transaction():
        if is_unpaid(ctx, batch):
            return
        move_batch(
            ctx.ledger,
            batch["id"],
            before=BatchState.UPLOADED,
            event=BatchEvent.INTENT,
            at=now,
            detail={"create": batch["creates"] + 1},
            creates=batch["creates"] + 1,
            intent_at=now,
            intent_server_at=None,
            fenced_at=None,
            fenced_server_at=None,
            next_at=now,
        )
    try:
        remote = backend.create(
            input_file_id=batch["input_file_id"],
            endpoint=batch["endpoint"],
            window=batch["window"],
            metadata=json.loads(batch["metadata"]),
        )
        if remote.input_file_id not in (None, batch["input_file_id"]) or not remote.id:
            raise Ambiguous(
                f"the service answered with batch {remote.id!r} of another input file {remote.input_file_id!r}"
            )
        if is_recorded_elsewhere(ctx.ledger, remote.id, batch["id"]):
            raise Ambiguous(
                f"the service answered with batch {remote.id!r}, which it had created for something else"
            )
    except BackendError as exc:
        _keep_failed(ctx, batch, exc)
        _not_created(ctx, batch, exc, refusals_final=backend.traits.refusals_final)
        return
    record_created(ctx, batch, remote, is_first=batch["creates"] == 0)


def is_recorded_elsewhere(ledger: Ledger, remote_id: str, batch: int) -> bool:
    """Whether another batch of ours has this id on the service (of any profile: ids are unique in the ledger)."""
    return bool(
        ledger.value("select 1 from batch_rows where remote_id = ? and id <> ?", (remote_id, batch))
    )


def record_created(
    ctx: PassContext, batch: sqlite3.Row, remote: RemoteBatch, *, is_first: bool
) -> None:
    """CREATING -> CREATED: the answer, or a sweep, names our batch. `is_first`: this was the first create, and it was answered."""
    now = ctx.clock.now()
    traits = ctx.backends[batch["profile"]].traits
    # Where there was doubt, a twin of this create may still surface: keep looking for it.
    audit = None if is_first else now + 2 * (traits.settle_s + traits.second_settle_s)
    with ctx.ledger.transaction():
        move_batch(
            ctx.ledger,
            batch["id"],
            before=BatchState.CREATING,
            event=BatchEvent.CREATED,
            at=now,
            detail={"remote": remote.id},
            created_at=now,
            next_at=now + poll_delay_s(0, traits.poll_s),
            polls=0,
            errors=0,
            audit_until=audit,
            reason=None,
            **remote_columns(remote),
        )
        # The service takes batches again. What holds a single model is known to be over only when one of its batches runs.
        ctx.ledger.execute(
            "delete from holds where profile = ? and model = '' and until <= ?",
            (batch["profile"], now),
        )
    _log(batch, BatchState.CREATING, BatchState.CREATED, remote.id)
    ctx.observer(
        "created",
        batch=batch["id"],
        job=batch["job"],
        remote=remote.id,
        requests=batch["request_count"],
    )


def _not_created(
    ctx: PassContext, batch: sqlite3.Row, exc: BackendError, *, refusals_final: bool
) -> None:
    """What an unsuccessful POST /batches means. Anything but a certain death stays in CREATING."""
    certain = isinstance(exc, Transient) and exc.status is None
    if not certain and not (refusals_final and isinstance(exc, Transient | Refused | AuthError)):
        doubt(ctx, batch, exc)
        return
    ledger, now = ctx.ledger, ctx.clock.now()
    if is_for_later(exc):
        errors = batch["errors"] + 1
        with ledger.transaction():
            move_batch(
                ledger,
                batch["id"],
                before=BatchState.CREATING,
                event=BatchEvent.DECLINED,
                at=now,
                detail={"reason": str(exc)},
                errors=errors,
                next_at=now + error_delay_s(errors, exc.retry_after_s),
                reason=str(exc),
            )
            if exc.code in QUOTA_CODES:
                hold(ctx, batch["profile"], "", now + QUOTA_HOLD_S, str(exc))
        ctx.fail(batch["profile"], exc)
        return
    _refused(ctx, batch, exc, now)


def _refused(ctx: PassContext, batch: sqlite3.Row, exc: BackendError, now: int) -> None:
    ledger = ctx.ledger
    if is_too_large(batch, exc):
        row = ledger.row("select * from batch_rows where id = ?", (batch["id"],))
        assert row is not None
        cut_smaller(ctx, row, f"the service found the batch too large: {exc}")
        return
    about_file = (
        isinstance(exc, NotFound)
        or exc.param == "input_file_id"
        or _ABOUT_FILE.search(f"{exc.code or ''} {exc}") is not None
    )
    is_young = now - (batch["input_file_created_at"] or 0) < _FILE_LAG_S
    event = BatchEvent.DECLINED if about_file and is_young else BatchEvent.ABSENT
    allowed = FILE_RETRIES if about_file else 1
    if event == BatchEvent.ABSENT and batch["uploads"] > allowed:
        _reject_creating(ctx, batch, exc)
        return
    with ledger.transaction():
        move_batch(
            ledger,
            batch["id"],
            before=BatchState.CREATING,
            event=event,
            at=now,
            detail={"reason": str(exc)},
            next_at=now + (min(_FILE_LAG_S, 2 ** batch["creates"]) if about_file else 0),
            reason=str(exc),
            **({"input_file_id": None} if event == BatchEvent.ABSENT else {}),
        )


def _reject_creating(ctx: PassContext, batch: sqlite3.Row, exc: BackendError) -> None:
    put_under_audit(ctx, batch)
    row = ctx.ledger.row("select * from batch_rows where id = ?", (batch["id"],))
    assert row is not None
    reject(ctx, row, f"the service refused the batch: {exc}")


def doubt(ctx: PassContext, batch: sqlite3.Row, exc: BackendError) -> None:
    """Unknown outcome: the row stays in CREATING, and the profile rests until a sweep has looked."""
    now = ctx.clock.now()
    with ctx.ledger.transaction():
        update_batch(
            ctx.ledger,
            batch["id"],
            errors=batch["errors"] + 1,
            next_at=now + error_delay_s(1, exc.retry_after_s),
            reason=f"unknown whether it was created: {exc}",
        )
    log.warning("batch %s: creating, outcome unknown: %s", batch["id"], exc)
    ctx.observer("doubt", batch=batch["id"], job=batch["job"], message=str(exc))
    ctx.fail(batch["profile"], exc)


def _keep_failed(ctx: PassContext, batch: sqlite3.Row, exc: BackendError) -> None:
    """By what the service's support finds the call, whatever becomes of the batch."""
    if said := failed_call(exc, ctx.clock.now()):
        with ctx.ledger.transaction():
            update_batch(ctx.ledger, batch["id"], **said)


def _log(batch: sqlite3.Row, before: BatchState, after: BatchState, remote: str) -> None:
    log.info(
        "batch %s: %s -> %s remote=%s", batch["id"], before.name.lower(), after.name.lower(), remote
    )
