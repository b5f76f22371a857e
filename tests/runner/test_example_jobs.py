"""The jobs in `jobs/` and in docs/endpoints.md whose endpoints answer in anything but a conversation: they are sound, and run."""

import base64
import csv
import json
import shutil
from pathlib import Path
from typing import Final

import pytest
from runnerkit import World

from batchrun.endpoints.pictures import format_of
from batchrun.service.responders.script import Rule

ROOT: Final = Path(__file__).parents[2]
FILES: Final = (
    *("completions.jsonl", "facts.jsonl"),
    *("embeddings.jsonl", "images.jsonl", "moderations.jsonl"),
)
SCRIPT: Final = [
    Rule(url="/v1/moderations", prompt="lamp sinks", label="violence"),
    Rule(url="/v1/completions", reply=" Light in rings"),
]


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A world whose home stands beside copies of the jobs and their data."""
    for name in ("jobs", "samples"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return World(tmp_path, script=list(SCRIPT))


def run(world: World, name: str) -> None:
    world.submit(world.folder / "jobs" / name)
    world.run()
    assert set(world.states().values()) == {"succeeded"}


def answers(world: World, job: str) -> dict[str, object]:
    text = (world.home.outputs / job / "results.jsonl").read_text()
    return {line["id"]: line["output"] for line in map(json.loads, text.splitlines())}


@pytest.mark.parametrize("name", FILES)
def test_every_example_passes_the_check(world: World, name: str) -> None:
    for prepared in world.api().check([world.folder / "jobs" / name]):
        assert prepared.error is None
        assert prepared.tally is not None
        assert prepared.tally.items > 0


def test_completions_give_text(world: World) -> None:
    run(world, "completions.jsonl")
    assert set(answers(world, "headlines").values()) == {" Light in rings"}


def test_chat_with_a_schema_gives_json_and_tables(world: World) -> None:
    run(world, "facts.jsonl")
    assert all(
        isinstance(answer, dict) and set(answer) == {"topic", "surprise"}
        for answer in answers(world, "facts").values()
    )
    outputs = world.home.outputs / "facts"
    assert (outputs / "results.parquet").is_file()
    assert (outputs / "results.excel.csv").is_file()


def test_embeddings_give_vectors(world: World) -> None:
    run(world, "embeddings.jsonl")
    vector = answers(world, "vectors")["bread-rising"]
    assert isinstance(vector, list)
    assert len(vector) == 256


def test_moderations_give_flags_and_scores_in_lines_and_in_columns(world: World) -> None:
    run(world, "moderations.jsonl")
    found = answers(world, "moderation")["r02"]
    assert isinstance(found, dict)
    assert (found["flagged"], found["categories"]) == (True, ["violence"])
    assert found["scores"]["violence"] == 0.9
    with (world.home.outputs / "moderation" / "results.csv").open(newline="") as file:
        flags = {row["id"]: row["flagged"] for row in csv.DictReader(file)}
    assert [item for item, flag in flags.items() if flag == "true"] == ["r02"]


def test_images_give_files(world: World) -> None:
    run(world, "images.jsonl")
    folder = world.home.outputs / "drawings"
    assert answers(world, "drawings")["bread-rising"] == "images/bread-rising.png"
    drawn = {path.stem: format_of(path.read_bytes()) for path in (folder / "images").iterdir()}
    assert drawn == dict.fromkeys(answers(world, "drawings"), "png")


def test_edits_and_videos_run_as_the_documentation_shows_them(world: World) -> None:
    text = (ROOT / "docs" / "endpoints.md").read_text(encoding="utf-8")
    blocks = [block.split("```")[0] for block in text.split("```jsonl\n")[1:]]
    examples = [block for block in blocks if '"endpoint"' in block]
    assert len(examples) == 3
    for number, example in enumerate(examples):
        path = world.folder / "jobs" / f"example-{number}.jsonl"
        path.write_text(example, encoding="utf-8")
        world.submit(path)
    world.run()
    assert set(world.states().values()) == {"succeeded"}
    assert answers(world, "recoloured")["door"] == "images/door.png"
    (clip,) = answers(world, "clips").values()
    assert isinstance(clip, dict)
    assert clip["content"] == f"/v1/videos/{clip['id']}/content"


def test_an_image_that_was_sent_in_a_script_comes_out_byte_for_byte(world: World) -> None:
    image = b"GIF89a" + bytes(range(256))
    world.script = [Rule(reply=base64.b64encode(image).decode())]
    run(world, "images.jsonl")
    path = world.home.outputs / "drawings" / "images" / "bread-rising.gif"
    assert path.read_bytes() == image
