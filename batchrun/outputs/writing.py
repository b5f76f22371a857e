"""Writing all outputs of a job, `manifest.json` last: whoever loads them looks there first and checks the hashes.

Each file is old or new, never half. Written again from the same ledger they are the same bytes: the only times in them are the ledger's.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec

from batchrun.clock import rfc3339
from batchrun.ledger.connection import Ledger
from batchrun.ledger.spool import sweep_temps
from batchrun.model import JsonObject
from batchrun.outputs.csvfiles import EXCEL
from batchrun.outputs.database import write_table
from batchrun.outputs.disk import FileEntry, make_folder, put, read_own, remove
from batchrun.outputs.indexed import IMAGE_FILES, ITEM_FILES
from batchrun.outputs.itemfiles import write_item_files
from batchrun.outputs.lines import failure_lines, result_lines
from batchrun.outputs.optional import is_optional, optional_files
from batchrun.outputs.pictures import has_pictures, write_pictures
from batchrun.outputs.reporting import job_report, report_markdown
from batchrun.outputs.rows import JobView, job_view, snapshot

MANIFEST: Final = "manifest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What `write_outputs` left in `folder`. `files` are those of the manifest, in order; `counts` are items by state."""

    folder: Path
    files: tuple[FileEntry, ...]
    counts: dict[str, int]
    is_complete: bool
    at: int


def write_outputs(ledger: Ledger, job_id: int, *, now: int, defuse: bool = True) -> Written:
    """Write every output of a job from one snapshot of the ledger; under the home's lock. Memory does not grow with the job.

    `now` is reported back and stands in no file. `defuse`: cells of CSV tables that would start a formula are defused.
    Raises LedgerError where the disk or the user's database refuses (files that were finished stay, the others are the old ones),
    UsageError for no such job.
    """
    with snapshot(ledger):
        job = job_view(ledger, job_id)
        make_folder(job.folder)
        sweep_temps(job.folder)
        # Pictures come first: what names their files looks whether they are there.
        pictures = list(_pictures(ledger, job))
        files = [
            put(job.folder / "results.jsonl", result_lines(ledger, job)),
            put(job.folder / "failures.jsonl", failure_lines(ledger, job)),
        ]
        files += [*pictures, *_optional(ledger, job, defuse=defuse)]
        report = job_report(ledger, job_id)
        files += [
            put(job.folder / "report.json", [pretty(report)]),
            put(job.folder / "report.md", [report_markdown(report).encode()]),
        ]
        write_table(ledger, job)
    put(job.folder / MANIFEST, [pretty(_manifest(job, report, files))])
    return Written(
        folder=job.folder,
        files=tuple(files),
        counts=report["counts"],
        is_complete=report["complete"],
        at=now,
    )


def _optional(ledger: Ledger, job: JobView, *, defuse: bool) -> Iterable[FileEntry]:
    """The outputs that the job line asks for; those that an earlier job line asked for are removed."""
    last = _names_of_last(job.folder)
    kept = set()
    for file in optional_files(ledger, job, defuse=defuse):
        entry = put(job.folder / file.name, file.blocks)
        kept.add(file.name)
        cells = file.cut.count if file.name == EXCEL else None
        yield replace(entry, cut_cells=cells, whole_answers=file.cut.whole)
    for name in sorted(last - kept):
        if is_optional(name):
            remove(job.folder / name)
    if job.settings.output.files is not None:
        yield write_item_files(ledger, job)
    elif ITEM_FILES.index in last:
        ITEM_FILES.remove(job.folder)


def _pictures(ledger: Ledger, job: JobView) -> Iterable[FileEntry]:
    """The files of pictures, where there are any; those of an earlier job line are removed."""
    if has_pictures(ledger, job):
        yield write_pictures(ledger, job)
    elif IMAGE_FILES.index in _names_of_last(job.folder):
        IMAGE_FILES.remove(job.folder)


def _names_of_last(folder: Path) -> frozenset[str]:
    """Names that the manifest there lists: only what we wrote is ever removed."""
    try:
        manifest = msgspec.json.decode(read_own(folder / MANIFEST) or b"null")
        return frozenset(entry["name"] for entry in manifest["files"])
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError, KeyError):
        return frozenset()


def _manifest(job: JobView, report: JsonObject, files: list[FileEntry]) -> JsonObject:
    return {
        "job": job.name,
        "profile": job.profile,
        "complete": report["complete"],
        "submitted_at": None if job.submitted_at is None else rfc3339(job.submitted_at),
        "counts": report["counts"],
        "files": [file.listed() for file in files],
    }


def pretty(value: JsonObject) -> bytes:
    """A document as it stands in `report.json` and the manifest."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
