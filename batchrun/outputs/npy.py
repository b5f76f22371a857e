"""Embeddings as a matrix for numpy: `embeddings.npy`, and `embeddings.ids.jsonl`, which says whose vector each row is.

Rows are in output order; items without an answer have none. Vectors of different lengths make no matrix, and nothing that could be compared:
then each length has its pair of files, `embeddings-256.npy` and so on.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

import msgspec

from batchrun.ledger.connection import Ledger
from batchrun.ledger.states import ItemState
from batchrun.outputs.rows import JobView, item_blocks
from batchrun.outputs.vectors import is_several, little_endian, vectors

_NAME: Final = "embeddings"
NAMES: Final = re.compile(r"embeddings(-[0-9]+)?\.(npy|ids\.jsonl)")
_HEADER_MULTIPLE: Final = 64  # the data begins at a multiple of this (numpy's NEP 1)
_encode: Final = msgspec.json.Encoder().encode


def embedding_files(ledger: Ledger, job: JobView) -> Iterator[tuple[str, Iterator[bytes]]]:
    """(name, blocks) of every file, each pair the matrix and its ids. Reads the answers once to count them, and once a file."""
    counts = _counts(ledger, job)
    for length, count in sorted(counts.items()) or [(0, 0)]:
        name = _NAME if len(counts) <= 1 else f"{_NAME}-{length}"
        yield f"{name}.npy", _matrix(ledger, job, length, count)
        yield f"{name}.ids.jsonl", _ids(ledger, job, length)


def _matrix(ledger: Ledger, job: JobView, length: int, count: int) -> Iterator[bytes]:
    yield _header(count, length)
    for rows in _answers(ledger, job):
        found = (vector for _, output in rows for vector in vectors(output))
        yield b"".join(little_endian(vector) for vector in found if len(vector) == length)


def _ids(ledger: Ledger, job: JobView, length: int) -> Iterator[bytes]:
    row = 0
    for rows in _answers(ledger, job):
        lines = []
        for item_id, output in rows:
            for index, found in enumerate(_lengths(output)):
                if found == length:
                    lines.append(_encode({"row": row, "id": item_id, "index": index}) + b"\n")
                    row += 1
        yield b"".join(lines)


def _counts(ledger: Ledger, job: JobView) -> Counter[int]:
    """How many vectors there are of each length."""
    counts: Counter[int] = Counter()
    for rows in _answers(ledger, job):
        for _, output in rows:
            counts.update(_lengths(output))
    return counts


def _lengths(output: bytes) -> list[int]:
    """Of the vectors of an answer: a plain one is counted by its commas, a thirtieth of the work."""
    if is_several(output):
        return [len(vector) for vector in vectors(output)]
    return [output.count(b",") + 1]


def _answers(ledger: Ledger, job: JobView) -> Iterator[list[tuple[str, bytes]]]:
    return item_blocks(
        ledger,
        job,
        "coalesce(i.key, i.name), cast(r.output as blob)",
        joins="join result_rows r on r.item = i.id",
        where=f"i.state = {int(ItemState.SUCCEEDED)}",
    )


def _header(count: int, length: int) -> bytes:
    """The header of a .npy file, version 1.0: little-endian 32-bit floats, row after row."""
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({count}, {length}), }}"
    magic = b"\x93NUMPY\x01\x00"
    padding = -(len(magic) + 2 + len(text) + 1) % _HEADER_MULTIPLE
    body = text.encode("ascii") + b" " * padding + b"\n"
    return magic + len(body).to_bytes(2, "little") + body
