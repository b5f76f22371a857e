"""Who waits for money, and for how long: as long as something that is out may make room, and no longer."""

from typing import Any

import pytest
from runnerkit import DAY_S, World, items

PRICE = '[price."gpt-4.1-mini"]\nbatch = { input = 10, output = 100 }\n'
# At worst $0.107 a request.


@pytest.fixture
def two_jobs(world: World) -> World:
    """A job whose batch takes all of a limit, and another that waits for it."""
    (world.folder / "batchrun.toml").write_text(PRICE + "[budget]\nday = 0.33\n")
    world.write(items(3))
    world.submit()
    other = world.folder / "other.jsonl"
    world.write(items(2), other, job="other", prompt="Other: {{ text }}")
    world.submit(other)
    return world


def status(world: World, name: str) -> Any:
    (found,) = world.api().status((name,))
    return found


def test_what_is_out_of_another_job_may_make_room_and_is_waited_for(two_jobs: World) -> None:
    found = status(two_jobs, "other")
    assert found.short.startswith("$0.00")
    assert "More is sent as batches that are out are settled" in found.short
    assert (found.is_stuck, found.exit_code) == (False, 4)
    assert two_jobs.api().untold_shortages() == frozenset()
    _, is_done = two_jobs.api().wait(("other",), until=two_jobs.clock.now())
    assert not is_done
    two_jobs.run()
    assert (status(two_jobs, "other").short, status(two_jobs, "other").exit_code) == (None, 0)


def test_a_day_that_is_used_up_is_told_once_a_day(world: World) -> None:
    (world.folder / "batchrun.toml").write_text(PRICE + "[budget]\nday = 0.11\n")
    world.write(items(20))
    world.submit()
    told = []
    for _ in range(3):
        world.run()
        result, is_waited_out = world.api().wait(until=world.clock.now() + DAY_S)
        assert (result.problems, is_waited_out) == ((), True)
        found = status(world, "reviews")
        assert (found.is_stuck, found.exit_code) == (True, 8)
        untold = world.api().untold_shortages()
        told.append(bool(untold))
        world.api().mark_shortages_told(untold)
        world.tick()
        assert world.api().untold_shortages() == frozenset()
        assert world.api().tick() is not None
        world.clock.advance(DAY_S)
    assert told == [True, True, True]
    assert world.tally()["succeeded"] > 2


def test_a_larger_limit_ends_the_wait_without_a_word(world: World) -> None:
    (world.folder / "batchrun.toml").write_text(PRICE + "[budget]\nday = 0.01\n")
    world.write(items(2))
    world.submit()
    assert "more than a whole day may cost" in status(world, "reviews").short
    (world.folder / "batchrun.toml").write_text(PRICE)
    world.tick()
    assert status(world, "reviews").short is None
    world.run()
    assert world.tally() == {"succeeded": 2}


def test_a_job_that_waits_for_money_and_is_cancelled_waits_no_more(world: World) -> None:
    (world.folder / "batchrun.toml").write_text(PRICE + "[budget]\nday = 0\n")
    world.write(items(2))
    world.submit()
    assert status(world, "reviews").exit_code == 8
    world.api().cancel("reviews")
    world.run()
    assert world.rows("select * from short_of_money") == []
    assert status(world, "reviews").exit_code == 3


@pytest.mark.parametrize("change", ["smaller requests", "the large one deleted", "a lower price"])
def test_a_job_that_was_too_dear_and_is_made_cheaper_goes_on(world: World, change: str) -> None:
    limit = "[budget]\nmonth = 0.12\n"
    large, small = {"id": "large", "text": "word " * 3_000}, {"id": "small", "text": "another"}
    (world.folder / "batchrun.toml").write_text(PRICE + limit)
    world.write([large, small])
    world.submit()
    world.run()
    assert "more than a whole month may cost" in status(world, "reviews").short
    match change:
        case "smaller requests":
            world.write([{"id": "large", "text": "shorter"}, small], max_output_tokens=10)
            world.submit()
        case "the large one deleted":
            world.write([small])
            world.submit()
        case _:
            cheaper = PRICE.replace("100", "1").replace("10,", "0.1,")
            (world.folder / "batchrun.toml").write_text(cheaper + limit)
    world.run()
    assert "pending" not in world.tally()
    assert status(world, "reviews").short is None
