"""The joined table as Parquet, `results.parquet`: typed columns that load at once wherever Parquet is read.

A first pass finds each column's type, a second writes row groups of bounded bytes, so memory does not grow with the job. A column holds whole
numbers, numbers, booleans or text; what is mixed or nested is text, as its JSON. Embeddings are lists of 32-bit floats.
"""

import re
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from batchrun.errors import LedgerError
from batchrun.jobfile.sources.parquet import parquet_fault
from batchrun.ledger.connection import Ledger
from batchrun.outputs.rows import JobView
from batchrun.outputs.table import Columns, CutCells, Value, find_columns, table_rows
from batchrun.outputs.values import text_of
from batchrun.outputs.vectors import has_vectors, is_several, vectors

if TYPE_CHECKING:
    import pyarrow as pa

PARQUET: Final = "results.parquet"
_GROUP_BYTES: Final = 16 << 20  # of values, before they are encoded
_GROUP_ROWS: Final = 50_000
_INTEGER: Final = re.compile(rb"-?[0-9]{1,18}")  # all of these fit 64 bits
_NOTHING, _BOOLEAN, _WHOLE, _NUMBER, _TEXT = 0, 1, 2, 4, 8  # what was seen in a column, added up
_VECTORS: Final = "output"  # the column that holds them


def parquet_blocks(ledger: Ledger, job: JobView, *, cut: CutCells | None = None) -> Iterator[bytes]:
    """The file in blocks; `cut` as in `table_rows`. Raises LedgerError where pyarrow is not installed."""
    if fault := parquet_fault():
        raise LedgerError(f"{job.folder / PARQUET}: {fault.what}. {fault.fix}")
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = find_columns(ledger, job)
    builders = _builders(ledger, job, columns)
    schema = pa.schema([(name, builder.type) for name, builder in builders.items()])
    plain = [name for name, builder in builders.items() if not isinstance(builder, _Vectors)]
    pieces = _Pieces()
    with pq.ParquetWriter(
        pieces,
        schema,
        # Neither a dictionary nor compression makes anything of floats that are nearly random.
        compression={name: "zstd" if name in plain else "none" for name in builders},
        use_dictionary=plain,
    ) as writer:
        for rows in table_rows(ledger, job, columns, cut):
            for row in rows:
                for builder, value in zip(builders.values(), row, strict=True):
                    builder.add(value)
            held = sum(builder.bytes for builder in builders.values())
            if held >= _GROUP_BYTES or len(next(iter(builders.values()))) >= _GROUP_ROWS:
                writer.write_batch(_batch(builders, schema))
                yield from pieces.taken()
        if len(next(iter(builders.values()))):
            writer.write_batch(_batch(builders, schema))
    yield from pieces.taken()


def is_ours_to_judge(path: Path) -> bool:
    """Whether the file there was written by the pyarrow that is installed here: only that one can be told to write the same bytes again."""
    if parquet_fault() is not None:
        return False
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        found = pq.read_metadata(path).created_by
    except (OSError, pa.ArrowException):
        return True
    return str(found).endswith(f"version {pa.cpp_build_info.version}")


class _Pieces:
    """What pyarrow writes into, and blocks are taken from."""

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._size = 0
        self.closed = False

    def write(self, data: bytes) -> int:
        self._held.append(bytes(data))
        self._size += len(data)
        return len(data)

    def tell(self) -> int:
        return self._size

    def flush(self) -> None:
        """Nothing waits anywhere."""

    def close(self) -> None:
        self.closed = True

    def taken(self) -> Iterator[bytes]:
        held, self._held = self._held, []
        yield from held


class _Builder:
    """One column of the row group that is being filled."""

    def __init__(self, kind: "pa.DataType", seen: int) -> None:
        self.type = kind
        self.bytes = 0
        self._is_text = seen not in {_BOOLEAN, _WHOLE, _NUMBER, _WHOLE | _NUMBER}
        self._seen = seen
        self._values: list[Any] = []

    def __len__(self) -> int:
        return len(self._values)

    def add(self, value: Value) -> None:
        if value is None or value == b"null":
            self._values.append(None)
        elif self._is_text:
            text = _text(value)
            self._values.append(text)
            self.bytes += len(text)
        elif self._seen == _BOOLEAN:
            self._values.append(value == b"true")
        else:
            self._values.append(int(value) if self._seen == _WHOLE else float(value))
        self.bytes += 8

    def taken(self) -> "pa.Array":
        import pyarrow as pa

        values, self._values, self.bytes = self._values, [], 0
        return pa.array(values, self.type)


class _Vectors(_Builder):
    """The column of embeddings: a list of floats an item, or a list of such lists."""

    def __init__(self, *, is_nested: bool) -> None:
        import pyarrow as pa

        vector = pa.list_(pa.float32())
        super().__init__(pa.list_(vector) if is_nested else vector, _TEXT)
        self._is_nested = is_nested
        self._reset()

    def _reset(self) -> None:
        self.bytes = 0
        self._floats = array("f")
        self._ends = array("i", [0])  # of vectors, in floats
        self._item_ends = array("i", [0])  # of items, in vectors
        self._absent = bytearray()

    def __len__(self) -> int:
        return len(self._absent)

    def add(self, value: Value) -> None:
        found = vectors(value) if isinstance(value, bytes) else []
        for vector in found:
            self._floats.extend(vector)
            self._ends.append(len(self._floats))
        if not found and not self._is_nested:
            self._ends.append(len(self._floats))
        self._item_ends.append(len(self._ends) - 1)
        self._absent.append(not found)
        self.bytes = 4 * len(self._floats)

    def taken(self) -> "pa.Array":
        import pyarrow as pa

        floats = pa.Array.from_buffers(
            pa.float32(), len(self._floats), [None, pa.py_buffer(self._floats)]
        )
        is_absent = pa.array(map(bool, self._absent), pa.bool_())
        ends = pa.array(self._ends, pa.int32())
        if self._is_nested:
            inner = pa.ListArray.from_arrays(ends, floats)
            made = pa.ListArray.from_arrays(
                pa.array(self._item_ends, pa.int32()), inner, mask=is_absent
            )
        else:
            made = pa.ListArray.from_arrays(ends, floats, mask=is_absent)
        self._reset()
        return made


def _builders(ledger: Ledger, job: JobView, columns: Columns) -> dict[str, _Builder]:
    """A builder for each column, of the type that all its values have: found by reading them once."""
    seen = [_NOTHING] * len(columns.header)
    at = columns.header.index(_VECTORS) if has_vectors(job) and columns.has_output else -1
    is_nested = False
    for rows in table_rows(ledger, job, columns):
        for row in rows:
            for n, value in enumerate(row):
                if n != at:
                    seen[n] |= _kind(value)
                elif isinstance(value, bytes):
                    is_nested = is_nested or is_several(value)
    return {
        name: _Vectors(is_nested=is_nested) if n == at else _Builder(_type(seen[n]), seen[n])
        for n, name in enumerate(columns.header)
    }


def _kind(value: Value) -> int:
    if value is None or value == b"null":
        return _NOTHING
    if isinstance(value, bytes):
        first = value[:1]
        if first in b'"[{':
            return _TEXT
        if first in b"tf":
            return _BOOLEAN
        if _INTEGER.fullmatch(value):
            return _WHOLE
        # A whole number of more digits than any number of a column has is text, so that it keeps them.
        return _NUMBER if any(mark in value for mark in (b".", b"e", b"E")) else _TEXT
    return _TEXT if isinstance(value, str) else _WHOLE


def _type(seen: int) -> "pa.DataType":
    import pyarrow as pa

    types = {
        _BOOLEAN: pa.bool_(),
        _WHOLE: pa.int64(),
        _NUMBER: pa.float64(),
        _WHOLE | _NUMBER: pa.float64(),
    }
    return types.get(seen, pa.string())


def _text(value: Value) -> str:
    if isinstance(value, bytes):
        return text_of(value) if value[:1] == b'"' else value.decode()
    return str(value)


def _batch(builders: dict[str, _Builder], schema: "pa.Schema") -> "pa.RecordBatch":
    import pyarrow as pa

    return pa.RecordBatch.from_arrays([b.taken() for b in builders.values()], schema=schema)
