"""Pictures are nowhere but in the result line and in their file: a prune takes neither the last, and `forget` takes both."""

from forgetkit import forget
from runnerkit import World, items

from batchrun.service.images import tiny_image


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


def test_a_forgotten_item_leaves_no_picture(world: World) -> None:
    gallery(world)
    folder = world.home.outputs / "reviews"
    forget(world, "i0")
    assert sorted(path.name for path in (folder / "images").iterdir()) == ["i1.png"]
    world.api().forget("reviews")
    assert not folder.exists()
