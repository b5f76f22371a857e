"""What a batch that ended must show, and its result files: from the service into the spool.

A file is downloaded beside its final name, checked and renamed: a name in the spool means complete bytes, so a process that died in between
goes on from the spool without the network.
"""

import sqlite3
from pathlib import Path
from typing import Final

from batchrun.backends.base import RemoteBatch
from batchrun.ledger.spool import checksum_of, disk_error, publish, temp_beside
from batchrun.running.context import PassContext

OUTPUT: Final = 0
ERROR: Final = 1


def fetch_all(ctx: PassContext, row: sqlite3.Row, remote: RemoteBatch) -> list[tuple[int, Path]]:
    """Every result file that the service names, as (kind, spool path), output first. Raises BackendError, LedgerError."""
    ids = {OUTPUT: remote.output_file_id, ERROR: remote.error_file_id}
    return [(kind, fetch(ctx, row, kind, file_id)) for kind, file_id in ids.items() if file_id]


def in_spool(ctx: PassContext, row: sqlite3.Row) -> list[tuple[int, Path]]:
    """The result files of a batch that are here already."""
    paths = {kind: ctx.ledger.home.result_file(row["id"], kind) for kind in (OUTPUT, ERROR)}
    return [(kind, path) for kind, path in paths.items() if path.exists()]


def fetch(ctx: PassContext, row: sqlite3.Row, kind: int, file_id: str) -> Path:
    """The spool path of one result file, downloaded if it is not there yet."""
    path = ctx.ledger.home.result_file(row["id"], kind)
    if not path.exists():
        temp = temp_beside(path)
        try:
            ctx.backend(row["profile"]).download(file_id, temp)
            publish(temp, path)
        finally:
            temp.unlink(missing_ok=True)
    # Of the file, not of the download: who downloaded it may have died before it was recorded, and a person may have mended it since.
    try:
        size, checksum = path.stat().st_size, checksum_of(path)
    except OSError as exc:
        raise disk_error(path, exc) from exc
    with ctx.ledger.transaction():
        ctx.ledger.execute(
            "insert or replace into result_files (batch, kind, remote_file_id, bytes, checksum) values (?, ?, ?, ?, ?)",
            (row["id"], kind, file_id, size, checksum),
        )
    return path


def was_free(remote: RemoteBatch) -> bool:
    """`failed` costs nothing only if nothing can have run."""
    return (
        not remote.output_file_id
        and not remote.error_file_id
        and not remote.completed_count
        and not remote.usage_total_tokens
        and remote.in_progress_at is None
    )


def never_ran(remote: RemoteBatch) -> bool:
    """Whether the service refused the batch after it was created, before anything of it was paid."""
    return remote.status == "failed" and was_free(remote)


def lacks_answers(remote: RemoteBatch) -> bool:
    """Whether there must be answers that no output file is shown for: they were paid, so their items are never released."""
    if remote.output_file_id:
        return False
    return bool(
        remote.completed_count
        or (
            not remote.error_file_id and (remote.usage_total_tokens or remote.status == "completed")
        )
    )


def lacks_files(remote: RemoteBatch) -> bool:
    """Whether a file must exist that is not shown; some services show the ids a little after the end, whatever the end was."""
    if never_ran(remote):
        return False
    return lacks_answers(remote) or bool(remote.failed_count and not remote.error_file_id)
