"""Items without an id are named by file and line, seen from the job file: the same from whichever folder one submits."""

import json

import pytest
from runnerkit import NewWorld


@pytest.mark.parametrize("folder", [".", "data", "elsewhere"])
def test_names_do_not_depend_on_the_current_folder(
    new_world: NewWorld, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    world = new_world()
    for name in ("data", "elsewhere"):
        (world.folder / name).mkdir()
    (world.folder / "data" / "texts.jsonl").write_text('{"text": "a"}\n{"text": "b"}\n')
    line = {"job": "reviews", "model": "m", "prompt": "{{ text }}", "items": "data/texts.jsonl"}
    world.job_file.write_text(json.dumps(line) + "\n")
    monkeypatch.chdir(world.folder / folder)
    assert world.submit(send=False).error is None
    assert list(world.states()) == ["data/texts.jsonl:1", "data/texts.jsonl:2"]
