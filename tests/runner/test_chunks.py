"""One input file holds one model and no more than the limits; retries and rests are cut by the same limits."""

import json
from collections import Counter
from pathlib import Path

import pytest
from runnerkit import NewWorld, World, items

from batchrun.errors import JobFileError
from batchrun.model import Limits
from batchrun.service.responders.script import Rule


def sizes(world: World) -> list[int]:
    return [batch["request_count"] for batch in world.batches()]


def test_a_file_holds_no_more_requests_than_allowed(new_world: NewWorld) -> None:
    world = new_world(limits=Limits(request_count=4))
    world.write(items(10))
    world.submit()
    world.run()
    assert sizes(world) == [4, 4, 2]
    assert world.tally() == {"succeeded": 10}


def test_a_file_holds_no_more_bytes_than_allowed(new_world: NewWorld) -> None:
    world = new_world(limits=Limits(input_bytes=700))
    world.write(items(10))
    world.submit()
    world.run()
    assert len(sizes(world)) > 2
    assert all(batch["input_bytes"] <= 700 for batch in world.batches())
    assert world.tally() == {"succeeded": 10}


def test_a_file_holds_no_more_embedding_inputs_than_allowed(new_world: NewWorld) -> None:
    world = new_world(limits=Limits(embedding_inputs=5))
    rows = [{"id": f"e{n}", "input": ["one", f"two {n}"]} for n in range(5)]
    world.write(rows, endpoint="/v1/embeddings", prompt=None, max_output_tokens=None)
    world.submit()
    world.run()
    assert sizes(world) == [2, 2, 1]
    assert world.tally() == {"succeeded": 5}


def test_retries_are_cut_by_the_same_limits(new_world: NewWorld) -> None:
    world = new_world(limits=Limits(request_count=3), script=[Rule(times=1, status=500)])
    world.write(items(7))
    world.submit()
    world.run()
    assert world.tally() == {"succeeded": 7}
    assert max(sizes(world)) <= 3


def test_embedding_retries_count_their_inputs(new_world: NewWorld) -> None:
    world = new_world(limits=Limits(embedding_inputs=5), script=[Rule(times=1, status=500)])
    rows = [{"id": f"e{n}", "input": ["a", str(n)]} for n in range(4)]
    world.write(rows, endpoint="/v1/embeddings", prompt=None, max_output_tokens=None)
    world.submit()
    world.run()
    assert world.tally() == {"succeeded": 4}


def test_a_request_larger_than_a_whole_file_is_refused_with_its_line(new_world: NewWorld) -> None:
    world = new_world(limits=Limits(input_bytes=700))
    rows = items(3)
    rows[1]["text"] = "x" * 800
    world.write(rows)
    error = world.submit().error
    assert isinstance(error, JobFileError)
    (problem,) = error.problems
    assert problem.line == 3
    assert "an input file may hold 700" in problem.what
    world.write(rows, bad_items=1)
    world.submit()
    world.run()
    assert world.tally() == {"succeeded": 2, "failed": 1}


def test_an_item_with_more_inputs_than_a_whole_file_is_refused(new_world: NewWorld) -> None:
    world = new_world(limits=Limits(embedding_inputs=5))
    world.write(
        [{"id": "e", "input": list("abcdef")}],
        endpoint="/v1/embeddings",
        prompt=None,
        max_output_tokens=None,
    )
    error = world.submit().error
    assert isinstance(error, JobFileError)
    assert "6 inputs" in str(error)


def input_lines(world: World) -> dict[int, list[dict[str, object]]]:
    return {
        batch["id"]: [
            json.loads(line)
            for line in world.home.request_file(batch["request_file"]).read_bytes().splitlines()
        ]
        for batch in world.batches()
    }


def test_each_model_has_files_of_its_own(new_world: NewWorld) -> None:
    world = new_world(script=[Rule(times=1, status=500)])
    rows = items(9)
    for n, row in enumerate(rows):
        row["model"] = ("one", "two", "three")[n % 3]
    world.write(rows, model=None)
    world.submit()
    world.run()
    assert world.tally() == {"succeeded": 9}
    for lines in input_lines(world).values():
        assert len({line["body"]["model"] for line in lines}) == 1  # type: ignore[index]
    assert Counter(sizes(world)) == {3: 6}


@pytest.mark.fault(41)
def test_more_models_than_open_files_make_smaller_files_only(new_world: NewWorld) -> None:
    world = new_world()
    rows = [{**row, "model": f"m{n % 70}"} for n, row in enumerate(items(140))]
    world.write(rows, model=None)
    world.submit(send=False)
    with world.ledger() as ledger:
        from batchrun.running.form import form_from_file

        for row in list(ledger.rows("select id from request_files where state = 1")):
            assert form_from_file(ledger, row["id"], world.clock.now())
    assert world.tally() == {"in_flight": 140}


def test_a_changed_endpoint_never_shares_a_file_with_the_old_one(new_world: NewWorld) -> None:
    """Items that failed before keep their old request; with `retry` both kinds wait at once."""
    world = new_world(script=[Rule(times=1, status=400)])
    world.write(items(2))
    world.submit()
    world.run()
    assert world.tally() == {"failed": 2}
    world.write(items(4)[2:], endpoint="/v1/chat/completions", missing="keep")
    world.submit(allow_missing=True)
    world.run()
    assert world.tally() == {"failed": 4}
    world.api().retry("reviews")
    world.run()
    assert world.tally() == {"succeeded": 4}
    for lines in input_lines(world).values():
        assert len({line["url"] for line in lines}) == 1


def test_a_fresh_file_of_which_some_items_went_alone_is_not_sent_as_it_stands(world: World) -> None:
    """Its lines bear the custom_ids of a first sending: sent again, their answers could not be placed."""
    from batchrun.running.cutting import cut_queued
    from batchrun.running.form import form_from_file

    world.write(items(4))
    world.submit(send=False)
    world.write(items(4)[:2])
    world.submit(send=False)
    world.write(items(4))
    world.submit(send=False)
    with world.ledger() as ledger:
        assert ledger.value("select count(*) from queue") == 2
        cut_queued(ledger, 1, Limits(), world.clock.now())
        assert ledger.value("select state from request_files where id = 1") == 2
        assert form_from_file(ledger, 1, world.clock.now()) is None
    world.run()
    assert world.tally() == {"succeeded": 4}


@pytest.mark.parametrize("count", [1, 10])
def test_input_files_are_what_was_promised(world: World, count: int) -> None:
    world.write(items(count))
    world.submit()
    (lines,) = input_lines(world).values()
    assert [list(line) for line in lines] == [["custom_id", "method", "url", "body"]] * count
    (remote,) = world.remotes()
    sent = Path(world.folder / "far" / "files" / remote["input_file_id"]).read_bytes()
    assert sent == world.home.request_file(1).read_bytes()
