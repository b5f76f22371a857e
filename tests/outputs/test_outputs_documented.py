import dataclasses
import json
import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from factory import AT, World

from batchrun.model import OutputSettings
from batchrun.outputs.explain import Attempt, Call, Explanation, Step
from batchrun.outputs.names import safe_name
from batchrun.outputs.writing import write_outputs

PAGE = (Path(__file__).parents[2] / "docs" / "outputs.md").read_text(encoding="utf-8")


def _undocumented(section: str, names: Iterable[str]) -> list[str]:
    text = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    told = set(re.findall(r"`([^`\n]+)`", text))
    return [name for name in names if name not in told]


@pytest.fixture
def folder(world: World) -> Path:
    job = world.job(output=OutputSettings(files="{{ id }}.md", csv=True))
    world.batch(job)
    world.answered(job, "a1")
    world.failed(job, "a2")
    world.insert("incidents", at=AT, job=job, kind="unknown_custom_id", message="1 line")
    return write_outputs(world.ledger, job, now=AT).folder


@pytest.mark.parametrize("name", ["results.jsonl", "failures.jsonl"])
def test_every_key_of_a_line_is_documented(folder: Path, name: str) -> None:
    line = json.loads((folder / name).read_text().splitlines()[0])

    assert not _undocumented(name, [*line, *line.get("usage", {})])


def test_every_key_of_the_index_of_files_is_documented(folder: Path) -> None:
    line = json.loads((folder / "files.jsonl").read_text().splitlines()[0])

    assert not _undocumented("files/ and files.jsonl", line)


def test_every_column_of_the_table_is_documented(folder: Path) -> None:
    header = (folder / "results.csv").read_text().splitlines()[0]

    assert not _undocumented("results.csv", header.split(","))


def test_every_key_of_the_report_is_documented(folder: Path) -> None:
    report = json.loads((folder / "report.json").read_text())
    inner = [
        *report["counts"],
        *report["failures"][0],
        *report["batches"][0],
        *report["incidents"][0],
    ]

    assert not _undocumented("report.json and report.md", [*report, *inner])


def test_every_key_of_the_manifest_and_every_file_is_documented(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())

    assert not _undocumented("manifest.json", [*manifest, *manifest["files"][0]])
    for path in folder.iterdir():
        assert f"`{path.name}" in PAGE


def test_every_key_of_an_explanation_is_documented() -> None:
    fields = [
        f.name for kind in (Explanation, Attempt, Step, Call) for f in dataclasses.fields(kind)
    ]

    assert not _undocumented("The life of one item", fields)


def test_the_documented_example_of_a_file_name_is_what_comes_out() -> None:
    assert f"`sub/one.md` becomes `{safe_name('sub/one.md')}`" in PAGE
