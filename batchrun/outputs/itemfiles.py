"""One file per answer, in `files/`, and `files.jsonl`, the index that says which file is whose.

A file that already holds the right bytes is left alone, so a nightly run touches only what changed. A file whose item is gone is removed if
the last index lists it and it still holds what we wrote: what somebody edited or put there stays.
"""

import hashlib
import itertools
import os
import secrets
import stat
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import xxhash

from batchrun.jobfile.template import Template, TemplateError, Where, compile_template
from batchrun.ledger.connection import Ledger
from batchrun.ledger.spool import TEMP_SUFFIX, disk_error, fsync_folder, sweep_temps
from batchrun.ledger.states import ItemState
from batchrun.model import Json
from batchrun.outputs.disk import FileEntry, make_inner_folder, put, read_own, remove
from batchrun.outputs.fields import LISTED_COLUMNS, LISTED_JOIN, FieldReader
from batchrun.outputs.lines import RESULT_JOIN
from batchrun.outputs.names import distinct_name, is_ours, safe_name
from batchrun.outputs.rows import JobView, item_blocks
from batchrun.outputs.values import file_bytes

FOLDER: Final = "files"
INDEX: Final = "files.jsonl"
_SUCCEEDED: Final = int(ItemState.SUCCEEDED)
_decode_fields: Final = msgspec.json.Decoder(dict[str, Any]).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class _Listed:
    """One line of the index."""

    id: str
    file: str
    bytes: int
    sha256: str


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(_Listed).decode


def write_item_files(ledger: Ledger, job: JobView) -> FileEntry:
    """Write every answer's file and then the index; returns the index's entry."""
    folder = job.folder / FOLDER
    make_inner_folder(folder)
    sweep_temps(folder)
    return put(job.folder / INDEX, _written_lines(ledger, job, folder, old=_listed(job.folder)))


def remove_item_files(folder: Path) -> None:
    """Undo `write_item_files` of an earlier run whose job asked for files; a folder that is empty then goes too."""
    for line in _listed(folder):
        _remove_own(folder / FOLDER, line)
    remove(folder / INDEX)
    try:
        (folder / FOLDER).rmdir()
    except OSError:
        return  # it holds what is not ours, or was never there


def item_file_names(ledger: Ledger, job: JobView) -> Iterator[tuple[str, str, bytes | None]]:
    """(id, file name, answer or None) of every item in output order. Names are settled before the first one is handed out."""
    shared = _shared_names(ledger, job)
    for item_id, name, answer in _rendered(ledger, job, with_answers=True):
        yield item_id, distinct_name(name, item_id) if _mark(name) in shared else name, answer


def index_lines(ledger: Ledger, job: JobView) -> Iterator[bytes]:
    """The lines of `files.jsonl` as they would be written now; writes nothing."""
    for _, _, entry in _entries(ledger, job):
        yield entry


def _entries(ledger: Ledger, job: JobView) -> Iterator[tuple[str, bytes, bytes]]:
    """(file name, content, line of the index) of every answer, in output order."""
    for item_id, name, answer in item_file_names(ledger, job):
        if answer is None:
            continue
        content = file_bytes(answer)
        listed = _Listed(
            id=item_id,
            file=f"{FOLDER}/{name}",
            bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
        )
        yield name, content, _encode(listed) + b"\n"


def _written_lines(
    ledger: Ledger, job: JobView, folder: Path, *, old: Iterator[_Listed]
) -> Iterator[bytes]:
    """Write the files, and give the lines of the new index."""
    marks = array("Q")
    for name, content, entry in _entries(ledger, job):
        _put_unless_same(folder, name, content)
        marks.append(_mark(name))
        yield entry
    # Before the new index takes the place of the old one: a crash in between must not forget what is ours.
    kept = array("Q", sorted(marks))
    for line in old:
        mark = _mark(Path(line.file).name)
        at = bisect_left(kept, mark)
        if at == len(kept) or kept[at] != mark:
            _remove_own(folder, line)
    try:
        fsync_folder(folder)
    except OSError as exc:
        raise disk_error(folder, exc) from exc


def _rendered(
    ledger: Ledger, job: JobView, *, with_answers: bool
) -> Iterator[tuple[str, str, bytes | None]]:
    template = _template(job)
    reader = None if template.variables <= {"id"} else FieldReader(ledger, job)
    answer = (
        f"case when i.state = {_SUCCEEDED} then cast(r.output as blob) end"
        if with_answers
        else "null"
    )
    columns = f"{LISTED_COLUMNS}, coalesce(i.key, i.name), {answer}"
    joins = f"{LISTED_JOIN} {RESULT_JOIN if with_answers else ''}"
    for rows in item_blocks(ledger, job, columns, joins=joins):
        for item, is_listed, item_id, output in rows:
            taken = reader.take(item, is_listed=bool(is_listed)) if reader is not None else None
            fields: dict[str, Json] = {} if taken is None else _decode_fields(taken)
            fields["id"] = item_id
            try:
                name = template.render(fields)
            except TemplateError:
                # The answer is paid for and must land somewhere: the id names it where the template cannot.
                name = item_id
            yield item_id, safe_name(name), output


def _template(job: JobView) -> Template:
    text = job.settings.output.files
    assert text is not None
    where = Where(path=job.settings.path, line=job.settings.line, key="output.files")
    return compile_template(text, where=where)


def _shared_names(ledger: Ledger, job: JobView) -> frozenset[int]:
    """Marks of the names that more than one item would take, upper and lower case being one: 8 bytes an item, not its name."""
    marks = array("Q", (_mark(name) for _, name, _ in _rendered(ledger, job, with_answers=False)))
    ordered = sorted(marks)
    return frozenset(a for a, b in itertools.pairwise(ordered) if a == b)


def _mark(name: str) -> int:
    return xxhash.xxh3_64_intdigest(name.lower().encode())


def _put_unless_same(folder: Path, name: str, content: bytes) -> None:
    """Write one file as the spool does, but for the folder's fsync, which comes once at the end."""
    path = folder / name
    if _holds(path, content):
        return
    temp = folder / f".{secrets.token_hex(8)}{TEMP_SUFFIX}"
    try:
        descriptor = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(descriptor)
            temp.rename(path)
        except BaseException:
            temp.unlink(missing_ok=True)
            raise
    except OSError as exc:
        raise disk_error(path, exc) from exc


def _holds(path: Path, content: bytes) -> bool:
    try:
        known = os.lstat(path)
    except OSError:
        return False
    # A second name of the same file would let somebody else change it later.
    is_plain = stat.S_ISREG(known.st_mode) and known.st_nlink == 1 and not known.st_mode & 0o022
    return is_plain and known.st_size == len(content) and read_own(path) == content


def _listed(folder: Path) -> Iterator[_Listed]:
    """What the index of an earlier run lists; lines that are not ours to believe are passed over."""
    try:
        descriptor = os.open(folder / INDEX, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return
    with os.fdopen(descriptor, "rb") as file:
        for line in file:
            try:
                listed = _decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue
            prefix, _, name = listed.file.partition("/")
            if prefix == FOLDER and is_ours(name):
                yield listed


def _remove_own(folder: Path, line: _Listed) -> None:
    path = folder / Path(line.file).name
    if folder.is_symlink():
        return
    content = read_own(path)
    if content is not None and hashlib.sha256(content).hexdigest() == line.sha256:
        remove(path)
