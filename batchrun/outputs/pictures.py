"""Pictures in answers: the ledger tells of them, the result lines in the spool hold them, and `images/` has each as a file.

A picture that is neither in its file nor in the spool any more (the spool was pruned, and the file is gone) is shown as missing.
"""

import hashlib
import itertools
from array import array
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec

from batchrun.endpoints.images import IMAGE_URLS
from batchrun.endpoints.pictures import PICTURED, decoded, packed_in, told_beside
from batchrun.endpoints.tolerant import as_object, objects
from batchrun.ledger.connection import Ledger
from batchrun.ledger.states import ItemState
from batchrun.model import Json, JsonObject
from batchrun.outputs.disk import FileEntry
from batchrun.outputs.evidence import json_value, result_bytes
from batchrun.outputs.indexed import (
    IMAGE_FILES,
    IndexedFile,
    Listed,
    holds,
    index_line,
    mark,
    size_of_own,
)
from batchrun.outputs.names import distinct_name, safe_name
from batchrun.outputs.rows import JobView, item_blocks

_OF_IMAGES: Final = f"endpoint in ({', '.join(map(repr, IMAGE_URLS))})"
_ALONE: Final = '{"images":['  # how an answer begins that is nothing but pictures
_BESIDE: Final = '"images":[{'  # in extras that tell of pictures
# The index result_rows_pictures has exactly these rows.
_IS_BESIDE: Final = f"instr(extras, '{_BESIDE}') > 0"
_COLUMNS: Final = "coalesce(i.key, i.name), r.output, r.extras, r.batch, r.kind, r.offset, r.length"
# A failed item's last row may still be an older answer.
_WHERE: Final = f"(r.outcome <> 0 or i.state = {int(ItemState.SUCCEEDED)})"
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode


class _Row(NamedTuple):
    """An answer as the ledger has it, and where its result line is."""

    id: str
    output: str | None
    extras: str | None
    batch: int
    kind: int | None
    offset: int | None
    length: int | None


def has_pictures(ledger: Ledger, job: JobView) -> bool:
    """Whether any answer of the job may have pictures. Cheap: read are indexes and batches, and the items of a job of images up to its first answer."""
    # Items of other jobs may lie between those of this one.
    mine = "i.job = ?1 and i.vanished = 0"
    return bool(
        ledger.value(
            f"select exists (select 1 from batch_rows where job = ?1 and {_OF_IMAGES}) and exists ("
            "select 1 from item_rows i not indexed cross join result_rows r on r.item = i.id "
            f"where i.id >= ?2 and i.id < ?3 and {mine} and i.state = {int(ItemState.SUCCEEDED)} "
            f"and r.batch in (select id from batch_rows where job = ?1 and {_OF_IMAGES})) "
            "or exists (select 1 from result_rows r cross join item_rows i on i.id = r.item "
            f"where r.item >= ?2 and r.item < ?3 and {_IS_BESIDE} and {mine} and {_WHERE})",
            (job.id, job.first_item, job.end_item),
        )
    )


def write_pictures(ledger: Ledger, job: JobView) -> FileEntry:
    """Write the file of every picture that is to be had, and then the index; returns the index's entry."""
    return IMAGE_FILES.write(job.folder, Pictures(ledger, job).files())


def index_lines(ledger: Ledger, job: JobView) -> Iterator[bytes]:
    """The lines of `images.jsonl` as they would be written now; writes nothing."""
    return map(index_line, Pictures(ledger, job).files())


class Pictures:
    """Those of one job. All names are settled at the start; 8 bytes a picture are held, and what one result line holds."""

    def __init__(self, ledger: Ledger, job: JobView) -> None:
        self._ledger, self._job = ledger, job
        self._folder = job.folder / IMAGE_FILES.name
        batches = ledger.rows(
            f"select id from batch_rows where job = ? and {_OF_IMAGES}", (job.id,)
        )
        self._of_images = frozenset(row["id"] for row in batches)
        self._line: tuple[_Row | None, dict[str, bytes]] = (None, {})
        self._shared: frozenset[int] = frozenset()
        marks = array("Q")
        for row, pictures in self._rows():
            marks.extend(mark(name) for name in self._names(row, pictures).values())
        self._shared = frozenset(a for a, b in itertools.pairwise(sorted(marks)) if a == b)

    def files(self) -> Iterator[IndexedFile]:
        """The file of every picture that is to be had, in output order."""
        for row, pictures in self._rows():
            names = self._names(row, pictures)
            for picture in pictures:
                # A picture that an answer has twice is one file.
                name = names.pop(picture.get("sha256", ""), None)
                if name is None:
                    continue
                listed = Listed(
                    id=row.id,
                    file=f"{IMAGE_FILES.name}/{name}",
                    bytes=picture["bytes"],
                    sha256=picture["sha256"],
                )
                content = None
                if not holds(self._folder / name, listed):
                    content = self._contents(row).get(listed.sha256)
                    if content is None:
                        continue
                yield IndexedFile(listed=listed, content=content)

    def shown_output(self, *columns: Any) -> str | None:
        """An answer that is pictures by the names of their files: one name, or a list of several; any other as it is."""
        row = _Row(*columns)
        pictures = self._pictures_of(row)
        answer = self._in_output(row, pictures)
        if not answer:
            return row.output
        names = self._names(row, pictures)
        shown = [self._shown(row, picture, names) for picture in answer]
        return _encode(shown[0] if len(shown) == 1 else shown).decode()

    def shown_extras(self, *columns: Any) -> str | None:
        """What came beside an answer; each picture in it has its `file`."""
        row = _Row(*columns)
        if row.extras is None or _BESIDE not in row.extras:
            return row.extras
        names = self._names(row, self._pictures_of(row))
        members = _decode(row.extras)
        for picture in _beside(members):
            if "sha256" in picture:
                picture["file"] = self._shown(row, picture, names)
        return _encode(members).decode()

    def _rows(self) -> Iterator[tuple[_Row, list[JsonObject]]]:
        joins = "join result_rows r on r.item = i.id"
        for rows in item_blocks(self._ledger, self._job, _COLUMNS, joins=joins, where=_WHERE):
            for row in map(_Row._make, rows):
                if pictures := self._pictures_of(row):
                    yield row, pictures

    def _pictures_of(self, row: _Row) -> list[JsonObject]:
        """All pictures of an answer, in their order."""
        if row.batch in self._of_images:
            return _alone(row.output)
        if row.extras is not None and _BESIDE in row.extras:
            return list(_beside(_decode(row.extras)))
        return []

    def _in_output(self, row: _Row, pictures: list[JsonObject]) -> list[JsonObject]:
        """Those that are the answer itself; none where it is anything else."""
        if not pictures or row.batch in self._of_images:
            return pictures
        # An answer of JSON could look the same: it is told from pictures by what came beside it.
        told = {picture["sha256"] for picture in pictures if "sha256" in picture}
        answer = _alone(row.output)
        return answer if all(picture.get("sha256") in told for picture in answer) else []

    def _names(self, row: _Row, pictures: list[JsonObject]) -> dict[str, str]:
        """File names by sha256: `<id>.png`, or `<id>-1.png` and so on where an answer has several pictures."""
        names: dict[str, str] = {}
        for number, picture in enumerate(pictures, 1):
            digest = picture.get("sha256")
            if digest is None or digest in names:
                continue
            stem = row.id if len(pictures) == 1 else f"{row.id}-{number}"
            name = safe_name(f"{stem}.{picture['format']}")
            names[digest] = distinct_name(name, row.id) if mark(name) in self._shared else name
        return names

    def _shown(self, row: _Row, picture: JsonObject, names: dict[str, str]) -> Json:
        digest = picture.get("sha256")
        if digest is None:
            return picture.get("url") or {"missing": picture.get("broken")}
        path = f"{IMAGE_FILES.name}/{names[digest]}"
        # The size is enough here: `verify` looks at every byte.
        if size_of_own(self._job.folder / path) == picture["bytes"] or digest in self._contents(
            row
        ):
            return path
        return {"missing": f"{path} is gone, and so is the result line that held it"}

    def _contents(self, row: _Row) -> dict[str, bytes]:
        """The pictures in the result line of an answer by their sha256; none where the line is gone or damaged."""
        last, contents = self._line
        if last is None or last[3:] != row[3:]:
            line = result_bytes(self._ledger, row.batch, row.kind, row.offset, row.length)
            contents = _contents_of(json_value(line))
            self._line = (row, contents)
        return contents


def _contents_of(line: Json) -> dict[str, bytes]:
    body = as_object(as_object(as_object(line).get("response")).get("body"))
    found = map(decoded, packed_in(body))
    return {
        hashlib.sha256(content).hexdigest(): content for content in found if content is not None
    }


def _alone(output: str | None) -> list[JsonObject]:
    """The pictures of an answer that is nothing else."""
    found = _decode(output) if output is not None and output.startswith(_ALONE) else {}
    pictures = list(objects(found.get("images")))
    return pictures if found == {"images": pictures} else []


def _beside(extras: JsonObject) -> Iterator[JsonObject]:
    """The pictures that came beside an answer."""
    for name in PICTURED:
        yield from told_beside(extras.get(name))
