"""A submit that brings only some of a job's items leaves everything of the others as it is: their rows, their files, their order."""

import json
from pathlib import Path
from typing import Any

import pytest
from runnerkit import World, items

from batchrun.errors import LedgerError

OUTPUT = {"csv": True, "files": "{{ name }}.txt"}


def named(count: int) -> list[dict[str, str]]:
    """Items with a field that names their file, and one with what CSV finds hard."""
    return [{**row, "name": f"file-{row['id']}", "note": 'a "b",\nc'} for row in items(count)]


def outputs(world: World) -> dict[str, bytes]:
    """Every output by name, but for those that tell of the submission itself."""
    folder = world.home.outputs / "reviews"
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in {"report.json", "report.md", "manifest.json"}
    }


def answered(world: World, count: int = 5, **changes: Any) -> dict[str, bytes]:
    world.write(named(count), output=OUTPUT, **changes)
    world.submit()
    world.run()
    assert (world.home.outputs / "reviews" / "files" / "file-i0.txt").exists()
    return outputs(world)


def test_a_trial_of_one_item_changes_no_output_of_the_others(world: World) -> None:
    before = answered(world)
    world.submit(limit=1)
    world.run()
    assert outputs(world) == before


def test_trial_after_trial_changes_no_output_of_the_others(world: World) -> None:
    before = answered(world)
    for limit in (1, 3, 2):
        world.submit(limit=limit)
        world.run()
    assert outputs(world) == before


def test_a_trial_that_asks_its_item_anew_changes_only_that_item(world: World) -> None:
    before = answered(world)
    rows = named(5)
    rows[0]["text"] = "another"
    world.write(rows, output=OUTPUT)
    world.submit(limit=1)
    world.run()
    after = outputs(world)
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {"results.jsonl", "results.csv", "files.jsonl", "files/file-i0.txt"}
    table = after["results.csv"].decode()
    assert table == before["results.csv"].decode().replace("text 0", "another")


def test_items_that_left_the_data_of_a_job_that_keeps_them_keep_their_columns(
    world: World,
) -> None:
    before = answered(world, missing="keep")
    world.write([*named(7)[5:], named(5)[2]], output=OUTPUT, missing="keep")
    world.submit()
    world.run()
    after = outputs(world)
    assert before.keys() <= after.keys()
    assert {
        name for name in before if name.startswith("files/") and before[name] != after[name]
    } == set()
    ids = [json.loads(line)["id"] for line in after["results.jsonl"].splitlines()]
    assert sorted(ids) == [f"i{n}" for n in range(7)]
    for n in range(7):
        assert f"i{n},text {n},file-i{n}," in after["results.csv"].decode()


def test_items_in_another_order_than_at_first_stay_in_it_through_a_trial(world: World) -> None:
    answered(world)
    world.write(named(5)[::-1], output=OUTPUT)
    world.submit()
    world.run()
    before = outputs(world)
    world.submit(limit=1)
    world.run()
    assert outputs(world) == before


def test_a_whole_submit_after_a_trial_reads_its_fields_in_order_again(world: World) -> None:
    before = answered(world)
    world.submit(limit=2)
    world.submit()
    world.run()
    assert outputs(world) == before
    assert b"[0," not in world.home.fields_file(3).read_bytes()


def test_fields_of_kept_items_that_cannot_be_read_are_told_before_anything_is_lost(
    world: World,
) -> None:
    before = answered(world)
    world.home.fields_file(1).write_bytes(b"[1,{}]\n[2,{")
    problem = world.submit(limit=1).error
    assert isinstance(problem, LedgerError)
    assert "no --limit" in str(problem)
    world.submit()
    world.run()
    assert outputs(world) == before


def test_a_fields_file_that_the_disk_will_not_let_go_stops_no_submit(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = answered(world)
    really = Path.unlink

    def unlink(path: Path, missing_ok: bool = False) -> None:
        if path.parent == world.home.fields and path.suffix == ".jsonl":
            raise PermissionError(13, "Permission denied", str(path))
        really(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink)
    world.submit()
    world.run()
    assert outputs(world) == before
