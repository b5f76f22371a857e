"""`prune`: spool files that nothing needs any more.

A request file is needed while any of its items may be sent (again): open, failed or cancelled ones, or one whose change waits for its turn; while
a `retry` waits to be carried out; and while a batch made of it is not final. A result file is needed until its batch is collected. Neither goes before the job's outputs are written:
whoever deletes those finds everything else still there. Answers are in the ledger, and what an item asked stays known by its hash, so outputs can
be written again and a later submit finds the item unchanged.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from batchrun.keeping.removing import Freed, mark_requests, mark_results, remove_marked
from batchrun.ledger.connection import Ledger
from batchrun.ledger.jobs import JobRow
from batchrun.ledger.states import BatchState, FileState, ItemState
from batchrun.outputs.indexed import IMAGE_FILES, size_of_own
from batchrun.outputs.rows import job_view
from batchrun.outputs.writing import MANIFEST

# When each spool file was last of use. One reading of the job's items, however many files they are in.
_REQUESTS: Final = f"""
insert into prunable
select f.id, null, null from request_files f
left join (
  select i.file, max(i.state <> {int(ItemState.SUCCEEDED)}) as is_needed, max(r.at) as at
  from item_rows i not indexed left join result_rows r on r.item = i.id
  where i.job = ?1 and i.id >= ?3 and i.id < ?4 group by i.file
) held on held.file = f.id
left join (
  select request_file, max(state not in ({int(BatchState.COLLECTED)}, {int(BatchState.REJECTED)})) as is_needed, max(collected_at) as at
  from batch_rows where job = ?1 group by request_file
) sent on sent.request_file = f.id
left join submissions s on s.id = f.submission
where f.job = ?1 and f.state = {int(FileState.USED)} and not coalesce(held.is_needed, 0) and not coalesce(sent.is_needed, 0)
  and f.id not in (select file from revisions) and not exists (select 1 from wishes where job = ?1 and done_at is null)
  and max(coalesce(held.at, 0), coalesce(sent.at, 0), coalesce(s.at, 0)) <= ?2
"""
_RESULTS: Final = f"""
insert into prunable
select null, f.batch, f.kind from result_files f join batch_rows b on b.id = f.batch
where b.job = ?1 and b.state = {int(BatchState.COLLECTED)} and f.removed_at is null and coalesce(b.collected_at, 0) <= ?2
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What a prune freed of one job, or would free. `kept`: why all of its spool stays, or None."""

    job: str
    profile: str
    file_count: int
    bytes: int
    kept: str | None


def prune(
    ledger: Ledger, jobs: Sequence[JobRow], *, now: int, older_than_s: int = 0
) -> tuple[Pruned, ...]:
    """Free what no item of these jobs needs, of what was last of use `older_than_s` seconds ago or earlier; under the home's lock.

    Finishes a prune that was killed. Raises LedgerError where the disk refuses: the same call goes on.
    """
    kept = {job.id: _why_kept(job) for job in jobs}
    contents: dict[int, Freed] = {}
    for job in jobs:
        if kept[job.id] is not None:
            continue
        with ledger.transaction():
            _gather(ledger, job.id, now - older_than_s)
            contents[job.id] = _contents(ledger)
            mark_requests(ledger, "select file from prunable where file is not null", ())
            mark_results(ledger, "select batch from prunable where batch is not null", (), now)
    freed = remove_marked(ledger)
    return tuple(
        _pruned(
            job, freed.get(job.id, Freed()).and_also(contents.get(job.id, Freed())), kept[job.id]
        )
        for job in jobs
    )


def prunable(
    ledger: Ledger, jobs: Sequence[JobRow], *, now: int, older_than_s: int = 0
) -> tuple[Pruned, ...]:
    """What `prune` would free; removes nothing."""
    found = []
    for job in jobs:
        why, freed = _why_kept(job), Freed()
        if why is None:
            with ledger.transaction():
                _gather(ledger, job.id, now - older_than_s)
                freed = _contents(ledger)
            for path in _gathered(ledger):
                if path.exists():
                    freed = freed.plus(path.stat().st_size)
        found.append(_pruned(job, freed, why))
    return tuple(found)


def note_missing(ledger: Ledger, jobs: Sequence[JobRow], *, now: int) -> None:
    """Let the ledger say of files of these jobs that nothing needs and that are not there that they are removed; under the home's lock.

    A ledger that is older than its spool does not know what was pruned since.
    """
    for job in jobs:
        with ledger.transaction():
            _gather(ledger, job.id, now)
            for row in list(ledger.rows("select rowid, file, batch, kind from prunable")):
                if _path(ledger, row).exists():
                    ledger.execute("delete from prunable where rowid = ?", (row["rowid"],))
            mark_requests(ledger, "select file from prunable where file is not null", ())
            mark_results(ledger, "select batch from prunable where batch is not null", (), now)


def _pruned(job: JobRow, freed: Freed, kept: str | None) -> Pruned:
    return Pruned(
        job=job.name,
        profile=job.profile,
        file_count=freed.file_count,
        bytes=freed.bytes,
        kept=kept,
    )


def _why_kept(job: JobRow) -> str | None:
    if job.is_stale:
        return "its outputs are not written yet"
    if not (Path(job.outputs) / MANIFEST).is_file():
        return f"its outputs are not in {job.outputs}"
    for picture in IMAGE_FILES.last(Path(job.outputs)):
        # Beside its file, a picture is nowhere but in the result line that would go.
        if size_of_own(Path(job.outputs) / picture.file) != picture.bytes:
            return f"{picture.file} is not in {job.outputs} as it was written"
    return None


def _gather(ledger: Ledger, job: int, cutoff: int) -> None:
    """Fill the temporary table `prunable`; inside the caller's transaction."""
    ledger.execute(
        "create temp table if not exists prunable (file integer, batch integer, kind integer) strict"
    )
    ledger.execute("delete from prunable")
    view = job_view(ledger, job)
    ledger.execute(_REQUESTS, (job, cutoff, view.first_item, view.end_item))
    ledger.execute(_RESULTS, (job, cutoff))


def _contents(ledger: Ledger) -> Freed:
    """The attached contents that only gathered request files name."""
    row = ledger.row(
        "select count(*) as n, coalesce(sum(bytes), 0) as bytes from attachments where digest not in "
        "(select digest from attached where file not in (select file from prunable where file is not null))"
    )
    assert row is not None
    return Freed(row["n"], row["bytes"])


def _gathered(ledger: Ledger) -> list[Path]:
    return [_path(ledger, row) for row in ledger.rows("select file, batch, kind from prunable")]


def _path(ledger: Ledger, row: sqlite3.Row) -> Path:
    if row["file"] is not None:
        return ledger.home.request_file(row["file"])
    return ledger.home.result_file(row["batch"], row["kind"])
