"""A disk that takes the bytes and then will not promise them: what was to be durable counts as not written."""

import pytest
from processkit import in_process
from runnerkit import World, items

# The far service has a disk of its own.
_TRAP = """
import errno, os
ours, left, real = (str(world.home.path), str(world.home.outputs)), {number}, os.fsync

def fsync(descriptor):
    global left
    where = os.readlink(f"/proc/self/fd/{{descriptor}}")
    if where.startswith(ours):
        left -= 1
        if left == 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO), where)
    real(descriptor)

os.fsync = fsync
"""


@pytest.mark.fault(31)
@pytest.mark.parametrize(
    "number", range(1, 7)
)  # of the home's folders, twice, and of the request file
def test_an_fsync_that_fails_in_a_submit_sends_nothing_of_it(world: World, number: int) -> None:
    world.write(items(3))
    done = in_process(
        world,
        """
        from batchrun.errors import LedgerError
        try:
            error = world.submit().error
        except LedgerError as raised:
            error = raised
        assert left <= 0, "so many are made"
        print(type(error).__name__, error)
        """,
        before=_TRAP.format(number=number),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("LedgerError ")
    assert "Input/output error" in done.stdout
    assert not world.remotes(), "nothing is sent from what may not be on the disk"
    world.submit()
    world.run()
    assert world.tally() == {"succeeded": 3}
    assert set(world.executions().values()) == {1}


@pytest.mark.fault(31)
@pytest.mark.parametrize("number", range(1, 13))
def test_an_fsync_that_fails_while_results_are_fetched_loses_none(
    world: World, number: int
) -> None:
    world.write(items(3))
    world.submit()
    world.serve()
    world.clock.advance(60)
    world.embedded.close()
    done = in_process(
        world,
        """
        from batchrun.errors import LedgerError
        try:
            problems = world.tick().problems
        except LedgerError as error:
            problems = [error]
        print(left <= 0, *problems)
        """,
        before=_TRAP.format(number=number),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("True "), "so many are made"
    assert "Input/output error" in done.stdout
    world.run()
    assert world.tally() == {"succeeded": 3}
    assert set(world.executions().values()) == {1}
    assert b"text 2" in world.output("results.jsonl")
