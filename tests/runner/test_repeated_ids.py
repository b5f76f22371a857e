"""Repeated ids beside items whose id is none: both are told, and the other jobs of the file go on."""

import json
from typing import Any

import pytest
from runnerkit import World, items

from batchrun.errors import JobFileError
from batchrun.prepare import SubmitOptions


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


def test_an_id_whose_template_does_not_fit_is_told_beside_a_repeated_one(world: World) -> None:
    rows = [{"text": "x"}, {"key": "a", "text": "y"}, {"key": "a", "text": "z"}]
    world.write(rows, id="{{ key }}")
    error = world.submit(send=False).error
    assert isinstance(error, JobFileError)
    assert [problem.line for problem in error.problems] == [2, 4]
    assert error.problems[1].what == "duplicate id 'a' (first on line 3)"
