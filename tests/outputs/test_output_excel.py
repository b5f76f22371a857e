"""The table for Excel: what it opens without a question, whole rows and all, and no cell that it would cut in silence."""

import csv
import io
import json

import pytest
from factory import AT, World

from batchrun.model import OutputSettings
from batchrun.outputs.cells import EXCEL_CELL_UNITS
from batchrun.outputs.results import stream_results
from batchrun.outputs.table import CutCells
from batchrun.outputs.writing import write_outputs


def _excel(world: World, job: int, *, defuse: bool = True) -> tuple[str, int]:
    cut = CutCells()
    blocks = stream_results(world.ledger, job, format="excel", defuse=defuse, cut=cut)
    data = b"".join(blocks)
    assert data.startswith(b"\xef\xbb\xbf")
    return data[3:].decode(), cut.count


def _rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_it_begins_with_the_mark_ends_rows_with_crlf_and_has_a_column_for_each_key(
    world: World,
) -> None:
    job = world.job(schema={"type": "object", "properties": {"city": {}, "day": {}}})
    world.answered(job, "a", {"city": "Lyon", "people": 4})
    world.answered(job, "b", {"city": "two\nlines", "day": None})
    text, cut = _excel(world, job)
    lines = text.split("\r\n")
    assert lines[0].startswith("id,status,city,day,people,finish,")
    assert lines[1].startswith("a,succeeded,Lyon,,4,stop,")
    assert lines[2].startswith('b,succeeded,"two\nlines",,,stop,')
    assert lines[3:] == [""]
    assert cut == 0


def test_formulas_are_defused_unless_asked_not_to(world: World) -> None:
    job = world.job()
    world.answered(job, "a", "=1+1")
    world.answered(job, "b", "-5")
    assert [row["output"] for row in _rows(_excel(world, job)[0])] == ["'=1+1", "-5"]
    assert [row["output"] for row in _rows(_excel(world, job, defuse=False)[0])] == ["=1+1", "-5"]


@pytest.mark.parametrize(
    ("answer", "cell"),
    [
        ("x" * EXCEL_CELL_UNITS, "x" * EXCEL_CELL_UNITS),
        ("x" * (EXCEL_CELL_UNITS + 1), "x" * (EXCEL_CELL_UNITS - 1) + "…"),
        ("x" + "😀" * 16_383, "x" + "😀" * 16_383),
        # The limit is one of UTF-16, and would fall into the middle of a character here.
        ("x" + "😀" * 17_000, "x" + "😀" * 16_382 + "…"),
        ("=" + "x" * EXCEL_CELL_UNITS, "'=" + "x" * (EXCEL_CELL_UNITS - 3) + "…"),
        ([1] * 20_000, "[" + "1," * 16_382 + "1…"),
    ],
    ids=["fits", "one over", "pairs fit", "pairs cut", "defused and cut", "a list"],
)
def test_a_cell_over_the_limit_of_excel_is_cut_and_counted(
    world: World, answer: object, cell: str
) -> None:
    job = world.job()
    world.answered(job, "a", answer)
    text, cut = _excel(world, job)
    (row,) = _rows(text)
    assert row["output"] == cell
    assert len(row["output"].encode("utf-16-le")) <= 2 * EXCEL_CELL_UNITS
    assert cut == cell.endswith("…")


def test_the_manifest_counts_the_cells_that_were_cut(world: World) -> None:
    job = world.job(output=OutputSettings(excel=True))
    world.answered(job, "a", "x" * (EXCEL_CELL_UNITS + 1))
    world.answered(job, "b", "fine")
    folder = write_outputs(world.ledger, job, now=AT).folder
    files = {f["name"]: f for f in json.loads((folder / "manifest.json").read_text())["files"]}
    assert files["results.excel.csv"]["cut_cells"] == 1
    assert all("cut_cells" not in f for name, f in files.items() if name != "results.excel.csv")
