"""Bad items in the outputs: at their place in the data, with the id and the columns that they have there."""

import csv
import io
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from runnerkit import World

from batchrun.model import JsonObject

ROWS: list[JsonObject] = [
    {"id": "1", "text": None, "n": 1},
    {"id": "2", "text": None, "n": 2},
    {"id": "3", "text": "good", "n": 3},
    {"id": "4", "text": None, "n": 4},
    {"id": "5", "text": "good too", "n": 5},
]
GOOD = {"3", "5"}
EVERYTHING = {"csv": True, "excel": True, "parquet": True}


def job(
    world: World,
    rows: Sequence[JsonObject],
    source: Path | JsonObject | None = None,
    **changes: Any,
) -> None:
    path = world.write([] if source else rows, **{"bad_items": 5, "output": EVERYTHING, **changes})
    if source:
        items = source if isinstance(source, dict) else str(source)
        path.write_text(json.dumps(json.loads(path.read_text()) | {"items": items}))
    assert world.submit(allow_missing=True).error is None
    world.run()


def lines(world: World) -> list[dict[str, Any]]:
    return [json.loads(line) for line in world.output("results.jsonl").splitlines()]


def tables(world: World) -> Iterator[list[dict[str, Any]]]:
    for name in ("results.csv", "results.excel.csv"):
        yield list(csv.DictReader(io.StringIO(world.output(name).decode("utf-8-sig"))))
    yield pq.read_table(pa.BufferReader(world.output("results.parquet"))).to_pylist()


def written(folder: Path, ending: str, rows: Sequence[Mapping[str, Any]]) -> Path | None:
    if not ending:
        return None
    path = folder / f"data.{ending}"
    if ending == "parquet":
        pq.write_table(pa.Table.from_pylist(list(rows)), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("ending", ["", "jsonl", "parquet"])
def test_bad_items_have_their_ids_columns_and_places_in_every_output(
    world: World, tmp_path: Path, ending: str
) -> None:
    job(world, ROWS, written(tmp_path, ending, ROWS))
    assert [line["id"] for line in lines(world)] == ["1", "2", "3", "4", "5"]
    for table in tables(world):
        assert [(row["id"], str(row["n"])) for row in table] == [
            (str(n), str(n)) for n in range(1, 6)
        ]
        assert {row["id"] for row in table if row["status"] == "succeeded"} == GOOD
        assert {row["cause"] for row in table if row["id"] not in GOOD} == {"bad_item"}


def test_what_the_reader_of_a_source_finds_bad_keeps_its_place_too(
    world: World, tmp_path: Path
) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(b"id,text\na,x\nb\nc,y\nd,\xff\ne,z\nf,1,2\n")
    job(world, (), path)
    names = [line["id"].rpartition("data.")[2] for line in lines(world)]
    assert names == ["a", "csv:3", "c", "csv:5", "e", "csv:7"]
    for table in tables(world):
        assert [row["id"].rpartition("data.")[2] for row in table] == names


def test_the_bad_items_of_several_files_stand_where_their_files_do(
    world: World, tmp_path: Path
) -> None:
    for name, text in (("1", "a"), ("2", None), ("3", "b"), ("4", None)):
        (tmp_path / f"{name}.jsonl").write_text(
            "{\n" if text is None else json.dumps({"id": name, "text": text}) + "\n{\n"
        )
    job(world, (), tmp_path / "*.jsonl")
    names = [line["id"].rpartition("/")[2] for line in lines(world)]
    assert names == ["1", "1.jsonl:2", "2.jsonl:1", "3", "3.jsonl:2", "4.jsonl:1"]


def test_a_repeated_id_stands_where_it_was_repeated(world: World) -> None:
    rows = [{"id": "a", "text": "x"}, {"id": "a", "text": "y"}, {"id": "b", "text": "z"}]
    job(world, rows)
    assert [line["id"] for line in lines(world)] == ["a", "reviews.jsonl:3", "b"]
    for table in tables(world):
        assert [(row["id"], row["text"]) for row in table] == [("a", "x"), ("a", "y"), ("b", "z")]


@pytest.mark.parametrize("missing", ["drop", "keep"])
def test_another_order_and_other_bad_items_are_those_of_the_newest_data(
    world: World, missing: str
) -> None:
    job(world, ROWS, missing=missing)
    newer = [
        {**ROWS[4], "text": "now"},
        ROWS[3],
        {**ROWS[0], "text": "mended"},
        ROWS[2],
        {"id": "9"},
    ]
    job(world, newer, missing=missing)
    order = ["5", "4", "1", "3", "9"]
    assert [line["id"] for line in lines(world)] == order
    for table in tables(world):
        assert [row["id"] for row in table] == order
        assert [str(row["n"] or "") for row in table] == ["5", "4", "1", "3", ""]
    job(world, ROWS[2:3], missing=missing, bad_items=0)
    kept = ["3"] if missing == "drop" else ["3", "5", "1"]
    assert [line["id"] for line in lines(world)] == kept
    for table in tables(world):
        assert [(row["id"], str(row["n"])) for row in table] == [(one, one) for one in kept]


def test_bad_items_are_numbered_only_as_far_as_the_job_allows_them(world: World) -> None:
    world.write(ROWS, bad_items=2)
    assert world.submit().error is not None
    assert world.rows("select * from item_rows") == []


def nan_rows(folder: Path) -> Path:
    path = folder / "data.parquet"
    table = {"id": ["1", "2", "2"], "text": ["a", "b", "c"], "n": [1.0, float("nan"), float("nan")]}
    pq.write_table(pa.table(table), path)
    return path


def test_a_row_that_json_has_no_value_for_keeps_its_id_and_its_other_columns(
    world: World, tmp_path: Path
) -> None:
    job(world, (), nan_rows(tmp_path))
    assert [line["id"].rpartition("data.")[2] for line in lines(world)] == ["1", "2", "parquet:3"]
    for table in tables(world):
        assert [(row["id"], row["text"]) for row in table] == [("1", "a"), ("2", "b"), ("2", "c")]


def test_a_row_of_a_query_with_a_blob_keeps_its_id_and_its_other_columns(
    world: World, tmp_path: Path
) -> None:
    path = tmp_path / "data.db"
    with sqlite3.connect(path) as connection:
        connection.execute(
            "create table t as select 1 as id, 'a' as text, x'00' as n union all select 2, 'b', 7"
        )
    connection.close()
    job(world, (), {"sqlite": str(path), "query": "select id, text, n from t"})
    assert [line["id"] for line in lines(world)] == ["1", "2"]
    for table in tables(world):
        assert [(str(row["id"]), row["text"]) for row in table] == [("1", "a"), ("2", "b")]


def test_a_table_of_a_database_gets_bad_items_by_their_own_ids_only(
    world: World, tmp_path: Path
) -> None:
    path = world.job_file.parent / "answers.db"
    columns = {"status": "status"}
    table = {"sqlite": {"path": str(path), "table": "t", "key": "id", "columns": columns}}
    for rows, states in (
        (nan_rows(tmp_path), [("1", "succeeded"), ("2", "failed")]),
        (None, [("1", "succeeded"), ("2", "succeeded")]),
    ):
        job(world, [{"id": one, "text": "x"} for one in "12"], rows, output=table)
        with sqlite3.connect(path) as connection:
            found = connection.execute("select id, status from t order by id").fetchall()
        connection.close()
        assert found == states
