"""What is said of a job line when its data is read: where, and in whole sentences."""

from typing import Any

import pytest
from runnerkit import World, items

TABLE = {"path": "no/such/folder.db", "table": "t", "key": "id"}


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("{{ nope }}.md", ["nope"]),
        ("{{ nope }}-{{ text }}-{{ never }}.md", ["never", "nope"]),
        ("{{ id }}-{{ text }}.md", []),
        ("{{ some }}.md", []),
        ('{{ item["text"] }}.md', []),
    ],
)
def test_a_name_of_files_that_no_item_can_make_is_warned_of(
    world: World, name: str, missing: list[str]
) -> None:
    rows = items(3)
    rows[2]["some"] = "x"
    world.write(rows, output={"files": name})
    warnings = [warning.what for warning in world.submit(is_dry_run=True).warnings]
    told = [f"'output.files' asks for {one!r}, which no item has" for one in missing]
    assert [what for what in warnings if "output.files" in what] == told


@pytest.mark.parametrize(
    ("rows", "changes"),
    [
        (3, {"rounds": 2}),
        (3, {"output": {"sqlite": TABLE}}),
        (0, {}),
        (1, {}),
    ],
)
def test_a_job_file_below_the_current_folder_is_named_from_there(
    world: World, monkeypatch: pytest.MonkeyPatch, rows: int, changes: dict[str, Any]
) -> None:
    monkeypatch.chdir(world.job_file.parent)
    world.write(items(10))
    assert world.submit(send=False).error is None
    world.write(items(rows), **changes)
    assert str(world.submit(send=False).error).startswith("reviews.jsonl:1: ")


def test_several_problems_of_one_item_are_one_sentence(world: World) -> None:
    rows = [{"id": "a", "text": "x", "body": {"frobnicate": 1}}]
    world.write(rows, endpoint="/v1/images/edits", max_output_tokens=None, model="gpt-image-1")
    told = str(world.submit(send=False).error)
    assert "'images' is missing" in told
    assert ".;" not in told
