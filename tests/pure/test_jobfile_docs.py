"""docs/job-file.md knows every key, and its examples are valid."""

import re
from pathlib import Path

import pytest

from batchrun.jobfile.job import EXPECTED, FOREIGN_KEYS, validate_job_line
from batchrun.jobfile.jsonl import decode_line

TEXT = (Path(__file__).parents[2] / "docs" / "job-file.md").read_text(encoding="utf-8")
EXAMPLES = [
    line
    for block in re.findall(r"```jsonl\n(.*?)```", TEXT, re.DOTALL)
    for line in block.splitlines()
]


@pytest.mark.parametrize("key", EXPECTED)
def test_every_key_has_its_row(key: str) -> None:
    assert f"\n| `{key}` | " in TEXT


@pytest.mark.parametrize("key", ["base_url", "api_key"])
def test_every_refused_key_is_mentioned(key: str) -> None:
    assert key in FOREIGN_KEYS
    assert f"`{key}`" in TEXT


@pytest.mark.parametrize("line", EXAMPLES)
def test_an_example_is_a_valid_line(line: str) -> None:
    decoded = decode_line(line.encode())
    if "job" in decoded:
        assert list(validate_job_line(decoded)) == []
