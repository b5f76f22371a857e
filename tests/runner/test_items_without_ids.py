"""Items without an id of their own: matched by what they ask, and named by their line."""

import json

from runnerkit import World, items, texts


def done(world: World, count: int = 4) -> None:
    """`count` items, answered."""
    world.write(items(count))
    world.submit()
    world.run()


def test_items_without_ids_are_matched_by_content(world: World) -> None:
    world.write(texts("a", "b"))
    world.submit()
    world.run()
    world.write(texts("b", "c", "a"))
    tally = world.submit().tally
    assert tally is not None
    assert (tally.unchanged, tally.new) == (2, 1)
    world.run()
    assert sorted(world.executions().values()) == [1, 1, 1]
    lines = [json.loads(line) for line in world.output("results.jsonl").splitlines()]
    assert [(x["id"], x["output"]) for x in lines] == [
        ("reviews.jsonl:2", "Review: b"),
        ("reviews.jsonl:3", "Review: c"),
        ("reviews.jsonl:4", "Review: a"),
    ]


def test_equal_twins_without_ids_are_two_items(world: World) -> None:
    world.write(texts("same", "same"))
    world.submit()
    world.run()
    assert world.tally() == {"succeeded": 2}
    world.write(texts("same", "same", "same"))
    tally = world.submit().tally
    assert tally is not None
    assert (tally.unchanged, tally.new) == (2, 1)


def test_equal_new_twins_in_different_blocks_of_a_second_submission_are_no_duplicates(
    world: World,
) -> None:
    world.write(texts("first"))
    world.submit()
    many = [f"text {n}" for n in range(5_000)]
    world.write(texts("first", "twin", *many, "twin"))
    prepared = world.submit(send=False)
    assert prepared.error is None
    assert prepared.tally is not None
    assert prepared.tally.new == 5_002


def test_a_twin_less_is_one_vanished(world: World) -> None:
    world.write(texts("same", "same", "other"))
    world.submit()
    world.write(texts("same", "other"))
    tally = world.submit().tally
    assert tally is not None
    assert (tally.unchanged, tally.vanished) == (2, 1)
