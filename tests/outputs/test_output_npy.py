"""Embeddings as a matrix for numpy, and the file that says whose vector each row is."""

import ast
import json
from array import array
from pathlib import Path
from typing import Any

from factory import AT, World

from batchrun.ledger.states import ItemState
from batchrun.model import OutputSettings
from batchrun.outputs.vectors import little_endian
from batchrun.outputs.writing import write_outputs

NPY = OutputSettings(npy=True)


def _matrix(path: Path) -> list[list[float]]:
    """The file as numpy reads it (NEP 1), row by row."""
    data = path.read_bytes()
    assert data[:8] == b"\x93NUMPY\x01\x00"
    length = int.from_bytes(data[8:10], "little")
    assert (10 + length) % 64 == 0
    header = ast.literal_eval(data[10 : 10 + length].decode("ascii"))
    assert (header["descr"], header["fortran_order"]) == ("<f4", False)
    count, width = header["shape"]
    floats = array("f", data[10 + length :])
    assert len(floats) == count * width
    return [list(floats[n * width : (n + 1) * width]) for n in range(count)]


def _ids(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _written(world: World, job: int) -> Path:
    return write_outputs(world.ledger, job, now=AT).folder


def test_rows_are_the_answers_in_output_order_and_the_others_have_none(world: World) -> None:
    job = world.job(endpoint="/v1/embeddings", output=NPY)
    a = world.answered(job, "a", b"[0.5, -0.25]")
    world.failed(job, "b")
    c = world.answered(job, "c", b"[1,2]")
    world.item(job, "d", ItemState.PENDING)
    world.order(c, a)
    folder = _written(world, job)
    assert _matrix(folder / "embeddings.npy") == [[1.0, 2.0], [0.5, -0.25]]
    assert _ids(folder / "embeddings.ids.jsonl") == [
        {"row": 0, "id": "c", "index": 0},
        {"row": 1, "id": "a", "index": 0},
    ]
    listed = {
        entry["name"] for entry in json.loads((folder / "manifest.json").read_text())["files"]
    }
    assert {"embeddings.npy", "embeddings.ids.jsonl"} <= listed


def test_an_item_with_several_vectors_has_a_row_for_each(world: World) -> None:
    job = world.job(endpoint="/v1/embeddings", output=NPY)
    world.answered(job, "a", b"[[1,2],[3,4]]")
    world.answered(job, "b", b"[5,6]")
    folder = _written(world, job)
    assert _matrix(folder / "embeddings.npy") == [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
    assert [(line["id"], line["index"]) for line in _ids(folder / "embeddings.ids.jsonl")] == [
        ("a", 0),
        ("a", 1),
        ("b", 0),
    ]


def test_vectors_of_different_lengths_stand_in_a_matrix_for_each_length(world: World) -> None:
    job = world.job(endpoint="/v1/embeddings", output=NPY)
    world.answered(job, "a", b"[1,2]")
    folder = _written(world, job)
    assert (folder / "embeddings.npy").exists()
    world.answered(job, "b", b"[3]")
    world.answered(job, "c", b"[[4,5],[6]]")
    _written(world, job)
    assert not (folder / "embeddings.npy").exists()
    assert not (folder / "embeddings.ids.jsonl").exists()
    assert _matrix(folder / "embeddings-1.npy") == [[3.0], [6.0]]
    assert _matrix(folder / "embeddings-2.npy") == [[1.0, 2.0], [4.0, 5.0]]
    assert _ids(folder / "embeddings-1.ids.jsonl") == [
        {"row": 0, "id": "b", "index": 0},
        {"row": 1, "id": "c", "index": 1},
    ]


def test_without_an_answer_the_matrix_is_empty(world: World) -> None:
    job = world.job(endpoint="/v1/embeddings", output=NPY)
    world.failed(job, "a")
    folder = _written(world, job)
    assert _matrix(folder / "embeddings.npy") == []
    assert (folder / "embeddings.ids.jsonl").read_bytes() == b""


def test_floats_are_little_endian_whatever_the_machine_is(monkeypatch: Any) -> None:
    vector = array("f", [1.0])
    assert little_endian(vector) == b"\x00\x00\x80\x3f"
    monkeypatch.setattr("sys.byteorder", "big")
    assert little_endian(vector) == b"\x3f\x80\x00\x00"
    assert list(vector) == [1.0]
