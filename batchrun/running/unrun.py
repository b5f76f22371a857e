"""A batch ended without having run: the validator refused its input file. Nothing was billed, and what comes next depends on why."""

import sqlite3
from typing import Final

from batchrun.backends.base import RemoteBatch
from batchrun.customids import request_parts
from batchrun.ledger.batches import move_batch
from batchrun.ledger.origins import naming
from batchrun.ledger.states import BatchEvent, BatchState
from batchrun.planning.classify import Outcome
from batchrun.planning.policy import (
    FILE_RETRIES,
    PATIENT_REFUSALS,
    PAUSE_AFTER_RELEASES,
    SHRINK_AFTER_REFUSALS,
    error_delay_s,
)
from batchrun.running.context import PassContext
from batchrun.running.queueing import Refusal, forget_refusals, learn_refusal
from batchrun.running.refusing import cut_smaller, reject, remove_cut_file

_LINE_DIGITS: Final = 10
_PASSING: Final = frozenset(
    {"token_limit_exceeded"}
)  # reasons that say nothing about what is asked


def settle_unrun(ctx: PassContext, row: sqlite3.Row, remote: RemoteBatch) -> None:
    """The validator refused the batch: nothing ran, nothing was billed. What next depends on why."""
    codes = {str(error.get("code") or "") for error in remote.errors}
    text = "; ".join(_told(error) for error in remote.errors[:5]) or "no reason given"
    message = f"the service refused the input file: {text}"
    is_about_file = any(
        "file" in code.split("_") or "cannot find file" in text.lower() for code in codes
    )
    if row["lost_at"] is not None:
        # Some of its items may have been asked again since: its request file is never sent once more.
        is_final = _was_refused(ctx, row) and not is_about_file and codes - _PASSING
        # Refused in its creation and now for what it asks: sent again by themselves, its items would go round for ever.
        outcome = Outcome.FAILED if is_final else Outcome.RELEASED
        reject(ctx, row, message, outcome=outcome, cause="rejected")
    elif "token_limit_exceeded" in codes:
        _too_many_tokens(ctx, row, message)
    elif row["fenced_at"] is not None:
        reject(ctx, row, message, outcome=Outcome.RELEASED, cause="rejected")
    elif is_about_file and not _named(ctx, row, remote):
        _upload_again(ctx, row, message, most=FILE_RETRIES)
    elif codes == {"model_not_found"}:
        reject(ctx, row, message)  # true of every line, however many the validator names
    elif named := _named(ctx, row, remote):
        # The rest of the batch is sound: it goes again without the lines that the validator named.
        reject(ctx, row, message, outcome=Outcome.RELEASED, cause="rejected", failed=named)
        pause_if_hopeless(ctx, row, message)
    elif remote.errors:
        reject(ctx, row, message)
    else:
        _upload_again(ctx, row, message, most=2)


def _was_refused(ctx: PassContext, row: sqlite3.Row) -> bool:
    """Whether the batch was rejected already, and readmitted since (see refused.py)."""
    rejected = "select 1 from events where batch = ? and event = ? limit 1"
    return bool(ctx.ledger.value(rejected, (row["id"], BatchEvent.REJECTED)))


def _too_many_tokens(ctx: PassContext, row: sqlite3.Row, message: str) -> None:
    """The service's queue for this model is full: wait without spending an attempt; if nothing of ours is in it, cut smaller.

    The batch keeps its items and its request file: only the upload is made again, once planning finds room.
    """
    refusal = learn_refusal(ctx, row, message)
    # While batches of ours fill the queue, waiting helps; what does not fit into an empty one, never will.
    is_single = row["request_count"] == 1
    if not refusal.is_alone or refusal.times < _patience(refusal, is_single=is_single):
        # That the service counted its tokens proves that it could read the file: troubles with files begin anew.
        _plan_again(ctx, row, message, next_at=ctx.clock.now(), uploads=0)
    elif is_single:
        reject(ctx, row, message, outcome=Outcome.RELEASED, cause="rejected")
        remove_cut_file(ctx, row)
        with ctx.ledger.transaction():
            forget_refusals(ctx, row)
            ctx.ledger.execute(
                "update jobs set paused = ? where id = ? and paused is null",
                (_hopeless(message, refusal.times), row["job"]),
            )
    else:
        _shrink(ctx, row, message)


def _patience(refusal: Refusal, *, is_single: bool) -> int:
    """Refusals in a row by a queue with nothing of ours in it until more of the same is hopeless. Where others seem to fill it, that is not soon."""
    if refusal.is_small:
        return PATIENT_REFUSALS
    return PAUSE_AFTER_RELEASES if is_single else SHRINK_AFTER_REFUSALS


def _shrink(ctx: PassContext, row: sqlite3.Row, message: str) -> None:
    """Cut the job's batches of this model that are not on their way in two; they are all as large as the one that did not fit."""
    cut_smaller(ctx, row, message)
    with ctx.ledger.transaction():
        forget_refusals(ctx, row)
        ctx.ledger.execute("update jobs set releases = 0 where id = ?", (row["job"],))
    for waiting in list(
        ctx.ledger.rows(
            "select b.* from batch_rows b join jobs j on j.id = b.job where b.job = ? and b.model = ? and b.state = ? "
            "and b.request_count > j.request_cap",
            (row["job"], row["model"], BatchState.PLANNED),
        )
    ):
        cut_smaller(ctx, waiting, message)


def _upload_again(ctx: PassContext, row: sqlite3.Row, message: str, *, most: int) -> None:
    if row["uploads"] >= most:
        reject(ctx, row, message)
        return
    delay = error_delay_s(row["uploads"] + 1, None)
    _plan_again(ctx, row, message, next_at=ctx.clock.now() + delay)


def _plan_again(
    ctx: PassContext, row: sqlite3.Row, message: str, *, next_at: int, **columns: int
) -> None:
    """Nothing of the batch ran: upload its file anew and create it again, with the items it has."""
    with ctx.ledger.transaction():
        move_batch(
            ctx.ledger,
            row["id"],
            before=BatchState.ENDED,
            event=BatchEvent.UPLOAD_LOST,
            at=ctx.clock.now(),
            detail={"reason": message},
            remote_id=None,
            remote_status=None,
            cancel_sent_at=None,
            input_file_id=None,
            next_at=next_at,
            reason=message,
            **columns,
        )


def pause_if_hopeless(ctx: PassContext, row: sqlite3.Row, message: str) -> None:
    """Batches that end again and again without settling anything would circle for ever."""
    with ctx.ledger.transaction():
        ctx.ledger.execute(
            "update jobs set paused = ? where id = ? and releases >= ? and paused is null",
            (_hopeless(message, PAUSE_AFTER_RELEASES), row["job"], PAUSE_AFTER_RELEASES),
        )


def _hopeless(message: str, times: int) -> str:
    return (
        f"{times} batches in a row came back without any answer; the last one: {message}. "
        "Submit the job again when the cause is mended."
    )


def _named(ctx: PassContext, row: sqlite3.Row, remote: RemoteBatch) -> dict[int, str]:
    """Items whose input line the validator named, with what it said."""
    wanted = {
        int(number): _told(error)
        for error in remote.errors
        if (number := str(error.get("line"))).isdecimal() and len(number) < _LINE_DIGITS
    }
    # Of a batch that was recovered or adopted, requests that are no open item's are left out of our copy: its lines are others.
    if not wanted or _is_copied_in_part(ctx, row):
        return {}
    named: dict[int, str] = {}
    whose = naming(ctx.ledger, row["id"])
    path = ctx.ledger.home.request_file(row["request_file"])
    with path.open("rb") as file:
        for at, line in enumerate(file, start=1):
            if at in wanted:
                said, parts = wanted.pop(at), request_parts(line)
                item = None if parts is None else whose(parts[0])
                if item is not None:
                    named[item] = said
                if not wanted:
                    break
    return named


def _is_copied_in_part(ctx: PassContext, row: sqlite3.Row) -> bool:
    left_out = (
        "select 1 from strays where batch = ?1 union all "
        "select 1 where (select count(*) from asked_as where batch = ?1) > ?2"
    )
    return bool(ctx.ledger.value(left_out, (row["id"], row["request_count"])))


def _told(error: dict[str, object]) -> str:
    code, message, line = error.get("code"), error.get("message"), error.get("line")
    said = ": ".join(str(part) for part in (code, message) if part)
    return f"{said} (line {line})" if line is not None else said
