"""What a refusal comes to: the batch is put off, or cut smaller, or rejected, and its profile or model held back for a while."""

import sqlite3
from typing import Final

from batchrun.errors import AuthError, BackendError, Transient
from batchrun.ledger.batches import failed_call, update_batch
from batchrun.ledger.connection import Ledger
from batchrun.ledger.requestfiles import FileKind, remove
from batchrun.ledger.states import BatchEvent, FileState
from batchrun.planning.classify import Outcome
from batchrun.planning.policy import INTENT_MOST_S, error_delay_s
from batchrun.running.collect import collect
from batchrun.running.context import PassContext
from batchrun.running.listing import lacks_listing

QUOTA_HOLD_S: Final = 3_600
_NO_ROUTE: Final = (404, 405, 501)
_FIRST_LOOK_S: Final = 60  # until a listing is read for a batch whose creation was refused
QUOTA_CODES: Final = frozenset(
    {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}
)


def cut_smaller(ctx: PassContext, batch: sqlite3.Row, message: str) -> None:
    """Release the items of a batch that the service refused for its size; from now on the job's batches are half as large."""
    with ctx.ledger.transaction():
        ctx.ledger.execute(
            "update jobs set request_cap = min(coalesce(request_cap, ?1), ?1) where id = ?2",
            (max(batch["request_count"] // 2, 1), batch["job"]),
        )
    reject(ctx, batch, message, outcome=Outcome.RELEASED)
    remove_cut_file(ctx, batch)


def remove_cut_file(ctx: PassContext, batch: sqlite3.Row) -> None:
    """Remove the request file of a batch that was refused, where it was only a copy; what the items point into stays."""
    with ctx.ledger.transaction():
        removed = ctx.ledger.execute(
            "update request_files set state = ? where id = ? and kind = ?",
            (FileState.REMOVED, batch["request_file"], FileKind.CUT),
        ).rowcount
    if removed:
        remove(ctx.ledger.home.request_file(batch["request_file"]))


def reject(
    ctx: PassContext,
    batch: sqlite3.Row,
    message: str,
    *,
    outcome: Outcome = Outcome.FAILED,
    cause: str = "rejected",
    failed: dict[int, str] | None = None,
) -> None:
    """The service will not run this batch and did not bill it: its items fail with the reason, or are released."""
    collect(
        ctx.ledger,
        batch,
        [],
        missing=(outcome, cause, message),
        event=BatchEvent.REJECTED,
        at=ctx.clock.now(),
        failed=failed,
        reason=message,
    )
    ctx.observer("rejected", batch=batch["id"], job=batch["job"], message=message)


def put_under_audit(ctx: PassContext, batch: sqlite3.Row) -> None:
    """Have a batch whose creation is refused for good looked for (see refused.py), unless no listing could show it."""
    now, traits = ctx.clock.now(), ctx.backend(batch["profile"]).traits
    if traits.executes_in_process or not traits.listing_echoes:
        return
    if lacks_listing(ctx.ledger, batch["profile"], now):
        return
    with ctx.ledger.transaction():
        update_batch(
            ctx.ledger, batch["id"], audit_until=now + INTENT_MOST_S, next_at=now + _FIRST_LOOK_S
        )


def put_off(ctx: PassContext, batch: sqlite3.Row, exc: BackendError) -> None:
    """A step that can simply be tried again later did not work; nothing has changed."""
    now, errors = ctx.clock.now(), batch["errors"] + 1
    with ctx.ledger.transaction():
        update_batch(
            ctx.ledger,
            batch["id"],
            errors=errors,
            next_at=now + error_delay_s(errors, exc.retry_after_s),
            reason=str(exc),
            **failed_call(exc, now),
        )
        if exc.code in QUOTA_CODES:
            hold(ctx, batch["profile"], "", now + QUOTA_HOLD_S, str(exc))
    exc.is_lasting = exc.status in _NO_ROUTE and not _took_batches(ctx.ledger, batch["profile"])
    ctx.fail(batch["profile"], exc)


def _took_batches(ledger: Ledger, profile: str) -> bool:
    """Whether the server of a profile ever had a batch of ours: then it has a Batch API, and may be down."""
    return bool(
        ledger.value(
            "select 1 from batch_rows where profile = ? and remote_id is not null limit 1",
            (profile,),
        )
    )


def hold(ctx: PassContext, profile: str, model: str, until: int, reason: str) -> int:
    """Send nothing more of this model ("" means all of the profile) before `until`; returns how many refusals there were in a row."""
    ctx.ledger.execute(
        "insert into holds (profile, model, until, refusals, reason) values (?, ?, ?, 1, ?) "
        "on conflict do update set until = excluded.until, refusals = refusals + 1, reason = excluded.reason",
        (profile, model, until, reason),
    )
    return int(
        ctx.ledger.value(
            "select refusals from holds where profile = ? and model = ?", (profile, model)
        )
    )


def is_for_later(exc: BackendError) -> bool:
    """Whether the same call may well work another time: a busy service, a key or a bill to be mended."""
    return isinstance(exc, Transient | AuthError) or exc.code in QUOTA_CODES


def is_too_large(batch: sqlite3.Row, exc: BackendError) -> bool:
    """Whether the service refused a batch for its size, and there is something to cut."""
    return exc.status == 413 and batch["request_count"] > 1
