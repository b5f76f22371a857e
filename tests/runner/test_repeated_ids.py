"""Repeated ids beside items whose id is none: both are told, and the other jobs of the file go on."""

import json
from typing import Any

import pytest
from runnerkit import World, items

from batchrun.errors import JobFileError
from batchrun.takingitems import SubmitOptions


@pytest.mark.parametrize("bad_id", [None, 5.5, "", "a\x00b", True, []])
def test_a_repeated_id_and_one_that_is_no_id_are_told_together(world: World, bad_id: Any) -> None:
    path = world.write([{"id": bad_id, "text": "x"}, *items(2), items(1)[0]])
    other = json.loads(path.read_text().splitlines()[0]) | {"job": "other"}
    with path.open("a") as stream:
        stream.writelines(json.dumps(line) + "\n" for line in (other, *items(3)))
    (first, second), _ = world.api().submit([path], SubmitOptions(), send=False)
    assert isinstance(first.error, JobFileError)
    assert [problem.line for problem in first.error.problems] == [2, 5]
    assert first.error.problems[1].what == "duplicate id 'i0' (first on line 3)"
    assert second.error is None
    assert second.tally is not None
    assert second.tally.items == 3


@pytest.mark.parametrize("bad_id", [None, 5.5, ""])
def test_a_repeated_id_and_one_that_is_no_id_are_two_bad_items(world: World, bad_id: Any) -> None:
    world.write([{"id": bad_id, "text": "x"}, *items(2), items(1)[0]], bad_items=2)
    assert world.submit(send=False).error is None
    assert world.tally() == {"pending": 2, "failed": 2}
    assert world.failures().keys() == {"reviews.jsonl:2", "reviews.jsonl:5"}


def test_an_id_whose_template_does_not_fit_is_told_beside_a_repeated_one(world: World) -> None:
    rows = [{"text": "x"}, {"key": "a", "text": "y"}, {"key": "a", "text": "z"}]
    world.write(rows, id="{{ key }}")
    error = world.submit(send=False).error
    assert isinstance(error, JobFileError)
    assert [problem.line for problem in error.problems] == [2, 4]
    assert error.problems[1].what == "duplicate id 'a' (first on line 3)"


def test_a_bad_item_is_found_by_its_id(world: World) -> None:
    rows = items(3)
    del rows[1]["text"]
    world.write(rows, bad_items=1)
    assert world.submit(send=False).error is None
    told = world.api().explain("reviews", "i1")
    assert (told.id, told.state, told.cause) == ("i1", "failed", "bad_item")
    assert "reviews.jsonl:3" in (told.message or "")


def test_an_answered_item_that_went_bad_is_found_as_what_it_is_now(world: World) -> None:
    world.write(items(3))
    world.submit()
    world.run()
    rows = items(3)
    del rows[1]["text"]
    world.write(rows, bad_items=1)
    assert world.submit().error is None
    world.run()
    assert world.failures() == {"i1": "bad_item"}
    assert world.api().explain("reviews", "i1").state == "failed"


@pytest.mark.parametrize("kept", ["before", "beside", "bad"])
def test_no_two_items_of_the_outputs_share_an_id(world: World, kept: str) -> None:
    """Where an item that is there has the id of a bad one, the bad one is named by its line."""
    bad = {"id": "i1", "other": "x"}
    if kept == "before":
        world.write(items(2), missing="keep")
        world.submit()
        world.run()
        rows = [items(1)[0], bad]
    else:
        rows = [bad, items(2)[1]] if kept == "beside" else [*items(1), bad, bad]
    world.write(rows, missing="keep", bad_items=2)
    assert world.submit(send=False).error is None
    ids = [row["id"] for row in world.rows("select id from items where not vanished")]
    assert len(ids) == len(set(ids)) == len(world.rows("select * from items"))
    assert "i1" in ids
    lines = {"before": "reviews.jsonl:3", "beside": "reviews.jsonl:2", "bad": "reviews.jsonl:4"}
    assert lines[kept] in ids
