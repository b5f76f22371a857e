"""Pictures are nowhere but in the result line and in their file: a prune takes neither the last, and `forget` takes both."""

import base64
import json

from forgetkit import forget
from runnerkit import NewWorld, World, items

from batchrun.endpoints.extras import EXTRAS_LIMIT_BYTES
from batchrun.model import Usage
from batchrun.service.bodies import responses_body
from batchrun.service.images import tiny_image
from batchrun.service.responders.script import Rule


def gallery(world: World) -> None:
    world.write(items(2), endpoint="/v1/images/generations", max_output_tokens=None)
    world.submit()
    world.run()
    assert world.tally() == {"succeeded": 2}


def test_after_a_prune_the_pictures_are_where_they_were(world: World) -> None:
    gallery(world)
    folder = world.home.outputs / "reviews"
    before = {path.name: path.read_bytes() for path in (folder / "images").iterdir()}
    lines = (folder / "results.jsonl").read_bytes()
    (found,) = world.api().prune(())
    assert found.kept is None
    world.api().write_outputs("reviews")
    assert {path.name: path.read_bytes() for path in (folder / "images").iterdir()} == before
    assert (folder / "results.jsonl").read_bytes() == lines
    assert b'"images/i0.png"' in lines


def test_a_job_whose_picture_is_not_in_its_file_keeps_its_spool(world: World) -> None:
    gallery(world)
    path = world.home.outputs / "reviews" / "images" / "i1.png"
    path.unlink()
    (found,) = world.api().prune(())
    assert found.kept is not None
    assert "images/i1.png" in found.kept
    world.api().write_outputs("reviews")
    assert path.read_bytes()[:8] == tiny_image("png", "any")[:8]
    (found,) = world.api().prune(())
    assert found.kept is None


def test_a_picture_beside_more_than_an_item_may_keep_is_a_file_that_a_prune_waits_for(
    new_world: NewWorld,
) -> None:
    plot = tiny_image("png", "plot")
    address = f"data:image/png;base64,{base64.b64encode(plot).decode()}"
    ran = {
        "type": "code_interpreter_call",
        "id": "ci_1",
        "outputs": [
            {"type": "logs", "logs": "x" * EXTRAS_LIMIT_BYTES},
            {"type": "image", "url": address},
        ],
    }
    body = responses_body("m", "Done.", usage=Usage(), created_at=1, ident="1")
    world = new_world(script=[Rule(body={**body, "output": [ran, *body["output"]]})])
    world.write(items(1))
    world.submit()
    world.run()
    path = world.home.outputs / "reviews" / "images" / "i0.png"
    assert path.read_bytes() == plot
    (line,) = map(json.loads, world.output("results.jsonl").splitlines())
    assert (line["output"], line["code_calls"]["images"][0]["file"]) == ("Done.", "images/i0.png")
    path.unlink()
    (found,) = world.api().prune(())
    assert "images/i0.png" in (found.kept or "")
    world.api().write_outputs("reviews")
    (found,) = world.api().prune(())
    assert found.kept is None
    world.api().write_outputs("reviews")
    assert path.read_bytes() == plot
    assert not world.api().verify().broken


def test_a_forgotten_item_leaves_no_picture(world: World) -> None:
    gallery(world)
    folder = world.home.outputs / "reviews"
    forget(world, "i0")
    assert sorted(path.name for path in (folder / "images").iterdir()) == ["i1.png"]
    world.api().forget("reviews")
    assert not folder.exists()
