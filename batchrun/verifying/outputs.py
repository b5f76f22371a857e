"""Outputs: what the manifest lists is what is there, and the ledger would write the same bytes again.

Nothing is written for that: a fresh writing is streamed past the hash of what stands on disk. Jobs whose outputs are due (their ledger is
newer) are passed over: the next pass writes those.
"""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from batchrun.ledger.connection import Ledger
from batchrun.model import JsonObject
from batchrun.outputs import itemfiles, pictures
from batchrun.outputs.disk import read_own
from batchrun.outputs.indexed import IMAGE_FILES, INDEXED, ITEM_FILES
from batchrun.outputs.lines import failure_lines, result_lines
from batchrun.outputs.optional import JUDGES, optional_files
from batchrun.outputs.reporting import job_report, report_markdown
from batchrun.outputs.rows import JobView, job_view
from batchrun.outputs.writing import MANIFEST, pretty
from batchrun.verifying.files import sha256_of

_Listed = dict[str, tuple[int, str]]  # name -> bytes, sha256


def outputs_as_listed(ledger: Ledger) -> Iterator[str]:
    """Each file of the manifest, and each file of the index of item files, has the bytes and the hash that are listed."""
    for job in _written(ledger):
        listed = _manifest(job)
        if listed is None:
            yield f"{job.folder / MANIFEST} is not there, or cannot be read"
            continue
        for name, wanted in listed.items():
            yield from _compared(job.folder / name, wanted)
        for index in (indexed.index for indexed in INDEXED):
            if index in listed and sha256_of(job.folder / index) == listed[index]:
                yield from _indexed_files(job.folder, index)


def outputs_rewrite_alike(ledger: Ledger) -> Iterator[str]:
    """What would be written now against what the manifest lists."""
    for job in _written(ledger):
        listed = _manifest(job)
        if listed is None:
            continue  # outputs-as-listed tells
        fresh = _fresh(ledger, job)
        for name in sorted(fresh.keys() | listed.keys()):
            writings = fresh.get(name)
            if writings is None:
                yield f"{job.folder / name} is listed, and would not be written now"
            elif name not in listed:
                yield f"{job.folder / name} is not listed, and would be written now"
            elif name in JUDGES and not JUDGES[name](job.folder / name):
                continue
            elif not any(_digest(blocks) == listed[name] for blocks in writings):
                yield f"{job.folder / name} would be written with other bytes now"


def _written(ledger: Ledger) -> Iterator[JobView]:
    """Jobs whose outputs are as new as the ledger."""
    for row in list(
        ledger.rows("select id from jobs where submission is not null and stale = 0 order by id")
    ):
        yield job_view(ledger, row["id"])


def _manifest(job: JobView) -> _Listed | None:
    try:
        manifest = msgspec.json.decode(read_own(job.folder / MANIFEST) or b"null")
        listed = {e["name"]: (int(e["bytes"]), str(e["sha256"])) for e in manifest["files"]}
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError, KeyError, ValueError):
        return None
    # A name with a folder in it is none of ours, and is not to be opened.
    return listed if all(Path(name).name == name for name in listed) else None


def _indexed_files(folder: Path, index: str) -> Iterator[str]:
    with (folder / index).open("rb") as lines:
        for line in lines:
            listed: JsonObject = msgspec.json.decode(line)
            yield from _compared(folder / listed["file"], (listed["bytes"], listed["sha256"]))


def _compared(path: Path, wanted: tuple[int, str]) -> Iterator[str]:
    found = sha256_of(path)
    if found is None:
        yield f"{path} is not there"
    elif found != wanted:
        yield f"{path} is not what was written: it was changed since"


def _fresh(ledger: Ledger, job: JobView) -> dict[str, list[Iterable[bytes]]]:
    """Every output by name, as the writings that are right: a table may have been written with or without defused cells."""
    report = job_report(ledger, job.id)
    fresh: dict[str, list[Iterable[bytes]]] = {
        "results.jsonl": [result_lines(ledger, job)],
        "failures.jsonl": [failure_lines(ledger, job)],
        "report.json": [[pretty(report)]],
        "report.md": [[report_markdown(report).encode()]],
    }
    for defuse in (True, False):
        for file in optional_files(ledger, job, defuse=defuse):
            fresh.setdefault(file.name, []).append(file.blocks)
    if job.settings.output.files is not None:
        fresh[ITEM_FILES.index] = [itemfiles.index_lines(ledger, job)]
    if pictures.has_pictures(ledger, job):
        fresh[IMAGE_FILES.index] = [pictures.index_lines(ledger, job)]
    return fresh


def _digest(blocks: Iterable[bytes]) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    for block in blocks:
        digest.update(block)
        size += len(block)
    return size, digest.hexdigest()
