"""Files of the service: uploads and result files, with their expiry.

A file that is deleted or expired is gone for the API at once (404). Its bytes go when no unfinished batch reads them any more: a
batch that passed validation is not harmed by the deletion of its input.
"""

import sqlite3
from typing import BinaryIO

from batchrun.clock import Clock
from batchrun.model import Json, JsonObject
from batchrun.service import checks
from batchrun.service.options import FILE_LIFE_S, Options
from batchrun.service.refusals import ServiceError
from batchrun.service.store import Store, new_id

_ALIVE = "deleted_at IS NULL AND (expires_at IS NULL OR expires_at > :now)"
_LIVE_INPUTS = (
    "SELECT input_file_id FROM batches "
    "WHERE status IN ('validating', 'in_progress', 'finalizing', 'cancelling')"
)


class Files:
    """GET, POST and DELETE /v1/files, in JSON terms."""

    def __init__(self, store: Store, clock: Clock, options: Options) -> None:
        self._store = store
        self._clock = clock
        self._options = options

    def create(
        self, source: BinaryIO, *, filename: str, purpose: str, expires_after: Json
    ) -> JsonObject:
        """Take in a file. Only its name and size are looked at: what is inside is checked when a batch is made of it."""
        checks.one_of({"purpose": purpose}, "purpose", checks.PURPOSES)
        life_s = checks.life_of(expires_after, "expires_after")
        if purpose == "batch":
            if not filename.endswith(".jsonl"):
                raise ServiceError(
                    status=400, message="Invalid file format for Batch API. Must be .jsonl"
                )
            life_s = life_s or FILE_LIFE_S
        file_id = new_id("file-")
        size = self._store.take_in(source, file_id, limit_bytes=self._options.upload_bytes)
        with self._store.transaction() as connection:
            now = self._clock.now()
            insert_file(
                connection,
                file_id=file_id,
                filename=filename,
                purpose=purpose,
                size=size,
                now=now,
                life_s=life_s,
            )
        return self.get(file_id)

    def get(self, file_id: str) -> JsonObject:
        """The file object. Raises ServiceError 404 for an unknown, deleted or expired one."""
        found = self._store.rows(
            f"SELECT * FROM files WHERE id = :id AND {_ALIVE}",
            {"id": file_id, "now": self._clock.now()},
        )
        if not found:
            raise ServiceError(status=404, message=f"No such File object: {file_id}", param="id")
        return _object_of(found[0])

    def open(self, file_id: str) -> BinaryIO:
        """The bytes of a file that `get` finds; the caller closes it."""
        self.get(file_id)
        return self._store.open_file(file_id)

    def delete(self, file_id: str) -> JsonObject:
        """Delete a file; a second time is a 404."""
        self.get(file_id)
        with self._store.transaction() as connection:
            connection.execute(
                "UPDATE files SET deleted_at = ? WHERE id = ? AND deleted_at IS NULL",
                (self._clock.now(), file_id),
            )
        self.purge()
        return {"id": file_id, "object": "file", "deleted": True}

    def page(self, *, after: str | None, limit: int, order: str, purpose: str | None) -> JsonObject:
        """One page of files by time of creation. `order` is `desc` or `asc`, `limit` 1..10000."""
        checks.whole_number(limit, "limit", low=1, high=10_000)
        checks.one_of({"order": order}, "order", ("asc", "desc"))
        where = _ALIVE
        where += " AND (:purpose IS NULL OR purpose = :purpose)"
        if after is not None:
            self.get(after)
            side = "<" if order == "desc" else ">"
            where += f" AND seq {side} (SELECT seq FROM files WHERE id = :after)"
        found = self._store.rows(
            f"SELECT * FROM files WHERE {where} ORDER BY seq {order} LIMIT :limit + 1",
            {"now": self._clock.now(), "purpose": purpose, "after": after, "limit": limit},
        )
        return page_of([_object_of(row) for row in found], limit)

    def purge(self) -> None:
        """Free the bytes of deleted and expired files that nothing reads any more."""
        now = self._clock.now()
        gone = self._store.rows(
            f"SELECT id FROM files WHERE NOT ({_ALIVE}) AND id NOT IN ({_LIVE_INPUTS})",
            {"now": now},
        )
        for row in gone:
            with self._store.transaction() as connection:
                connection.execute(
                    "UPDATE files SET deleted_at = ? WHERE id = ? AND deleted_at IS NULL",
                    (now, row["id"]),
                )
            self._store.drop(row["id"])
            with self._store.transaction() as connection:
                connection.execute("DELETE FROM files WHERE id = ?", (row["id"],))


def insert_file(
    connection: sqlite3.Connection,
    *,
    file_id: str,
    filename: str,
    purpose: str,
    size: int,
    now: int,
    life_s: int | None,
) -> None:
    """Make a file exist whose bytes are in place already."""
    expires_at = None if life_s is None else now + life_s
    connection.execute(
        "INSERT INTO files (id, filename, purpose, bytes, created_at, expires_at) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        (file_id, filename, purpose, size, now, expires_at),
    )


def page_of(found: list[JsonObject], limit: int) -> JsonObject:
    """A list object of at most `limit` of what was found; one more than that means that there is a next page."""
    data = found[:limit]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": len(found) > limit,
    }


def _object_of(row: sqlite3.Row) -> JsonObject:
    return {
        "id": row["id"],
        "object": "file",
        "bytes": row["bytes"],
        "created_at": row["created_at"],
        "expires_at": row["expires_at"],
        "filename": row["filename"],
        "purpose": row["purpose"],
        "status": "processed",
        "status_details": None,
    }
