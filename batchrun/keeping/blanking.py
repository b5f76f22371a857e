"""Blanking lines of spool files in place: spaces of the same length, so that the places of all other lines stay what the ledger says they are.

Writing over them, not writing the file anew, needs no second copy of a file of 200 MB and leaves none of the old one on the disk's free
blocks, as far as the file system allows. It is not one step: a process that dies in it leaves a line half blank, and such a line is blanked
to its end by the next, since nothing whole looks like it.
"""

import os
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from batchrun.customids import request_parts
from batchrun.endpoints.tolerant import as_object, parse
from batchrun.ledger.connection import Ledger
from batchrun.ledger.origins import naming
from batchrun.ledger.spool import checksum_of, disk_error, written
from batchrun.ledger.states import FileState
from batchrun.running.results import ERROR, OUTPUT

_Naming = Callable[[str], int | None]


class _ResultLine(msgspec.Struct):
    custom_id: str


_decode_result: Final = msgspec.json.Decoder(_ResultLine).decode
# Where the answers of the items that stay begin in a result file.
_OWNED: Final = " union ".join(
    f"select offset from {table} where item between ?1 and ?2 and batch = ?3 and kind = ?4 and offset is not null"
    for table in ("result_rows", "history")
)


class Items:
    """Numbers, of items or places; eight bytes each. None, a stranger's number, is never among them."""

    def __init__(self, items: Iterable[int]) -> None:
        self._sorted = array("q", sorted(items))

    def __contains__(self, item: int | None) -> bool:
        if item is None:
            return False
        at = bisect_left(self._sorted, item)
        return at < len(self._sorted) and self._sorted[at] == item

    @property
    def bounds(self) -> tuple[int, int]:
        """The lowest and the highest; (1, 0) of none."""
        return (self._sorted[0], self._sorted[-1]) if self._sorted else (1, 0)


class _Recorded(NamedTuple):
    """A spool file, the checksum that the ledger has of it, and how that is changed: the statement, and what follows the checksum in it."""

    path: Path
    checksum: str | None
    record: str
    key: tuple[int, ...]


def blank_requests(ledger: Ledger, job: int, items: Items) -> None:
    """Blank the lines of these items in every request file of the job, and record the checksums that the files have then."""
    files = ledger.rows(
        "select id, checksum from request_files where job = ? and state in (?, ?) and first_item <= ? and last_item >= ?",
        (job, FileState.FRESH, FileState.USED, items.bounds[1], items.bounds[0]),
    )
    for file in list(files):
        _take_out(
            ledger,
            _Recorded(
                path=ledger.home.request_file(file["id"]),
                checksum=file["checksum"],
                record="update request_files set checksum = ? where id = ?",
                key=(file["id"],),
            ),
            partial(_is_request_of, items=items, whose=_naming(ledger, "request_file", file["id"])),
        )


def blank_results(ledger: Ledger, batch: int, items: Items) -> None:
    """The same in the result files of a batch, and in downloads of them that could not be read; lines that nobody can tell whose they are go too.

    A line that is some other item's answer stays, however strange it looks.
    """
    row = ledger.row("select first_item, last_item from batch_rows where id = ?", (batch,))
    assert row is not None
    is_of = partial(_is_result_of, items=items, whose=_naming(ledger, "id", batch))
    files = ledger.rows(
        "select kind, checksum from result_files where batch = ? and removed_at is null", (batch,)
    )
    for file in list(files):
        span = (row["first_item"], row["last_item"], batch, file["kind"])
        owned = Items(found["offset"] for found in ledger.rows(_OWNED, span))
        _take_out(
            ledger,
            _Recorded(
                path=ledger.home.result_file(batch, file["kind"]),
                checksum=file["checksum"],
                record="update result_files set checksum = ? where batch = ? and kind = ?",
                key=(batch, file["kind"]),
            ),
            partial(is_of, owned=owned),
        )
    for kind in (OUTPUT, ERROR):
        suspect = ledger.home.suspect_file(batch, kind)
        blank_lines(suspect, partial(is_of, owned=Items(())))


def drop_fields(ledger: Ledger, submission: int, items: Items) -> None:
    """Write the fields file of a submission again without these items; its lines are found by reading, so they may move."""
    path = ledger.home.fields_file(submission)
    try:
        with path.open("rb") as file:
            if not any(_field_item(line) in items for line in file):
                return
            file.seek(0)
            with written(path) as target:
                target.writelines(line for line in file if _field_item(line) not in items)
    except FileNotFoundError:
        return
    except OSError as exc:
        raise disk_error(path, exc) from exc


def blank_lines(path: Path, is_wanted: Callable[[bytes, int], bool]) -> None:
    """Blank the lines of a file, of which the ledger has no checksum, that are wanted by their text and place; one that is gone has none."""
    _blank(path, _places(path, is_wanted))


def _take_out(ledger: Ledger, file: _Recorded, is_wanted: Callable[[bytes, int], bool]) -> None:
    """Blank the wanted lines of a file, and record the checksum that it has then.

    One that was damaged before keeps the checksum with which it was written, so that `verify` still names it.
    """
    places = _places(file.path, is_wanted)
    if not places and file.checksum is not None:
        return
    if file.checksum not in (None, _checksum(file.path)):
        _blank(file.path, places)
        return
    # Without a checksum, from here on: a process that dies half-way must not leave one that is wrong.
    _record(ledger, file, None)
    _blank(file.path, places)
    _record(ledger, file, _checksum(file.path))


def _record(ledger: Ledger, file: _Recorded, checksum: str | None) -> None:
    with ledger.transaction():
        ledger.execute(file.record, (checksum, *file.key))


def _field_item(line: bytes) -> int:
    return int(line[1 : line.index(b",")])


def _naming(ledger: Ledger, column: str, number: int) -> _Naming:
    """Whom the custom_ids of the batch with this value in `column` name."""
    return naming(ledger, ledger.value(f"select id from batch_rows where {column} = ?", (number,)))


def _is_request_of(line: bytes, _: int, items: Items, whose: _Naming) -> bool:
    found = request_parts(line)
    return found is None or whose(found[0]) in items


def _is_result_of(line: bytes, at: int, items: Items, owned: Items, whose: _Naming) -> bool:
    if at in owned:
        return False
    custom_id = custom_id_in(line)
    # One that names nobody is half blank, or was cut by the service: nothing points to it, and it may be theirs.
    return custom_id is None or whose(custom_id) in items


def custom_id_in(line: bytes) -> str | None:
    """Whom a line of a result file names; None where it names nobody."""
    try:
        return _decode_result(line).custom_id
    except (msgspec.DecodeError, UnicodeDecodeError):
        custom_id = as_object(parse(line.decode("utf-8", "replace"))).get("custom_id")
        return custom_id if isinstance(custom_id, str) else None


def _places(path: Path, is_wanted: Callable[[bytes, int], bool]) -> "array[int]":
    """Start and length of the wanted lines, one after the other; blank lines are never wanted. A file that is gone has none."""
    places = array("q")
    end = 0
    try:
        with path.open("rb") as file:
            for line in file:
                start, end = end, end + len(line)
                text = line.rstrip(b"\n")
                if text and not text.isspace() and is_wanted(text, start):
                    places.extend((start, len(text)))
    except FileNotFoundError:
        return places
    except OSError as exc:
        raise disk_error(path, exc) from exc
    return places


def _blank(path: Path, places: "array[int]") -> None:
    if not places:
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
        try:
            for start, length in zip(places[::2], places[1::2], strict=True):
                os.pwrite(descriptor, b" " * length, start)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as exc:
        raise disk_error(path, exc) from exc


def _checksum(path: Path) -> str | None:
    try:
        return checksum_of(path)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise disk_error(path, exc) from exc
