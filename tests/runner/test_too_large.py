"""A server with smaller limits than its profile says: batches are cut until they fit, and every item is still asked once."""

import pytest
from runnerkit import NewWorld, items

from batchrun.errors import Refused
from batchrun.testing_backend import Fault

TOO_LARGE = Refused("413 request entity too large", status=413)


@pytest.mark.parametrize("call", ["upload", "create"])
@pytest.mark.fault(6)
def test_a_batch_that_is_too_large_for_the_server_is_cut_in_halves(
    new_world: NewWorld, call: str
) -> None:
    world = new_world(faults=[Fault(call=call, error=TOO_LARGE)])
    world.write(items(5))
    world.submit()
    world.run()
    assert world.tally() == {"succeeded": 5}
    assert set(world.executions().values()) == {1}
    assert [batch["request_count"] for batch in world.batches()] == [5, 2, 2, 1]


@pytest.mark.fault(6)
def test_a_single_request_that_is_too_large_fails_with_the_reason(new_world: NewWorld) -> None:
    world = new_world(faults=[Fault(call="upload", error=TOO_LARGE, number=None)])
    world.write(items(1))
    world.submit()
    world.run()
    assert world.tally() == {"failed": 1}
