"""Forgetting in the spool of a lost ledger, which was set aside and is kept for the answers that no service has any more.

No row leads to its lines, and its numbers are those of another ledger. So items are known there by the hash of their id in the custom_id, of
whichever job, and items without an id by the bytes of their request. What is told so goes; what an older state of the data asked stays
unknown, so `forget` says that there is more.

It comes before the rows go, which know the ids: a process that dies in it has forgotten nothing yet, and the same command begins again.
"""

import os
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import xxhash

from batchrun.customids import custom_id, parts_of, request_parts
from batchrun.keeping.blanking import Items, blank_lines, custom_id_in
from batchrun.ledger.aside import set_aside
from batchrun.ledger.connection import Ledger
from batchrun.ledger.home import Home
from batchrun.ledger.requestfiles import read_tail
from batchrun.ledger.spool import disk_error, fsync_folder

# Of no use without the ledger that they belong to: what SQLite kept beside it, the items' columns by number, and what requests attach.
_USELESS: Final = ("batchrun.db*", "fields/*", "attachments/*")


def _hash_of(key: str | None) -> int:
    return int(custom_id(0, 1, key).rpartition("-")[2], 16)


_KEYLESS: Final = _hash_of(None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """How the chosen items are known in another ledger's spool: `hashes` of ids, `digests` of requests without one, and their `numbers` here."""

    hashes: Items
    digests: Items
    numbers: Items


@dataclass(slots=True)
class _Numbers:
    """Numbers in one set-aside spool of the items without an id: of those that are wanted, and of others."""

    wanted: "array[int]" = field(default_factory=lambda: array("q"))
    others: "array[int]" = field(default_factory=lambda: array("q"))


def blank_set_aside(ledger: Ledger, items: str) -> None:
    """Blank the lines of these items (a select of ids) in every set-aside spool; files and folders in which nothing is left go.

    Memory: a few bytes an item. Raises LedgerError where the disk refuses.
    """
    folders = set_aside(ledger.home)
    if not folders:
        return
    wanted = _wanted(ledger, items)
    try:
        for folder in folders:
            for pattern in _USELESS:
                _remove(folder.glob(pattern))
            _blank_folder(folder, wanted)
            _remove(path for path in folder.glob("*/*.jsonl") if not _has_text(path))
            _remove_empty(folder)
    except OSError as exc:
        raise disk_error(Path(exc.filename or ledger.home.path), exc) from exc


def told_of_set_aside(home: Home) -> tuple[str, ...]:
    """In words, what is left there."""
    return tuple(
        f"{folder} holds the spool of a lost ledger. Lines that bear the ids of what was forgotten, or its requests, are gone from it; what "
        "items without an id asked before their data changed cannot be told there. Remove the folder once `batchrun recover` has brought back what you want of it."
        for folder in set_aside(home)
    )


def _wanted(ledger: Ledger, items: str) -> _Wanted:
    keyless = f"select id, file, offset from item_rows where id in ({items}) and key is null order by file, offset"
    return _Wanted(
        hashes=Items(
            _hash_of(row["key"])
            for row in ledger.rows(
                f"select key from item_rows where id in ({items}) and key is not null"
            )
        ),
        digests=Items(_digests(ledger, keyless)),
        numbers=Items(row["id"] for row in ledger.rows(keyless)),
    )


def _digests(ledger: Ledger, keyless: str) -> Iterator[int]:
    """What the items without an id ask; nothing of those whose request files were pruned."""
    source, descriptor = None, -1
    try:
        for row in ledger.rows(keyless):
            if row["file"] is None:
                continue  # it could not be rendered, and was never asked
            if row["file"] != source:
                if descriptor >= 0:
                    os.close(descriptor)
                source, descriptor = row["file"], _opened(ledger.home.request_file(row["file"]))
            tail = read_tail(descriptor, row["offset"]) if descriptor >= 0 else None
            if tail is not None:
                yield _digest(tail)
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return -1


def _digest(tail: bytes) -> int:
    return xxhash.xxh3_64_intdigest(tail) >> 1  # fits a signed number


def _blank_folder(folder: Path, wanted: _Wanted) -> None:
    numbers = _Numbers()
    for path in sorted(folder.glob("requests/*.jsonl")):
        blank_lines(path, partial(_is_request_of, wanted=wanted, numbers=numbers))
    found = Items(numbers.wanted)
    others = Items(numbers.others)
    for path in sorted(folder.glob("results/*.jsonl")):
        blank_lines(path, partial(_is_result_of, wanted=wanted, found=found, others=others))


def _is_request_of(line: bytes, _: int, wanted: _Wanted, numbers: _Numbers) -> bool:
    found = request_parts(line)
    if found is None or (parts := parts_of(found[0])) is None:
        return True  # half blank, or cut
    number, _send, hashed = parts
    if hashed != _KEYLESS:
        return hashed in wanted.hashes
    is_wanted = _digest(found[1]) in wanted.digests
    (numbers.wanted if is_wanted else numbers.others).append(number)
    return is_wanted


def _is_result_of(line: bytes, _: int, wanted: _Wanted, found: Items, others: Items) -> bool:
    name = custom_id_in(line)
    if name is None:
        return True  # it was cut or garbled, and may be theirs
    if (parts := parts_of(name)) is None:
        return False
    number, _send, hashed = parts
    if hashed != _KEYLESS:
        return hashed in wanted.hashes
    # Where its request was not set aside with it, the number is one that both ledgers gave.
    return number in found or (number in wanted.numbers and number not in others)


def _has_text(path: Path) -> bool:
    with path.open("rb") as file:
        return any(not line.isspace() for line in file)


def _remove(paths: Iterator[Path]) -> None:
    for path in list(paths):
        path.unlink(missing_ok=True)


def _remove_empty(folder: Path) -> None:
    for inner in (*(path for path in folder.iterdir() if path.is_dir()), folder):
        if not any(inner.iterdir()):
            inner.rmdir()
            fsync_folder(inner.parent)
