"""Batch rows: every transition is a compare-and-set on the state, with its event, in the caller's transaction.

What a service said is foreign: its objects are stored as ASCII JSON, its words made printable and short, so that nothing it says (a lone
surrogate, a message of a megabyte) can stop the ledger from remembering what was paid for.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from batchrun.backends.base import RemoteBatch
from batchrun.backends.reading import printable
from batchrun.errors import BackendError, IllegalTransition
from batchrun.ledger.connection import Ledger
from batchrun.ledger.states import (
    BATCH_INITIAL,
    IS_OPEN_BATCH,
    BatchEvent,
    BatchState,
    advance_batch,
)
from batchrun.model import Account, Json, JsonObject

# What says nothing of anybody in the service's own object: numbers, times and ids. Its words (errors, metadata) may quote anything.
_WORDLESS_KEYS: Final = (
    *("id", "object", "endpoint", "model", "status", "completion_window", "request_counts"),
    *("usage", "input_file_id", "output_file_id", "error_file_id", "created_at", "in_progress_at"),
    *("expires_at", "finalizing_at", "completed_at", "failed_at", "expired_at", "cancelling_at"),
    "cancelled_at",
)
_EVENT: Final = (
    "insert into events (at, job, batch, event, before, after, detail) values (?, ?, ?, ?, ?, ?, ?)"
)


def new_token() -> str:
    """What marks a batch as ours on the service: 80 random bits."""
    import secrets  # hashlib and more: nothing that `status` should load

    return f"br-{secrets.token_hex(10)}"


def insert_batch(ledger: Ledger, *, job: int, at: int, columns: Mapping[str, Any]) -> int:
    """A new batch in its initial state; returns its id."""
    state = BATCH_INITIAL[BatchEvent.PLANNED]
    names = ["job", "state", "planned_at", *columns]
    cursor = ledger.execute(
        f"insert into batch_rows ({', '.join(names)}) values ({', '.join('?' * len(names))})",
        (job, state, at, *columns.values()),
    )
    batch = int(cursor.lastrowid or 0)
    ledger.execute(_EVENT, (at, job, batch, BatchEvent.PLANNED, None, state, None))
    return batch


def move_batch(
    ledger: Ledger,
    batch: int,
    *,
    before: BatchState,
    event: BatchEvent,
    at: int,
    detail: Json = None,
    **columns: Any,
) -> BatchState:
    """Move one batch by `event`, setting `columns` with it. Raises IllegalTransition when the row is not in `before` any more."""
    after = advance_batch(before, event)
    columns = _storable(columns)
    sets = "".join(f", {name} = ?" for name in columns)
    cursor = ledger.execute(
        f"update batch_rows set state = ?{sets} where id = ? and state = ?",
        (after, *columns.values(), batch, before),
    )
    if cursor.rowcount != 1:
        # Another process moved it although we hold the lock: better to stop than to go on from a wrong belief.
        raise IllegalTransition(
            state=f"not {before.name.lower()} (batch {batch})", event=str(event)
        )
    job = ledger.value("select job from batch_rows where id = ?", (batch,))
    ledger.execute(
        _EVENT,
        (at, job, batch, event, before, after, None if detail is None else json.dumps(detail)),
    )
    return after


def update_batch(ledger: Ledger, batch: int, **columns: Any) -> None:
    """Set columns that are no state: due times, counters, what the service said last."""
    columns = _storable(columns)
    sets = ", ".join(f"{name} = ?" for name in columns)
    ledger.execute(f"update batch_rows set {sets} where id = ?", (*columns.values(), batch))


def _storable(columns: dict[str, Any]) -> dict[str, Any]:
    """The columns with the service's words in `reason` made fit to keep; whether it needs a person goes and comes with the reason."""
    if "reason" not in columns:
        return columns
    reason = columns["reason"]
    return {"needs_person": 0, **columns, "reason": printable(reason) if reason else None}


def remote_columns(remote: RemoteBatch) -> dict[str, Any]:
    """The columns that mirror the service's object."""
    return {
        "remote_id": remote.id,
        "remote_status": remote.status,
        "remote": json.dumps(remote.raw),
    }


def wordless(raw: JsonObject) -> JsonObject:
    """The service's object without its words: for a batch that no row is there for, so that nobody would find them when they must go."""
    return {key: raw[key] for key in _WORDLESS_KEYS if key in raw}


def failed_call(exc: BackendError, at: int) -> dict[str, str]:
    """The column that keeps by what a service's support finds a call that failed; none of a call without an answer, which has no such thing."""
    if exc.status is None and exc.request_id is None:
        return {}
    said = {"at": at, "status": exc.status, "code": exc.code, "request_id": exc.request_id}
    return {"failed_call": json.dumps(said)}


def add_incident(
    ledger: Ledger,
    *,
    at: int,
    kind: str,
    message: str,
    job: int | None = None,
    batch: int | None = None,
    detail: Json = None,
) -> None:
    """Something that must not be, and that a person should see; the same one is recorded once per batch and kind and message."""
    message = printable(message)
    if ledger.value(
        "select 1 from incidents where kind = ? and message = ? and batch is ?",
        (kind, message, batch),
    ):
        return
    ledger.execute(
        "insert into incidents (at, job, batch, kind, message, detail) values (?, ?, ?, ?, ?, ?)",
        (at, job, batch, kind, message, None if detail is None else json.dumps(detail)),
    )


def open_accounts(ledger: Ledger, profile: str) -> list[Account]:
    """The accounts that have open batches of a profile, or their input files: nearly always one."""
    return [
        Account(**dict(row))
        for row in ledger.rows(
            "select distinct base_url, organization, project, fingerprint from batch_rows "
            f"where profile = ? and {IS_OPEN_BATCH} and (input_file_id is not null or remote_id is not null)",
            (profile,),
        )
    ]


def remote_profiles(ledger: Ledger, job: int) -> frozenset[str]:
    """On which profiles' services there are batches of a job, or may be, that have not been collected."""
    rows = ledger.rows(
        "select distinct profile from batch_rows where job = ? and state in (?, ?, ?)",
        (job, BatchState.CREATING, BatchState.CREATED, BatchState.ENDED),
    )
    return frozenset(row["profile"] for row in rows)
