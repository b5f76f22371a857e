"""Before anything is sent there must be room on the disk for what comes back."""

import shutil

import pytest
from runnerkit import World, items

from batchrun.errors import LedgerError


def claim(world: World, size: int) -> None:
    """Let the ledger believe that the requests of its one batch are this large."""
    with world.ledger() as ledger, ledger.transaction():
        ledger.execute("update batch_rows set input_bytes = ?", (size,))


def planned(world: World) -> int:
    """A job whose batch is planned and not uploaded; returns its bytes."""
    from batchrun.running.form import form_from_file

    world.write(items(3))
    world.submit(send=False)
    with world.ledger() as ledger:
        form_from_file(ledger, 1, world.clock.now())
    (batch,) = world.batches()
    return int(batch["input_bytes"])


@pytest.mark.fault(30)
def test_without_room_for_the_answers_nothing_is_sent(world: World) -> None:
    size = planned(world)
    free = shutil.disk_usage(world.folder).free
    claim(world, free)
    (problem,) = world.tick().problems
    assert isinstance(problem, LedgerError)
    assert problem.exit_code == 7
    assert f"takes up to {3 * free:,}" in str(problem)
    assert "upload" not in world.backend.calls
    (job,) = world.api().status()
    assert job.waiting == (str(problem),)
    claim(world, size)
    world.run()
    assert world.tally() == {"succeeded": 3}


@pytest.mark.fault(30)
def test_what_is_under_way_needs_its_room_too(world: World) -> None:
    world.write(items(3))
    world.submit()
    size = int(world.batches()[0]["input_bytes"])
    claim(world, shutil.disk_usage(world.folder).free)
    other = world.folder / "other.jsonl"
    world.write(items(2), other, job="other")
    _, result = world.api().submit([other])
    assert result is not None
    assert [problem.exit_code for problem in result.problems] == [7]
    assert world.backend.calls.count("upload") == 1
    with world.ledger() as ledger, ledger.transaction():
        ledger.execute("update batch_rows set input_bytes = ? where id = 1", (size,))
    world.run()
    assert set(world.executions().values()) == {1}
    assert len(world.executions()) == 5
