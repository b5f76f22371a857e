"""What of a job line counts as what it asks: a change of that, and of nothing else, calls for a new canary."""

import dataclasses
from typing import Any, Final

import pytest

from batchrun.ledger.askings import asking_of
from batchrun.model import Allowance, CanarySettings, JobSettings, OutputSettings, RepairSettings

JOB: Final = JobSettings(name="j", path="/j.jsonl", line=1, window="24h")
ASKED: Final[dict[str, Any]] = {
    "endpoint": "/v1/embeddings",
    "model": "m",
    "instructions": "Be brief.",
    "prompt": "{{ text }}",
    "labels": ("a", "b"),
    "schema": {"type": "object"},
    "strict": False,
    "body": {"temperature": 0},
    "body_unchecked": True,
    "attach": ("a.png",),
    "max_output_tokens": 7,
    "repair": RepairSettings(),
    "rounds": 2,
    "tools": ({"name": "f"},),
    "is_raw": True,
}
BESIDE: Final[dict[str, Any]] = {
    "name": "k",
    "path": "/k.jsonl",
    "line": 2,
    "items": "/more.jsonl",
    "id": "key",
    "missing": "keep",
    "bad_items": 5,
    "max_new": 9,
    "window": "48h",
    "deadline": "06:00",
    "attempts": 9,
    "uncertain": "retry",
    "canary": CanarySettings(items=7),
    "profile": "other",
    "output": OutputSettings(files="{{ id }}.txt"),
    "metadata": {"team": "a"},
    "tags": ("t",),
    "budget": Allowance(day=1),
    "dedupe": False,
    "cache": True,
    "note": "more of it",
}


def test_of_each_key_of_a_job_line_it_is_said_whether_it_is_asked() -> None:
    assert {field.name for field in dataclasses.fields(JobSettings)} == {*ASKED, *BESIDE}


@pytest.mark.parametrize("name", [*ASKED, *BESIDE])
def test_only_what_is_asked_makes_another_asking(name: str) -> None:
    changed = dataclasses.replace(JOB, **{name: (ASKED | BESIDE)[name]})
    assert (asking_of(changed) != asking_of(JOB)) is (name in ASKED)
