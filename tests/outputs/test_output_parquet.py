"""The table as Parquet: typed columns, embeddings as lists of floats, row groups of bounded size, the same bytes again."""

import importlib.util
import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from factory import AT, World

from batchrun.errors import LedgerError
from batchrun.ledger.states import ItemState
from batchrun.model import OutputSettings
from batchrun.outputs import parquet, rows
from batchrun.outputs.results import stream_results
from batchrun.outputs.writing import write_outputs

EMBEDDINGS = "/v1/embeddings"


def _table(world: World, job: int) -> pa.Table:
    data = b"".join(stream_results(world.ledger, job, format="parquet"))
    return pq.read_table(io.BytesIO(data))


def _column(world: World, job: int, name: str) -> tuple[str, list[Any]]:
    column = _table(world, job)[name]
    return str(column.type), column.to_pylist()


def test_the_columns_are_those_of_the_csv_table_in_the_same_order(world: World) -> None:
    job = world.job()
    items = [world.answered(job, "a", {"city": "Lyon"}), world.failed(job, "b", "refusal")]
    world.fields(job, [(item, {"id": n, "text": "t"}) for n, item in enumerate(items)])
    header = b"".join(stream_results(world.ledger, job, format="csv")).decode().split("\n")[0]
    table = _table(world, job)
    assert table.column_names == header.split(",")
    assert table.to_pylist()[0] == {
        "id": 0, "text": "t", "status": "succeeded", "city": "Lyon", "finish": "stop", "cause": None, "message": None, "attempts": 1,
        "model": "gpt-5-mini", "input_tokens": 100, "cached_tokens": 20, "cache_write_tokens": 30, "output_tokens": 10, "reasoning_tokens": 4,
    }  # fmt: skip
    assert table["cause"].to_pylist() == [None, "refusal"]


@pytest.mark.parametrize(
    ("values", "kind", "stored"),
    [
        ([True, None, False], "bool", [True, None, False]),
        ([1, -2], "int64", [1, -2]),
        ([1, 2.5], "double", [1.0, 2.5]),
        ([1e300], "double", [1e300]),
        ([12345678901234567890], "string", ["12345678901234567890"]),
        (["x", None], "string", ["x", None]),
        (["x", 1, True], "string", ["x", "1", "true"]),
        ([True, 1], "string", ["true", "1"]),
        ([[1, "a"], {"b": None}], "string", ['[1,"a"]', '{"b":null}']),
        ([None], "string", [None]),
    ],
)
def test_a_column_has_the_type_that_all_its_values_have(
    world: World, values: list[Any], kind: str, stored: list[Any]
) -> None:
    job = world.job()
    for n, value in enumerate(values):
        world.answered(job, f"i{n}", {"v": value})
    assert _column(world, job, "v") == (kind, stored)


def test_an_embedding_is_a_list_of_floats_of_whatever_length_and_null_without_an_answer(
    world: World,
) -> None:
    job = world.job(endpoint=EMBEDDINGS)
    world.answered(job, "a", b"[0.5, -1.25e-1]")
    world.failed(job, "b")
    world.answered(job, "c", b"[3]")
    kind, stored = _column(world, job, "output")
    assert kind == "list<element: float>"
    assert stored == [[0.5, -0.125], None, [3.0]]


def test_items_with_several_embeddings_have_lists_of_lists(world: World) -> None:
    job = world.job(endpoint=EMBEDDINGS)
    world.answered(job, "a", b"[0.5,1]")
    world.answered(job, "b", b"[ [1,2],[3,4]]")
    world.item(job, "c", ItemState.PENDING)
    kind, stored = _column(world, job, "output")
    assert kind == "list<element: list<element: float>>"
    assert stored == [[[0.5, 1.0]], [[1.0, 2.0], [3.0, 4.0]], None]


def test_a_number_beyond_any_float_is_infinity(world: World) -> None:
    job = world.job(endpoint=EMBEDDINGS)
    world.answered(job, "a", b"[1e300, %b, -%b]" % (b"9" * 400, b"9" * 400))
    infinity = float("inf")
    assert _column(world, job, "output")[1] == [[infinity, infinity, -infinity]]


def test_row_groups_are_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    job = world.job(endpoint=EMBEDDINGS)
    for n in range(5):
        world.answered(job, f"i{n}", [n] * 4)
    monkeypatch.setattr(rows, "BLOCK_ITEMS", 1)

    def sizes() -> list[int]:
        data = b"".join(stream_results(world.ledger, job, format="parquet"))
        found = pq.ParquetFile(io.BytesIO(data))
        assert found.read()["output"].to_pylist() == [[float(n)] * 4 for n in range(5)]
        return [found.metadata.row_group(n).num_rows for n in range(found.num_row_groups)]

    assert sizes() == [5]
    with monkeypatch.context() as patched:
        patched.setattr(parquet, "_GROUP_ROWS", 3)
        assert sizes() == [3, 2]
    monkeypatch.setattr(parquet, "_GROUP_BYTES", 1)
    assert sizes() == [1, 1, 1, 1, 1]


def test_a_job_without_items_has_the_columns_and_no_row(world: World) -> None:
    table = _table(world, world.job())
    assert table.num_rows == 0
    assert "status" in table.column_names


def test_it_is_written_on_request_and_removed_when_it_is_not_asked_for_any_more(
    world: World,
) -> None:
    job = world.job(output=OutputSettings(parquet=True))
    world.answered(job, "a", "fine")
    folder = write_outputs(world.ledger, job, now=AT).folder
    first = (folder / "results.parquet").read_bytes()
    assert pq.read_table(folder / "results.parquet")["output"].to_pylist() == ["fine"]
    write_outputs(world.ledger, job, now=AT)
    assert (folder / "results.parquet").read_bytes() == first
    world.execute(
        "update jobs set settings = json_set(settings, '$.output.parquet', json('false'))"
    )
    write_outputs(world.ledger, job, now=AT)
    assert not (folder / "results.parquet").exists()


def test_without_pyarrow_the_error_has_the_command(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = world.job()
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(LedgerError, match=r"pip install 'batchrun\[parquet\]'"):
        list(stream_results(world.ledger, job, format="parquet"))
    assert not parquet.is_ours_to_judge(Path("results.parquet"))


def test_only_a_file_of_this_very_pyarrow_can_be_judged_by_its_bytes(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = world.job(output=OutputSettings(parquet=True))
    path = write_outputs(world.ledger, job, now=AT).folder / "results.parquet"
    assert parquet.is_ours_to_judge(path)
    monkeypatch.setattr(pa, "cpp_build_info", pa.cpp_build_info._replace(version="1.2.3"))
    assert not parquet.is_ours_to_judge(path)
    path.write_bytes(b"no Parquet at all")
    assert parquet.is_ours_to_judge(path), "damaged: it is not what would be written"
