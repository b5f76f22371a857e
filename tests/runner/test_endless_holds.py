"""A hold that no time ends is told by every pass, and nobody sleeps for it: neither `wait`, nor a date that no calendar knows."""

import json
import os
import subprocess
import sys

import pytest
from runnerkit import PROFILE, World, items
from test_look_first import queued, restore

from batchrun.recovery.holding import begin, end


def held(world: World) -> None:
    """Queued items of a profile whose recovery has begun and not ended."""
    world.write(items(3))
    world.submit(send=False)
    with world.ledger() as ledger, ledger.transaction():
        begin(ledger, PROFILE)


def test_the_second_wait_of_an_older_ledger_ends_as_the_first_did(world: World) -> None:
    backup = queued(world)
    restore(world, backup)
    world.clock.advance(300)
    began = world.clock.now()
    for _ in range(3):
        result, is_done = world.api().wait()
        (problem,) = result.problems
        assert "batchrun recover" in str(problem)
        assert problem.exit_code == 6
        assert not is_done
    assert world.clock.now() - began < 60


def test_a_tick_with_nothing_to_do_tells_the_hold_too(world: World) -> None:
    held(world)
    world.tick()
    result = world.api().tick()
    assert result is not None
    (problem,) = result.problems
    assert "batchrun recover" in str(problem)
    assert result.next_at is None


def test_a_hold_behind_which_nothing_waits_is_told_to_nobody(world: World) -> None:
    world.write(items(3))
    world.submit()
    world.run()
    with world.ledger() as ledger, ledger.transaction():
        begin(ledger, PROFILE)
    assert world.tick().problems == ()
    (job,) = world.api().status()
    assert (job.waiting, job.is_held) == ((), True)


def test_when_the_hold_is_lifted_the_work_goes_on(world: World) -> None:
    held(world)
    world.tick()
    with world.ledger() as ledger, ledger.transaction():
        end(ledger, PROFILE)
    result = world.run()
    assert result.problems == ()
    assert world.tally() == {"succeeded": 3}


@pytest.mark.parametrize(
    "command", [["tick"], ["wait"], ["submit", "{job}", "--yes"], ["run", "{job}", "--yes"]]
)
def test_commands_end_with_6_and_no_moment(world: World, command: list[str]) -> None:
    held(world)
    words = [word.format(job=world.job_file) for word in command]
    done = subprocess.run(
        [sys.executable, "-m", "batchrun", *words, "--json", "--home", str(world.home.path)],
        cwd=world.folder,
        capture_output=True,
        text=True,
        env={**os.environ, "OPENAI_API_KEY": "sk-x"},
        timeout=60,
        check=False,
    )
    assert done.returncode == 6, done.stderr
    document = json.loads(done.stdout)
    assert document["next_at"] is None
    assert "batchrun recover" in document["problems"][0]["message"]
