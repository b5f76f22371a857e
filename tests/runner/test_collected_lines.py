"""Lines of result files: each settles its item once, by its custom_id; what they say is judged by the retry policy."""

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
from runnerkit import NewWorld, World, items

from batchrun.service.responders.script import Rule


def ran(world: World, count: int = 3, **changes: Any) -> World:
    world.write(items(count), **changes)
    world.submit()
    world.run()
    return world


def edit_lines(world: World, edit: Callable[[list[bytes]], list[bytes]], *, times: int = 1) -> None:
    """Result files come as `edit` makes them of their lines, the first so many times."""
    left = [times]

    def content(_: str, whole: bytes) -> bytes:
        if not left[0]:
            return whole
        left[0] -= 1
        return b"".join(edit(whole.splitlines(keepends=True)))

    world.wire.content = content


@pytest.mark.fault(24)
def test_an_item_without_a_line_is_missing_and_is_not_asked_again_unasked(world: World) -> None:
    edit_lines(world, lambda lines: lines[1:])
    ran(world)
    assert world.failures() == {"i0": "missing_result"}
    assert world.tally() == {"succeeded": 2, "failed": 1}
    world.api().retry("reviews")
    world.run()
    assert world.tally() == {"succeeded": 3}


@pytest.mark.fault(25)
def test_the_first_of_two_lines_wins_and_the_second_is_an_incident(world: World) -> None:
    def double(lines: list[bytes]) -> list[bytes]:
        return [*lines, lines[0].replace(b"text 0", b"another")]

    edit_lines(world, double)
    ran(world)
    assert world.answers()["i0"] == "Review: text 0"
    assert world.incidents() == ["second_result"]


@pytest.mark.parametrize(
    "custom_id",
    ["99-1-000000000000", "stranger", "", "0", "9" * 30 + "-1-x", "9" * 5_000, "١-1-x", "1-9-x"],
)
@pytest.mark.fault(26)
def test_an_unknown_custom_id_is_an_incident_and_never_an_output(
    world: World, custom_id: str
) -> None:
    def strange(lines: list[bytes]) -> list[bytes]:
        line = json.loads(lines[0]) | {"custom_id": custom_id}
        return [json.dumps(line).encode() + b"\n", *lines]

    edit_lines(world, strange)
    ran(world)
    assert world.tally() == {"succeeded": 3}
    assert len(world.incidents()) == 1
    assert world.output("results.jsonl").count(b"\n") == 3


@pytest.mark.parametrize(
    "garbage",
    [b"not json\n", b"[]\n", b"null\n", b'{"custom_id": 5}\n', b'{"a"\n', b"\xff\xfe\n", b"{}\n"],
)
@pytest.mark.fault(27)
def test_a_line_that_cannot_be_read_is_an_incident(world: World, garbage: bytes) -> None:
    edit_lines(world, lambda lines: [garbage, *lines])
    ran(world)
    assert world.tally() == {"succeeded": 3}
    assert world.incidents() == ["unreadable_line"]


@pytest.mark.fault(45)
def test_blank_lines_and_carriage_returns_mean_nothing(world: World) -> None:
    edit_lines(world, lambda lines: [b"\n", b"\r\n", *(x[:-1] + b"\r\n" for x in lines)])
    ran(world)
    assert world.tally() == {"succeeded": 3}
    assert world.incidents() == []


def test_more_than_a_hundred_strange_lines_are_counted_not_kept(world: World) -> None:
    strange = [b'{"custom_id": "stranger-%d"}\n' % n for n in range(150)]
    edit_lines(world, lambda lines: [*lines, *strange])
    ran(world)
    assert len(world.incidents()) == 100
    (collected,) = [facts for event, facts in world.events if event == "collected"]
    assert collected["incidents"] == 150


def test_a_passing_failure_is_tried_again_alone_in_a_later_batch(new_world: NewWorld) -> None:
    world = new_world(script=[Rule(prompt="text 1", times=1, status=500)])
    ran(world)
    assert world.tally() == {"succeeded": 3}
    assert [b["request_count"] for b in world.batches()] == [3, 1]
    assert world.rows("select attempts from results order by id") == [
        {"attempts": 1},
        {"attempts": 2},
        {"attempts": 1},
    ]
    first, second = world.batches()
    assert second["planned_at"] - first["collected_at"] >= 60


def test_attempts_end(new_world: NewWorld) -> None:
    world = new_world(script=[Rule(prompt="text 1", status=500)])
    ran(world, attempts=2)
    assert world.failures() == {"i1": "server_error"}
    assert sum(world.executions().values()) == 4


@pytest.mark.parametrize("status", [400, 401, 404, 413])
def test_a_permanent_failure_is_not_tried_again(new_world: NewWorld, status: int) -> None:
    world = new_world(script=[Rule(prompt="text 1", status=status)])
    ran(world)
    assert world.states()["i1"] == "failed"
    assert set(world.executions().values()) == {1}


def test_every_attempt_has_a_custom_id_of_its_own(new_world: NewWorld) -> None:
    world = new_world(script=[Rule(status=500)])
    ran(world, 1, attempts=3)
    assert [custom_id.split("-")[:2] for custom_id in world.charges()] == [
        ["1", "1"],
        ["1", "2"],
        ["1", "3"],
    ]


def test_retries_wait_longer_each_time(new_world: NewWorld) -> None:
    world = new_world(script=[Rule(status=500)])
    ran(world, 1, attempts=4)
    batches = world.batches()
    waits = [b["planned_at"] - a["collected_at"] for a, b in itertools.pairwise(batches)]
    assert [w >= least for w, least in zip(waits, (60, 600, 3_600), strict=True)] == [True] * 3
