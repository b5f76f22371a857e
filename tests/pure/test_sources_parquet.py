"""Parquet as a source: every type that JSON has, the others refused by column, bad values by row."""

import importlib.util
import io
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchrun.jobfile import Problems, load, read_items
from batchrun.jobfile.sources.parquet import read_parquet
from batchrun.model import ITEM_LINE_LIMIT_BYTES, JobSettings

Rows = list[tuple[int, dict[str, Any]]]


def read(folder: Path, items: str = "d.parquet", **how: Any) -> tuple[Rows, list[str]]:
    job = JobSettings(
        name="a", path=str(folder / "j.jsonl"), line=1, items=str(folder / items), **how
    )
    problems = Problems()
    blocks = list(read_items(job, problems))
    assert all(len(block.fields) == len(block.lines) for block in blocks)
    rows = [row for block in blocks for row in zip(block.lines, block.fields, strict=True)]
    return rows, [f"{problem.line}: {problem.what}" for problem in problems]


def write(folder: Path, table: pa.Table, name: str = "d.parquet", **how: Any) -> Path:
    pq.write_table(table, folder / name, **how)
    return folder / name


AT = datetime(2026, 9, 21, 14, 13, 20, 500_000, tzinfo=UTC)
VALUES = [
    (pa.array([None], pa.null()), None),
    (pa.array([True]), True),
    (pa.array([2**64 - 1], pa.uint64()), 2**64 - 1),
    (pa.array([-5], pa.int8()), -5),
    (pa.array([0.1], pa.float32()), 0.1),
    (pa.array([1.5], pa.float16()), 1.5),
    (pa.array([1 / 3]), 1 / 3),
    (pa.array([None], pa.float32()), None),
    (pa.array(["naïve\0"]), "naïve\0"),
    (pa.array(["x"], pa.large_string()), "x"),
    (pa.array(["x"]).dictionary_encode(), "x"),
    (pa.array([0.1], pa.float32()).dictionary_encode(), 0.1),
    (pa.array([Decimal("0.00000010")]), "0.00000010"),
    (pa.array([None], pa.decimal128(5, 2)), None),
    (pa.array([date(2026, 1, 2)]), "2026-01-02"),
    (pa.array([time(4, 5, 6)], pa.time32("s")), "04:05:06"),
    (pa.array([AT], pa.timestamp("us")), "2026-09-21T14:13:20.500000"),
    (pa.array([AT], pa.timestamp("ms", "UTC")), "2026-09-21T14:13:20.500Z"),
    (pa.array([AT], pa.timestamp("us", "+02:00")), "2026-09-21T16:13:20.500000+02:00"),
    (pa.array([AT.replace(microsecond=0)], pa.timestamp("ns")), "2026-09-21T14:13:20"),
    (pa.array([None], pa.timestamp("s")), None),
    (pa.array([["a", None]]), ["a", None]),
    (pa.array([[0.1], None], pa.list_(pa.float32()))[:1], [0.1]),
    (pa.array([None], pa.list_(pa.float32())), None),
    (pa.array([[1.0, 2.0]], pa.list_(pa.float64(), 2)), [1.0, 2.0]),
    (pa.array([["x"]], pa.large_list(pa.string())), ["x"]),
    (pa.array([{"on": date(2026, 1, 2), "n": 1}]), {"on": "2026-01-02", "n": 1}),
    (pa.array([{"x": 0.1, "n": 1}]), {"x": 0.1, "n": 1}),
    (pa.array([None], pa.struct([("x", pa.float64())])), None),
]


@pytest.mark.parametrize(("array", "value"), VALUES, ids=[str(a.type) for a, _ in VALUES])
def test_a_value_is_what_json_has_for_it(tmp_path: Path, array: pa.Array, value: Any) -> None:
    write(tmp_path, pa.table({"v": array}))
    assert read(tmp_path) == ([(1, {"v": value})], [])


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        (pa.binary(), "JSON has no bytes"),
        (pa.large_binary(), "JSON has no bytes"),
        (pa.binary(4), "JSON has no bytes"),
        (pa.list_(pa.binary()), "JSON has no bytes"),
        (pa.struct([("x", pa.duration("s"))]), "JSON has nothing like it"),
        (pa.map_(pa.string(), pa.int32()), "JSON has nothing like it"),
    ],
)
def test_a_type_that_json_lacks_is_refused_by_its_column(
    tmp_path: Path, kind: pa.DataType, what: str
) -> None:
    write(tmp_path, pa.table({"id": ["a"], "col": pa.array([None], kind)}))
    rows, (problem,) = read(tmp_path)
    assert rows == []
    assert problem.startswith("None: column 'col' is of type ")
    assert problem.endswith(f": {what}")


def test_a_dictionary_of_what_json_lacks_is_refused_too(tmp_path: Path) -> None:
    write(tmp_path, pa.table({"col": pa.array([b"x"]).dictionary_encode()}))
    assert "JSON has no bytes" in read(tmp_path)[1][0]


def test_two_fields_of_one_name_are_refused(tmp_path: Path) -> None:
    pair = pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"])
    write(tmp_path, pa.table({"col": pair}))
    assert "two of its fields have one name" in read(tmp_path)[1][0]


@pytest.mark.parametrize(
    ("names", "what"),
    [
        (["a", "a"], "duplicate column 'a' in the schema"),
        (["a", " "], "column 2 of the schema has no name"),
    ],
)
def test_columns_need_names_of_their_own(tmp_path: Path, names: list[str], what: str) -> None:
    write(tmp_path, pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=names))
    assert read(tmp_path) == ([], [f"None: {what}"])


def test_numbers_that_json_lacks_are_problems_of_their_rows(tmp_path: Path) -> None:
    nan, infinite = float("nan"), float("inf")
    write(
        tmp_path,
        pa.table(
            {
                "x": [1.0, nan, 2.0, 3.0],
                "v": pa.array([[1], [1], [infinite], [1]], pa.list_(pa.float32())),
            }
        ),
    )
    rows, problems = read(tmp_path)
    assert rows == [(1, {"x": 1.0, "v": [1.0]}), (4, {"x": 3.0, "v": [1.0]})]
    assert problems == [
        "2: column 'x' is NaN or infinite, and JSON has no such number",
        "3: column 'v' is NaN or infinite, and JSON has no such number",
    ]


def test_a_text_that_is_no_utf8_is_a_problem_of_its_row(tmp_path: Path) -> None:
    broken = pa.array([b"fine", b"\xff", None]).view(pa.string())
    write(tmp_path, pa.table({"t": broken}))
    rows, problems = read(tmp_path)
    assert rows == [(1, {"t": "fine"}), (3, {"t": None})]
    assert problems == ["2: column 't' is a text that is no UTF-8"]


def test_rows_are_numbered_through_all_row_groups_of_all_files_of_a_glob(tmp_path: Path) -> None:
    write(tmp_path, pa.table({"n": list(range(5))}), "a.parquet", row_group_size=2)
    write(tmp_path, pa.table({"n": [9]}), "b.PARQUET")
    rows, problems = read(tmp_path, "*.[pP]*")
    assert [line for line, _ in rows] == [1, 2, 3, 4, 5, 1]
    assert [fields["n"] for _, fields in rows] == [0, 1, 2, 3, 4, 9]
    assert problems == []


def test_a_table_without_rows_is_no_problem_and_one_without_columns_has_empty_items(
    tmp_path: Path,
) -> None:
    write(tmp_path, pa.table({"n": pa.array([], pa.int64())}))
    assert read(tmp_path) == ([], [])


def test_large_rows_come_a_few_at_a_time(tmp_path: Path) -> None:
    path = write(tmp_path, pa.table({"t": ["x" * 100_000] * 10}))
    blocks = list(read_parquet(str(path), "d", Problems(), 4_096))
    assert max(len(block.fields) for block in blocks) <= 3
    assert sum(len(block.fields) for block in blocks) == 10


def test_a_row_that_no_request_could_hold_is_a_problem(tmp_path: Path) -> None:
    write(tmp_path, pa.table({"t": ["x" * (ITEM_LINE_LIMIT_BYTES + 1), "short"]}))
    rows, problems = read(tmp_path)
    assert rows == [(2, {"t": "short"})]
    assert problems == [f"1: a row of more than {ITEM_LINE_LIMIT_BYTES:,} characters"]


def test_what_is_no_parquet_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "d.parquet").write_bytes(b"PAR1 and then nothing of the kind")
    rows, (problem,) = read(tmp_path)
    assert rows == []
    assert problem.startswith("None: no Parquet file, or a damaged one: ")
    assert read(tmp_path, "gone.parquet") == ([], ["None: there is no such file"])


def test_a_file_that_ends_in_the_middle_of_its_data_is_told(tmp_path: Path) -> None:
    path = write(tmp_path, pa.table({"t": [str(n) * 50 for n in range(2_000)]}), compression="none")
    whole = path.read_bytes()
    path.write_bytes(whole[:4] + bytes(3_000) + whole[3_004:])
    _, problems = read(tmp_path)
    assert problems
    assert "no Parquet file, or a damaged one" in problems[-1]


def test_a_disk_that_does_not_give_the_file_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Torn(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError(5, "Input/output error")

    whole = write(tmp_path, pa.table({"n": [1]})).read_bytes()
    monkeypatch.setattr("builtins.open", lambda *_: Torn(whole))
    assert read(tmp_path) == ([], ["None: not readable: Input/output error"])


def test_without_pyarrow_the_fix_is_one_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, pa.table({"n": [1]}))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    problems = Problems()
    job = JobSettings(name="a", path="j", line=1, items=str(path))
    assert list(read_items(job, problems)) == []
    jobs = tmp_path / "j.jsonl"
    jobs.write_text('{"job": "a", "items": "d.parquet", "output": {"parquet": true}}\n')
    for problem in (*problems, *load(jobs).jobs[0].problems):
        assert problem.what == "Parquet needs pyarrow, which is not installed"
        assert problem.fix == "Run: pip install 'batchrun[parquet]'"
