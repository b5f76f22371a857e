"""Erasing batches from a service's folder: for the one that lives in a home, whose owner wants what was asked and answered forgotten."""

from collections.abc import Sequence
from pathlib import Path

from batchrun.service.store import Store


def erase(
    data: Path,
    *,
    batch_ids: Sequence[str],
    file_ids: Sequence[str],
    file_names: Sequence[str],
    patience_s: float = 30.0,
) -> None:
    """Remove these files, by id or name, and everything but counts and times of these batches, which must have ended; repeatable.

    Free pages and WAL of the database are wiped too. Raises LedgerError where the disk refuses, or where another process has been reading
    the database for `patience_s`.
    """
    store = Store(data)
    try:
        marks = ",".join("?" * len(file_names))
        named = store.rows(f"SELECT id FROM files WHERE filename IN ({marks})", tuple(file_names))
        gone = {*file_ids, *(row["id"] for row in named)}
        for file_id in sorted(gone):
            store.drop(file_id)
        with store.transaction() as connection:
            connection.executemany("DELETE FROM files WHERE id = ?", ((i,) for i in gone))
            connection.executemany(
                "DELETE FROM finished WHERE batch = (SELECT seq FROM batches WHERE id = ?)",
                ((i,) for i in batch_ids),
            )
            connection.executemany(
                "UPDATE batches SET metadata = NULL, errors = NULL WHERE id = ?",
                ((i,) for i in batch_ids),
            )
        store.wipe_free_space(patience_s)
    finally:
        store.close()
