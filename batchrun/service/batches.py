"""Batches of the service: created, shown, cancelled and moved through their lifecycle.

Every change of status is a compare-and-set on the status that was read, so that a cancel and the executor cannot overrule one another.
"""

from dataclasses import dataclass, fields

import msgspec

from batchrun.clock import Clock
from batchrun.model import Json, JsonObject
from batchrun.service import checks
from batchrun.service.files import page_of
from batchrun.service.lifecycle import ENDED, Status, check_move, stamp_of
from batchrun.service.options import FILE_LIFE_S, Options
from batchrun.service.refusals import ServiceError
from batchrun.service.store import SqlValue, Store, new_id
from batchrun.windows import DEFAULT_WINDOW, is_window, window_s

_LIVE = "status IN ('validating', 'in_progress', 'finalizing', 'cancelling')"
_STAMPS = (
    "created_at", "in_progress_at", "expires_at", "finalizing_at", "completed_at",
    "failed_at", "expired_at", "cancelling_at", "cancelled_at",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One row, as it was when it was read; the columns are described in store.py."""

    seq: int
    id: str
    status: Status
    endpoint: str
    completion_window: str
    input_file_id: str
    output_file_id: str | None
    error_file_id: str | None
    output_life_s: int
    metadata: str | None
    errors: str | None
    model: str | None
    prompt_tokens: int
    total: int
    completed: int
    failed: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    created_at: int
    expires_at: int
    in_progress_at: int | None
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None

    @property
    def finished(self) -> int:
        """How many lines were executed."""
        return self.completed + self.failed

    def since(self, status: Status) -> int:
        """When the batch entered a status that it has been in."""
        at: int | None = getattr(self, stamp_of(status))
        assert at is not None
        return at

    def to_json(self) -> JsonObject:
        """The batch object of the API."""
        errors = None
        if self.errors is not None:
            errors = {"object": "list", "data": msgspec.json.decode(self.errors)}
        return {
            "id": self.id,
            "object": "batch",
            "endpoint": self.endpoint,
            "model": self.model,
            "errors": errors,
            "input_file_id": self.input_file_id,
            "completion_window": self.completion_window,
            "status": self.status.value,
            "output_file_id": self.output_file_id,
            "error_file_id": self.error_file_id,
            **{stamp: getattr(self, stamp) for stamp in _STAMPS},
            "request_counts": {
                "total": self.total,
                "completed": self.completed,
                "failed": self.failed,
            },
            "usage": {
                "input_tokens": self.input_tokens,
                "input_tokens_details": {"cached_tokens": self.cached_tokens},
                "output_tokens": self.output_tokens,
                "output_tokens_details": {"reasoning_tokens": self.reasoning_tokens},
                "total_tokens": self.input_tokens + self.output_tokens,
            },
            "metadata": None if self.metadata is None else msgspec.json.decode(self.metadata),
        }


_COLUMNS = ", ".join(field.name for field in fields(Batch))


class Batches:
    """POST and GET /v1/batches in JSON terms, and the moves of the executor."""

    def __init__(self, store: Store, clock: Clock, options: Options) -> None:
        self._store = store
        self._clock = clock
        self._options = options

    def create(self, params: JsonObject) -> JsonObject:
        """Queue a batch: `validating`, with nothing counted. Raises ServiceError 400 for its parameters or its file."""
        input_file_id = checks.required_text(params, "input_file_id")
        endpoint = checks.one_of(params, "endpoint", self._options.endpoints)
        window, length_s = self._window(params)
        metadata = checks.metadata_of(params)
        life_s = checks.life_of(params.get("output_expires_after"), "output_expires_after")
        batch_id = new_id("batch_")
        with self._store.transaction() as connection:
            now = self._clock.now()
            # In the same transaction as the insert: a file that is deleted before this moment fences the batch off.
            purpose = connection.execute(
                "SELECT purpose FROM files WHERE id = ? AND deleted_at IS NULL "
                "AND (expires_at IS NULL OR expires_at > ?)",
                (input_file_id, now),
            ).fetchone()
            if purpose is None:
                raise _bad_input_file(f"No such File object: {input_file_id}")
            if purpose["purpose"] != "batch":
                raise _bad_input_file(
                    f"File {input_file_id} has purpose '{purpose['purpose']}'; the input of a batch needs 'batch'."
                )
            connection.execute(
                "INSERT INTO batches (id, status, endpoint, completion_window, input_file_id, output_life_s, metadata, "
                "created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    batch_id,
                    Status.VALIDATING,
                    endpoint,
                    window,
                    input_file_id,
                    life_s or FILE_LIFE_S,
                    None if metadata is None else msgspec.json.encode(metadata).decode(),
                    now,
                    now + length_s,
                ),
            )
        return self.find(batch_id).to_json()

    def _window(self, params: JsonObject) -> tuple[str, int]:
        """The completion window that was asked for, and its seconds."""
        windows, asked = self._options.windows, params.get("completion_window")
        if windows is None and isinstance(asked, str) and is_window(asked):
            return asked, window_s(asked)
        windows = windows or {DEFAULT_WINDOW: window_s(DEFAULT_WINDOW)}
        window = checks.one_of(params, "completion_window", tuple(windows))
        return window, windows[window]

    def find(self, batch_id: str) -> Batch:
        """The batch with this id. Raises ServiceError 404."""
        found = self._select("id = ?", (batch_id,))
        if not found:
            raise ServiceError(status=404, message=f"No such Batch object: {batch_id}", param="id")
        return found[0]

    def cancel(self, batch_id: str) -> JsonObject:
        """Stop taking lines; `cancelled` follows when those in flight are recorded. Raises ServiceError 409 when it has ended."""
        while True:
            batch = self.find(batch_id)
            if batch.status is Status.CANCELLING:
                return batch.to_json()
            if batch.status in ENDED:
                raise ServiceError(
                    status=409, message=f"Cannot cancel a batch with status '{batch.status}'."
                )
            if self.move(batch, Status.CANCELLING):
                return self.find(batch_id).to_json()

    def page(self, *, after: str | None, limit: int) -> JsonObject:
        """One page, newest first; `limit` 1..100."""
        checks.whole_number(limit, "limit", low=1, high=100)
        below = 1 << 62 if after is None else self.find(after).seq
        found = self._select("seq < ? ORDER BY seq DESC LIMIT ?", (below, limit + 1))
        return page_of([batch.to_json() for batch in found], limit)

    def live(self) -> list[Batch]:
        """All batches that have not ended, oldest first."""
        return self._select(f"{_LIVE} ORDER BY seq", ())

    def all(self) -> list[Batch]:
        """Every batch, oldest first."""
        return self._select("true ORDER BY seq", ())

    def queued_tokens(self, model: str | None, *, besides: Batch) -> int:
        """Estimated prompt tokens of all other batches of a model that passed validation and have not ended."""
        (row,) = self._store.rows(
            f"SELECT total(prompt_tokens) AS tokens FROM batches WHERE {_LIVE} AND model IS ? AND seq != ?",
            (model, besides.seq),
        )
        return int(row["tokens"])

    def move(self, batch: Batch, status: Status, **columns: SqlValue) -> bool:
        """Enter a status now, and set more columns; False, with nothing changed, where the batch has moved on since it was read."""
        with self._store.transaction() as connection:
            return move(connection, batch, status, now=self._clock.now(), **columns)

    def _select(self, where: str, parameters: tuple[SqlValue, ...]) -> list[Batch]:
        rows = self._store.rows(f"SELECT {_COLUMNS} FROM batches WHERE {where}", parameters)
        return [_batch_of(dict(row)) for row in rows]


def move(connection: Json, batch: Batch, status: Status, *, now: int, **columns: SqlValue) -> bool:
    """The compare-and-set of `Batches.move`, for a caller that has a transaction of its own."""
    check_move(batch.status, status)
    columns = {"status": status, stamp_of(status): now, **columns}
    assignments = ", ".join(f"{column} = ?" for column in columns)
    changed = connection.execute(
        f"UPDATE batches SET {assignments} WHERE seq = ? AND status = ?",
        (*columns.values(), batch.seq, batch.status),
    )
    return bool(changed.rowcount == 1)


def _batch_of(row: dict[str, Json]) -> Batch:
    return Batch(**{**row, "status": Status(row["status"])})


def _bad_input_file(message: str) -> ServiceError:
    return ServiceError(status=400, message=message, param="input_file_id")
