"""Parquet as a source: one item a row, streamed page by page; what JSON lacks becomes text where it has one, and is refused where it has none.

Dates and times become ISO 8601, decimals text with all their digits. A 32-bit float becomes the number that one would write down (0.1, not
0.10000000149011612). Rows are numbered from 1.
"""

import importlib.util
import math
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from batchrun.jobfile.lines import BLOCK_BYTES
from batchrun.jobfile.problems import Fault, ProblemSink
from batchrun.jobfile.sources.base import ItemBlock, header_fault, opened
from batchrun.model import ITEM_LINE_LIMIT_BYTES, Json, JsonObject

if TYPE_CHECKING:
    import pyarrow as pa

ENDING: Final = ".parquet"
_BATCH_ROWS: Final = 512  # decoded at once: what a file says of its bytes is after compression
_PAGE_BUFFER_BYTES: Final = 1 << 16
_NO_FRACTION: Final = re.compile(r"\.0+(?![0-9])")


def parquet_fault() -> Fault | None:
    """Why Parquet cannot be read or written here, or None."""
    if importlib.util.find_spec("pyarrow") is not None:
        return None
    return Fault(
        "Parquet needs pyarrow, which is not installed", "Run: pip install 'batchrun[parquet]'"
    )


def read_parquet(
    path: str, shown_path: str, problems: ProblemSink, block_count: int
) -> Iterator[ItemBlock]:
    """The rows of a Parquet file. Rows with a number that JSON lacks, or a text that is no UTF-8, go to `problems`.

    Raises Fault where the file is no Parquet file, has a column whose type JSON lacks, or pyarrow is missing. Memory: a page of each column
    and a block.
    """
    if fault := parquet_fault():
        raise fault
    import pyarrow as pa
    import pyarrow.parquet as pq

    with opened(path) as stream:
        try:
            file = pq.ParquetFile(stream, buffer_size=_PAGE_BUFFER_BYTES, pre_buffer=False)
            columns = _columns(file.schema_arrow)
            batches = file.iter_batches(batch_size=min(block_count, _BATCH_ROWS), use_threads=False)
            yield from _blocks(batches, columns, shown_path, problems)
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise Fault(
                f"no Parquet file, or a damaged one: {str(error).splitlines()[0]}",
                "Write it again, or convert it to JSONL.",
            ) from error


class _Column:
    """One column: its name, and how its Arrow values become JSON values."""

    def __init__(self, field: "pa.Field") -> None:
        self.name = str(field.name)
        self.type = field.type
        self._casts = _casts(field.type)
        self._finish = _finish_of(field.type)

    def values(self, array: "pa.Array") -> list[Json | Fault]:
        """The values of one batch; a Fault in place of one that JSON lacks."""
        for kind in self._casts:
            array = array.cast(kind)
        try:
            values: list[Json | Fault] = array.to_pylist()
        except UnicodeDecodeError:
            values = [self._one(value) for value in array]
        finish = self._finish
        if finish is None:
            return values
        return [value if isinstance(value, Fault) else self._finished(value) for value in values]

    def _one(self, value: "pa.Scalar") -> Json | Fault:
        try:
            return value.as_py()
        except UnicodeDecodeError:
            return Fault(f"column {self.name!r} is a text that is no UTF-8", "Write it as UTF-8.")

    def _finished(self, value: Json) -> Json | Fault:
        assert self._finish is not None
        try:
            return self._finish(value)
        except ValueError:
            return Fault(
                f"column {self.name!r} is NaN or infinite, and JSON has no such number",
                "Make it null.",
            )


def _columns(schema: "pa.Schema") -> list[_Column]:
    if fault := header_fault(schema.names, what="schema", fix="Rename one of them."):
        raise fault
    for field in schema:
        if what := _refused(field.type):
            raise Fault(
                f"column {field.name!r} is of type {field.type}: {what}",
                "Write it as text or numbers, or leave the column out.",
            )
    return [_Column(field) for field in schema]


def _blocks(
    batches: "Iterator[pa.RecordBatch]", columns: list[_Column], path: str, problems: ProblemSink
) -> Iterator[ItemBlock]:
    start = 1
    names = [column.name for column in columns]
    for batch in batches:
        # Of a batch with large texts only some rows are made at a time: as Python values they take several times the memory.
        step = max(1, min(len(batch), len(batch) * BLOCK_BYTES // max(1, batch.nbytes)))
        for first in range(0, len(batch), step):
            part = batch.slice(first, step)
            cells = [column.values(part.column(n)) for n, column in enumerate(columns)]
            fields: list[JsonObject] = []
            numbers: list[int] = []
            rows = zip(*cells, strict=True) if cells else iter([()] * len(part))
            for number, row in enumerate(rows, start + first):
                fault = next((value for value in row if isinstance(value, Fault)), None)
                if fault is not None:
                    kept = [None if isinstance(value, Fault) else value for value in row]
                    told = dict(zip(names, kept, strict=True))
                    problems.add(fault.of_item(path, number, fields=told))
                    continue
                if step == 1 and (fault := _size_fault(row)):
                    problems.add(fault.of_item(path, number))
                    continue
                fields.append(dict(zip(names, row, strict=True)))
                numbers.append(number)
            # Also where all rows are bad: whoever takes them sees them before the next ones are read.
            if len(part):
                yield ItemBlock(path=path, fields=fields, lines=numbers)
        start += len(batch)


def _size_fault(row: tuple[Json, ...]) -> Fault | None:
    if sum(len(value) for value in row if type(value) is str) <= ITEM_LINE_LIMIT_BYTES:
        return None
    return Fault(f"a row of more than {ITEM_LINE_LIMIT_BYTES:,} characters", "Split the item.")


def _refused(kind: "pa.DataType") -> str | None:
    """Why JSON has no such values; None for a type that is read."""
    from pyarrow import types as t

    if t.is_list(kind) or t.is_large_list(kind) or t.is_fixed_size_list(kind):
        return _refused(kind.value_type)
    if t.is_struct(kind):
        inner = [kind.field(n) for n in range(kind.num_fields)]
        if len({field.name for field in inner}) < len(inner):
            return "two of its fields have one name"
        return next((what for field in inner if (what := _refused(field.type))), None)
    if t.is_dictionary(kind):
        return _refused(kind.value_type)
    if t.is_binary(kind) or t.is_large_binary(kind) or t.is_fixed_size_binary(kind):
        return "JSON has no bytes"
    is_read = (
        t.is_null(kind)
        or t.is_boolean(kind)
        or t.is_integer(kind)
        or t.is_floating(kind)
        or t.is_string(kind)
        or t.is_large_string(kind)
        or t.is_string_view(kind)
        or t.is_decimal(kind)
        or t.is_date(kind)
        or t.is_time(kind)
        or t.is_timestamp(kind)
    )
    return None if is_read else "JSON has nothing like it"


def _casts(kind: "pa.DataType") -> "list[pa.DataType]":
    """The types to cast to, one after the other: dates and times to text, 32-bit floats to text and on to the number it says."""
    casts: list[pa.DataType] = []
    for is_last in (False, True):
        target = _cast(kind, is_last=is_last)
        if target != (casts[-1] if casts else kind):
            casts.append(target)
    return casts


def _cast(kind: "pa.DataType", *, is_last: bool) -> "pa.DataType":
    import pyarrow as pa
    from pyarrow import types as t

    if t.is_list(kind) or t.is_large_list(kind):
        return pa.large_list(_cast(kind.value_type, is_last=is_last))
    if t.is_fixed_size_list(kind):
        return pa.list_(_cast(kind.value_type, is_last=is_last), kind.list_size)
    if t.is_struct(kind):
        inner = (kind.field(n) for n in range(kind.num_fields))
        return pa.struct([(f.name, _cast(f.type, is_last=is_last)) for f in inner])
    if t.is_dictionary(kind):
        return _cast(kind.value_type, is_last=is_last)
    if t.is_float16(kind) or t.is_float32(kind):
        return pa.float64() if is_last else pa.string()
    if t.is_date(kind) or t.is_time(kind) or t.is_timestamp(kind):
        return pa.string()
    return kind


def _finish_of(kind: "pa.DataType") -> Callable[[Json], Json] | None:
    """What is left to do with the Python values of a column: None for most. It raises ValueError for NaN and infinity."""
    from pyarrow import types as t

    if t.is_dictionary(kind):
        return _finish_of(kind.value_type)
    if t.is_floating(kind):
        return _finite
    if t.is_decimal(kind):
        return _plain_decimal
    if t.is_timestamp(kind) or t.is_time(kind):
        return _iso
    if t.is_list(kind) or t.is_large_list(kind) or t.is_fixed_size_list(kind):
        inner = _finish_of(kind.value_type)
        return None if inner is None else lambda value: _mapped(value, inner)
    if t.is_struct(kind):
        fields = [kind.field(n) for n in range(kind.num_fields)]
        finishes = {f.name: finish for f in fields if (finish := _finish_of(f.type))}
        return (lambda value: _members(value, finishes)) if finishes else None
    return None


def _finite(value: Any) -> Any:
    if value is not None and not math.isfinite(value):
        raise ValueError
    return value


def _plain_decimal(value: Decimal | None) -> str | None:
    return None if value is None else format(value, "f")


def _iso(value: str | None) -> str | None:
    """`2026-09-21 16:13:20.500000+0200` -> `2026-09-21T16:13:20.500000+02:00`; a fraction of nothing but zeros goes."""
    if value is None:
        return None
    text = _NO_FRACTION.sub("", value.replace(" ", "T", 1))
    return f"{text[:-2]}:{text[-2:]}" if text[-5:-4] in {"+", "-"} and "T" in text else text


def _mapped(value: list[Json] | None, finish: Callable[[Json], Json]) -> list[Json] | None:
    return None if value is None else [finish(inner) for inner in value]


def _members(value: JsonObject | None, finishes: dict[str, Callable[[Json], Json]]) -> Json:
    if value is None:
        return None
    return {name: finishes[name](v) if name in finishes else v for name, v in value.items()}
