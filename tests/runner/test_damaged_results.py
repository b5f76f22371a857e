"""Result files that cannot be read: kept, downloaded once more, and then a person's matter. No paid answer is given up for them."""

from collections.abc import Callable

import pytest
from runnerkit import World, items

from batchrun.errors import UsageError


def spoil(world: World, edit: Callable[[bytes], bytes], *, times: int = 1_000) -> list[int]:
    """Downloads come as `edit` makes them, the first so many times; returns the counter of those left."""
    left = [times]

    def content(_: str, whole: bytes) -> bytes:
        left[0] -= 1
        return edit(whole) if left[0] >= 0 else whole

    world.wire.content = content
    return left


def page(_: bytes) -> bytes:
    return b"<html>\n<body>Please log in</body>\n</html>\n"


def half(whole: bytes) -> bytes:
    """Every second line is cut."""
    lines = whole.splitlines(keepends=True)
    return b"".join(line[:20] + b"\n" if n % 2 else line for n, line in enumerate(lines))


def until_person(world: World, count: int = 10) -> str:
    world.write(items(count))
    world.submit()
    world.run_until(lambda: "unreadable_results" in world.incidents())
    (batch,) = world.batches()
    assert batch["name"] == "ended"
    return str(batch["reason"])


@pytest.mark.fault(19, 27)
@pytest.mark.parametrize("edit", [page, half])
def test_a_file_that_cannot_be_read_is_downloaded_once_more(
    world: World, edit: Callable[[bytes], bytes]
) -> None:
    spoil(world, edit, times=1)
    world.write(items(10))
    world.submit()
    world.run()
    assert world.tally() == {"succeeded": 10}
    assert world.incidents() == []
    assert world.home.suspect_file(1, 0).exists(), "the first one is kept"
    assert world.backend.calls.count("download") == 2


@pytest.mark.fault(27)
@pytest.mark.parametrize("edit", [page, half])
def test_a_file_that_is_no_better_the_second_time_waits_for_a_person(
    world: World, edit: Callable[[bytes], bytes]
) -> None:
    spoil(world, edit)
    reason = until_person(world)
    assert "lines of the output file of batch 1 cannot be read" in reason
    assert "`batchrun resolve 1 --as-is`" in reason
    assert world.tally() == {"in_flight": 10}
    world.clock.advance(3_600)
    (problem,) = world.tick().problems
    assert str(problem) == reason
    assert problem.exit_code == 6
    assert world.backend.calls.count("download") == 2, "it is not downloaded a third time"


def test_a_file_that_a_person_mended_is_collected(world: World) -> None:
    sound: list[bytes] = []

    def edit(whole: bytes) -> bytes:
        sound.append(whole)
        return page(whole)

    spoil(world, edit)
    until_person(world)
    world.home.result_file(1, 0).write_bytes(sound[0])
    world.run()
    assert world.tally() == {"succeeded": 10}


def test_a_person_may_have_it_settled_as_it_is(world: World) -> None:
    spoil(world, half)
    until_person(world)
    assert world.api().resolve(1, is_as_is=True).state == "ended"
    world.run()
    assert world.tally() == {"succeeded": 5, "failed": 5}
    assert set(world.failures().values()) == {"missing_result"}
    assert world.home.result_file(1, 0).exists()


def test_there_must_be_a_file_in_question(world: World) -> None:
    world.write(items(2))
    world.submit()
    with pytest.raises(UsageError, match="no result file that cannot be read"):
        world.api().resolve(1, is_as_is=True)
    with pytest.raises(UsageError, match="there is no batch 9"):
        world.api().resolve(9, is_as_is=True)


def test_one_broken_line_in_a_short_file_is_an_incident_of_its_item(world: World) -> None:
    spoil(world, lambda whole: whole[:-30] + b"\n")
    world.write(items(3))
    world.submit()
    world.run()
    assert sorted(world.tally().items()) == [("failed", 1), ("succeeded", 2)]
    assert world.incidents() == ["unreadable_line", "usage_differs"]
    (differs,) = world.rows("select message from incidents where kind = 'usage_differs'")
    assert "(1 of its 3 requests brought no answer here)" in differs["message"]


@pytest.mark.fault(27)
def test_few_broken_lines_in_a_long_file_are_incidents(world: World) -> None:
    def edit(whole: bytes) -> bytes:
        lines = whole.splitlines(keepends=True)
        return b"".join([b"x\n", b"y\n", *lines])

    spoil(world, edit)
    world.write(items(300))
    world.submit()
    world.run()
    assert world.tally() == {"succeeded": 300}
    assert world.incidents() == ["unreadable_line"] * 2
