"""Removing spool files that the ledger says are removed: always in this order, so that no row ever points at bytes that went without its knowledge."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from batchrun.ledger.attachments import drop_attached, sweep_contents
from batchrun.ledger.connection import Ledger
from batchrun.ledger.spool import disk_error, fsync_folder
from batchrun.ledger.states import FileState


class Freed(NamedTuple):
    """What left the disk."""

    file_count: int = 0
    bytes: int = 0

    def plus(self, size: int) -> "Freed":
        """One more file of `size` bytes."""
        return Freed(self.file_count + 1, self.bytes + size)

    def and_also(self, other: "Freed") -> "Freed":
        """Both together."""
        return Freed(self.file_count + other.file_count, self.bytes + other.bytes)


def mark_requests(ledger: Ledger, files: str, parameters: tuple[object, ...]) -> None:
    """Let the ledger say that these request files (`files` selects ids) are removed, with what only they attach; inside the caller's transaction."""
    ledger.execute(
        f"update request_files set state = {int(FileState.REMOVED)} where id in ({files})",
        parameters,
    )
    drop_attached(ledger, f"file in ({files})", parameters)


def mark_results(ledger: Ledger, batches: str, parameters: tuple[object, ...], at: int) -> None:
    """The same for the result files of the batches that `batches` selects."""
    ledger.execute(
        f"update result_files set removed_at = ? where removed_at is null and batch in ({batches})",
        (at, *parameters),
    )


def remove_marked(ledger: Ledger) -> dict[int, Freed]:
    """Remove every spool file that the ledger says is removed, also for a process that died before it could; what was freed, by job.

    Attached contents that no request names any more go too; they are not counted here.

    Raises LedgerError where the disk refuses: the same call goes on.
    """
    freed: dict[int, Freed] = {}
    for job, path in _marked(ledger):
        try:
            size = path.stat().st_size
            path.unlink()
        except FileNotFoundError:
            continue
        except OSError as exc:
            raise disk_error(path, exc) from exc
        freed[job] = freed.get(job, Freed()).plus(size)
    sweep_contents(ledger)
    if freed:
        fsync_folder(ledger.home.requests)
        fsync_folder(ledger.home.results)
    return freed


def _marked(ledger: Ledger) -> Iterator[tuple[int, Path]]:
    """(job, path) of the marked files that may still be there."""
    home = ledger.home
    for row in ledger.rows(
        "select id, job from request_files where state = ?", (FileState.REMOVED,)
    ):
        yield row["job"], home.request_file(row["id"])
    for row in ledger.rows(
        "select f.batch, f.kind, b.job from result_files f join batch_rows b on b.id = f.batch "
        "where f.removed_at is not null"
    ):
        yield row["job"], home.result_file(row["batch"], row["kind"])
