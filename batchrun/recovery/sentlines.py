"""The requests that stand in files: in an input file that was sent, and in the request files of a job here."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import xxhash

from batchrun.customids import parts_of, request_parts
from batchrun.ledger.connection import Ledger
from batchrun.ledger.requestfiles import FileKind
from batchrun.ledger.states import FileState

_BUFFER_BYTES: Final = 1 << 18


class SentRequest(NamedTuple):
    """One line of an input file. `number`, `send` and `h` are the parts of its custom_id; `digest` is of everything after it."""

    custom_id: str
    number: int
    send: int
    h: int
    digest: bytes | None
    offset: int = 0


def read_requests(path: Path) -> Iterator[SentRequest]:
    """The requests of a file as batchrun writes them; lines of any other form are left out. `offset` is where the digested part begins."""
    for name, parts, tail, offset in request_lines(path):
        yield SentRequest(name, *parts, xxhash.xxh3_128_digest(tail), offset)


def request_lines(path: Path) -> Iterator[tuple[str, tuple[int, int, int], bytes, int]]:
    """(custom_id, its parts, what follows it, where that begins) of each request."""
    end = 0
    with path.open("rb", buffering=_BUFFER_BYTES) as file:
        for line in file:
            end += len(line)
            if (found := request_parts(line)) is None:
                continue
            name, tail = found
            if (parts := parts_of(name)) is not None:
                yield name, parts, tail.removesuffix(b"\n"), end - len(tail)


def files_asking(ledger: Ledger, job: int) -> list[int]:
    """The request files that items of the job point into, also those that are not here any more and are not known to be removed."""
    return [
        int(row["id"])
        for row in ledger.rows(
            "select id from request_files where job = ? and kind in (?, ?) and state in (?, ?)",
            (job, FileKind.RENDERED, FileKind.DEFERRED, FileState.FRESH, FileState.USED),
        )
    ]
