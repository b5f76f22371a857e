"""What the spool proves of one item: the bytes that were sent and received. What was pruned is None, never an error."""

import itertools
import mmap
from pathlib import Path

import msgspec

from batchrun.followups import Turn, composed
from batchrun.ledger.connection import Ledger
from batchrun.ledger.requestfiles import read_tail
from batchrun.ledger.states import FileState
from batchrun.model import Json


def sent_custom_id(path: Path, item: int) -> str | None:
    """The custom_id under which an input file asks for the item. The file is searched, since it alone says what was sent."""
    line = _line_with(path, b'{"custom_id":"%d-' % item)
    return None if line is None else line.split(b'"', 4)[3].decode("ascii", "replace")


def sent_request(path: Path, prefix: bytes) -> Json:
    """The request that an input file asks under the custom_id which its line begins with; None where it does not, or was pruned."""
    return json_value(_line_with(path, prefix))


def _line_with(path: Path, beginning: bytes) -> bytes | None:
    """The first line of a file that begins so."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as held:
            at = held.find(beginning)
            while at > 0 and held[at - 1] != ord("\n"):
                at = held.find(beginning, at + 1)  # the same text inside a body of somebody's
            if at < 0:
                return None
            end = held.find(b"\n", at)
            return held[at : end if end >= 0 else len(held)]
    except (OSError, ValueError):
        return None  # pruned, or empty


def nth_request(path: Path, number: int) -> Json:
    """The request on a line of an input file, from 1; None where there is none, or it was pruned."""
    try:
        with path.open("rb") as file:
            return json_value(next(itertools.islice(file, max(number - 1, 0), None), None))
    except OSError:
        return None


def request_at(
    ledger: Ledger, file: int | None, offset: int | None, turns: tuple[Turn, ...] = ()
) -> Json:
    """The request without its custom_id, as its turns made it, decoded; None where there is none or its file was pruned."""
    if file is None or offset is None:
        return None
    try:
        with ledger.home.request_file(file).open("rb") as sent:
            tail = read_tail(sent.fileno(), offset)
    except OSError:
        return None
    if tail is None:
        return None
    try:
        return json_value(b"{" + composed(tail, turns))
    except (msgspec.DecodeError, KeyError):
        return None  # damaged: `verify` tells


def is_request_pruned(ledger: Ledger, file: int | None) -> bool:
    """Whether the ledger says that this request file was removed."""
    state = ledger.value("select state from request_files where id = ?", (file,))
    return state is not None and state == FileState.REMOVED


def is_result_pruned(ledger: Ledger, batch: int, kind: int | None) -> bool:
    """Whether the ledger says that this result file was removed."""
    return bool(
        ledger.value(
            "select removed_at is not null from result_files where batch = ? and kind = ?",
            (batch, kind),
        )
    )


def raw_line(
    ledger: Ledger, batch: int, kind: int | None, offset: int | None, length: int | None
) -> str | None:
    """The result line as it was received, without its newline; bytes that are no UTF-8 are shown as U+FFFD."""
    line = result_bytes(ledger, batch, kind, offset, length)
    return None if line is None else line.decode("utf-8", "replace").rstrip("\r\n")


def result_bytes(
    ledger: Ledger, batch: int, kind: int | None, offset: int | None, length: int | None
) -> bytes | None:
    """The bytes of a result line, or None where there is none or its file was pruned."""
    return None if kind is None else _bytes_at(ledger.home.result_file(batch, kind), offset, length)


def _bytes_at(path: Path, offset: int | None, length: int | None) -> bytes | None:
    if offset is None or length is None:
        return None
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(length)
    except OSError:
        return None


def json_value(text: bytes | None) -> Json:
    """A decoded value, or None where it is no JSON: a damaged spool must not hide the rest of the story."""
    try:
        return None if text is None else msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
