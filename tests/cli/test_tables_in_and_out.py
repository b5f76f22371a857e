"""Parquet in, tables out: the guards of submit hold for rows of Parquet as for any, and `results` writes what programs and Excel load."""

import io
import json
import os
import pty
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from clikit import ROOT, Desk

from batchrun.service.service import BatchService


def _items(desk: Desk, *ids: int, name: str = "data.parquet", text: str = "x") -> str:
    pq.write_table(
        pa.table({"id": list(ids), "text": [text] * len(ids)}), desk.folder / name, row_group_size=2
    )
    return desk.write(
        "faq.jsonl",
        {
            "job": "faq",
            "model": "m",
            "prompt": "Q: {{ id }}",
            "items": "data.parquet",
            "max_output_tokens": 2000,
            "output": {"parquet": True, "excel": True},
        },
    )


def test_rows_of_parquet_are_known_again_by_their_ids_and_missed_when_they_are_gone(
    desk: Desk, service: BatchService
) -> None:
    assert desk.call("run", _items(desk, 1, 2, 3)).code == 0
    assert "4 items: 1 new, 3 unchanged" in desk.call("submit", _items(desk, 3, 2, 1, 4)).out
    desk.call("wait")
    gone = desk.call("submit", _items(desk, 4))
    assert gone.code == 5
    assert "3 of 4 items of job 'faq' are gone from its data" in gone.err
    twice = desk.call("submit", _items(desk, 1, 2, 3, 4, 4))
    assert twice.code == 5
    assert "data.parquet:5: duplicate id '4' (first on line 4)" in twice.err
    _items(desk, 1, 2, 3, 4, 5, name="other.parquet")
    called = desk.call("submit", "--items", "other.parquet", "faq.jsonl")
    assert "5 items: 1 new, 4 unchanged" in called.out


def _parquet(desk: Desk, stdout: int) -> subprocess.CompletedProcess[bytes]:
    """`batchrun results faq --format parquet` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "batchrun", "results", "faq", "--format", "parquet"],
        cwd=desk.folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=stdout,
        stderr=subprocess.PIPE,
        check=False,
    )


def test_results_come_as_parquet_but_not_to_a_terminal_and_for_excel(
    desk: Desk, service: BatchService
) -> None:
    path = _items(desk, 1, 2, text="y" * 40_000)
    assert desk.call("run", path).code == 0
    excel = desk.call("results", "faq", "--format", "excel")
    assert excel.code == 0
    assert excel.out.startswith("\ufeffid,text,status,")
    assert excel.out.count("\r\n") == 3
    assert excel.err == "2 cells cut at Excel's limit of 32,767 characters; the JSON Lines have all of it.\n"  # fmt: skip
    files = desk.call("results", "faq", "--format", "files", "--json")
    assert files.err == excel.err
    assert [file.get("cut_cells") for file in files.json["files"] if "excel" in file["name"]] == [2]

    done = _parquet(desk, subprocess.PIPE)
    assert done.stdout == (desk.folder / "outputs/faq/results.parquet").read_bytes()
    assert pq.read_table(io.BytesIO(done.stdout))["id"].to_pylist() == [1, 2]
    assert desk.call("verify").code == 0
    manifest = json.loads((desk.folder / "outputs/faq/manifest.json").read_text())
    assert "results.parquet" in {file["name"] for file in manifest["files"]}

    mine, theirs = pty.openpty()
    try:
        done = _parquet(desk, theirs)
    finally:
        os.close(mine)
        os.close(theirs)
    assert done.returncode == 2
    assert b"batchrun results faq --format parquet > faq.parquet" in done.stderr


@pytest.mark.parametrize("form", ["csv", "excel"])
def test_a_table_without_the_columns_of_the_data_says_so(
    desk: Desk, service: BatchService, form: str
) -> None:
    line = {"job": "faq", "model": "m", "prompt": "Q: {{ q }}", "max_output_tokens": 2000}
    told = 'Without the columns of the data: those are kept where the job line asks for a table, "output": {"csv": true}, and come with the next submit.\n'
    for changes, err in (({}, told), ({"output": {"csv": True}}, "")):
        path = desk.write("faq.jsonl", line | changes, {"id": "a", "q": "why"})
        assert desk.call("run", path).code == 0
        table = desk.call("results", "faq", "--format", form)
        assert table.err == err
        assert table.out.lstrip("\ufeff").startswith("id,status," if err else "id,q,status,")
