"""Whatever a job file or a table has become, it is read or its mistakes are reported with their lines; its sound lines are read as ever."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import event, given, settings
from wounds import Wound, mauled, wounds

from batchrun.errors import Problem
from batchrun.jobfile import JobFile, Problems, load, read_items
from batchrun.model import JsonObject

JOB: JsonObject = {
    "job": "faq",
    "model": "m",
    "prompt": "{% if text %}{{ text }}{% endif %}",
    "labels": ["a", "b"],
    "schema": None,
    "output": {"files": "{{ id }}.md"},
}
ROWS: list[JsonObject] = [
    {"id": f"i{n}", "text": f'say "{n}": é\u2028\\n', "n": 10**n, "deep": {"a": [n, {"b": None}]}}
    for n in range(6)
]
JOB_LINE = json.dumps(JOB).encode() + b"\n"
ITEM_LINES = b"".join(
    json.dumps(row, ensure_ascii=n % 2 > 0).encode() + b"\n" for n, row in enumerate(ROWS)
)
JOB_FILE = JOB_LINE + ITEM_LINES
TABLE = b'id,text,n\r\n1,"a, ""b""\nc",2\n2,\xc3\xa9,\n3,"=1+1",4\r\n4,plain,5\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def read(file: JobFile) -> tuple[list[tuple[int, JsonObject]], list[Problem]]:
    """All items of all jobs with their lines, and all problems."""
    problems = Problems()
    found = [
        (line, fields)
        for job in file.jobs
        if job.settings is not None
        for block in read_items(job.settings, problems)
        for fields, line in zip(block.fields, block.lines, strict=True)
    ]
    return found, [*file.problems, *_of_jobs(file), *problems.kept]


def _of_jobs(file: JobFile) -> Iterator[Problem]:
    for job in file.jobs:
        yield from (*job.problems, *job.warnings)


def assert_told(problems: list[Problem], data: bytes) -> None:
    """Each names its line, which there is, or speaks of the whole file; none is a foreign text on more than one line of a terminal."""
    for problem in problems:
        assert problem.what
        assert "\n" not in problem.what
        assert problem.line is None or 0 <= problem.line <= data.count(b"\n") + 1
        str(problem).encode()


@given(mauled(JOB_FILE))
@settings(max_examples=300)
@pytest.mark.fault(27, 43, 45, 47, 48, 50, 58)
def test_any_damage_to_a_job_file_is_read_or_reported(folder: Path, data: bytes) -> None:
    path = folder / "faq.jsonl"
    path.write_bytes(data)
    items, problems = read(load(path))
    assert_told(problems, data)
    assert items or problems or not data.replace(JOB_LINE, b"").strip()


@given(wounds(JOB_FILE, first=len(JOB_LINE)))
@settings(max_examples=300)
@pytest.mark.fault(45, 50)
def test_a_damaged_item_line_harms_no_other_line(folder: Path, wound: Wound) -> None:
    path = folder / "neighbours.jsonl"
    path.write_bytes(data := wound.of(JOB_FILE))
    file = load(path)
    items, problems = read(file)
    assert_told(problems, data)
    if len(file.jobs) == 1:  # the wound may have made another job line
        spared = [(n, json.loads(line)) for n, line in wound.spared(JOB_FILE)[1:]]
        event(f"{len(spared)} items were spared")
        assert [item for item in spared if item not in items] == []
        assert len(items) + len({problem.line for problem in problems}) >= sum(
            bool(line.strip()) for line in data.split(b"\n")[1:]
        )


@pytest.mark.parametrize("ending", ["csv", "tsv", "txt"])
@given(data=mauled(TABLE))
@settings(max_examples=100)
@pytest.mark.fault(45)
def test_any_damage_to_a_table_is_read_or_reported(folder: Path, ending: str, data: bytes) -> None:
    (folder / f"table.{ending}").write_bytes(data)
    path = folder / f"{ending}.jsonl"
    path.write_text(json.dumps({**JOB, "items": f"table.{ending}"}) + "\n")
    items, problems = read(load(path))
    assert_told(problems, data)
    assert items or problems or not data.strip()
    for _, fields in items:
        json.dumps(fields, ensure_ascii=False).encode()
