"""The bench measures what it says: its data, its steps and its table, on a few items and without a clock."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from bench.data import SCHEMA, write_items, write_job
from bench.direct import answer_all
from bench.estimating import write_prose
from bench.run import Figure, table
from bench.steps import STEPS
from bench.tick import calls_of_a_tick

COUNT = 300
REFUSED = 3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_items(tmp_path / "items.jsonl", COUNT)
    write_job(tmp_path / "job.jsonl", tmp_path / "items.jsonl")
    return tmp_path


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_the_floor_of_prepare_asks_the_same_questions(folder: Path) -> None:
    STEPS["prepare-floor"](folder, COUNT)
    found = STEPS["prepare"](folder, COUNT)

    assert found.keys() == {"ledger_bytes_an_item"}
    (sent,) = (folder / ".batchrun" / "spool" / "requests").glob("*.jsonl")
    ours, floor = _lines(sent), _lines(folder / "floor-0.jsonl")
    assert [line["body"] for line in ours] == [line["body"] for line in floor]
    assert len(ours) == COUNT


def test_the_floor_of_collect_reads_the_same_answers(folder: Path) -> None:
    STEPS["prepare"](folder, COUNT)
    STEPS["make-results"](folder, COUNT)
    STEPS["collect-floor"](folder, COUNT)
    STEPS["collect"](folder, COUNT)

    floor = {str(line["id"]): line["text"] for line in _lines(folder / "floor-results.jsonl")}
    ours = _lines(folder / "outputs" / "results.jsonl")
    assert [line["id"] for line in ours] == [f"item-{n:07d}" for n in range(COUNT)]
    answered = [line["output"] for line in ours if line["status"] == "succeeded"]
    assert len(answered) == len(floor) == COUNT - REFUSED
    in_order = [floor[custom_id] for custom_id in sorted(floor, key=lambda i: int(i.split("-")[0]))]
    assert answered == in_order


def test_structured_answers_fit_their_schema_and_cite(folder: Path) -> None:
    write_job(folder / "job.jsonl", folder / "items.jsonl", schema=SCHEMA)
    STEPS["prepare"](folder, COUNT)
    STEPS["make-results-structured"](folder, COUNT)
    STEPS["collect-floor"](folder, COUNT)
    STEPS["collect"](folder, COUNT)

    ours = _lines(folder / "outputs" / "results.jsonl")
    answered = [line for line in ours if line["status"] == "succeeded"]
    assert len(answered) == COUNT - REFUSED
    assert all(set(line["output"]) == {"label", "score", "why"} for line in answered)
    assert sum("citations" in line for line in answered) == COUNT // 2 - REFUSED
    assert STEPS["validate"](folder, COUNT).keys() == {"us_an_item"}


def test_counting_is_measured_on_prose_beside_preparing_without(tmp_path: Path) -> None:
    write_prose(tmp_path / "items.jsonl", COUNT)
    write_job(tmp_path / "job.jsonl", tmp_path / "items.jsonl")
    sizes = [len(line) for line in (tmp_path / "items.jsonl").read_bytes().splitlines()]
    assert 480 < sum(sizes) / COUNT < 540

    assert STEPS["prepare-aside"](tmp_path, COUNT) == {}
    found = STEPS["estimate"](tmp_path, COUNT)
    assert 50 < found["tokens_an_item"] < 250  # type: ignore[operator]


def test_a_second_job_is_prepared_beside_another(folder: Path) -> None:
    assert STEPS["prepare-second"](folder, COUNT).keys() == {"ledger_bytes_an_item"}


def test_a_tick_over_batches_in_flight_lists_instead_of_asking_for_each(tmp_path: Path) -> None:
    assert calls_of_a_tick(tmp_path, batches=30) == {"list_batches": 1}


@pytest.mark.parametrize(
    ("value", "verdict"), [(1.5, "stretch"), (1.7, "stretch"), (2.2, "ok"), (2.21, "MISSED")]
)
def test_a_verdict_is_that_of_the_bounds(value: float, verdict: str) -> None:
    assert Figure(name="x", value=value, must=2.2, stretch=1.7).verdict == verdict


def test_the_table_shows_every_figure_with_its_bounds() -> None:
    figures = [
        Figure(name="COLLECT", value=3.14159, must=2.2, stretch=1.7, unit="x", note="why"),
        Figure(name="reported only", value=7),
    ]

    head, first, second = table(figures).splitlines()

    assert head.split() == ["figure", "must", "stretch", "reached", "verdict"]
    assert first.split() == ["COLLECT", "2.2", "1.7", "3.14x", "MISSED", "why"]
    assert second.split() == ["reported", "only", "7"]


def test_embeddings_are_written_as_a_job_of_them_would_be(tmp_path: Path) -> None:
    for step in ("make-embeddings", "embeddings-parquet", "embeddings-npy"):
        found = STEPS[step](tmp_path, 3)
    assert found["bytes_an_item"] == 4 * 1_536 + 128 // 3
    table = pq.read_table(tmp_path / "results.parquet")
    assert [len(vector) for vector in table["output"].to_pylist()] == [1_536] * 3
    assert (tmp_path / "embeddings.npy").stat().st_size == 3 * 4 * 1_536 + 128


def test_a_direct_profile_has_every_request_answered_by_the_server_of_the_bench(
    tmp_path: Path,
) -> None:
    found = answer_all(tmp_path, 40, latency_s=0.0)
    assert found["answered"] == 40
