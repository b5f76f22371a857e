"""An audit that ends between the plan of a sweep and the sweep itself is over, and no error of ours."""

from dataclasses import replace

from runnerkit import NewWorld, items

from batchrun.backends.base import Backend
from batchrun.errors import Ambiguous
from batchrun.testing_backend import Fault


def test_an_audit_that_ends_while_the_backend_is_opened_ends_the_pass_well(
    new_world: NewWorld,
) -> None:
    world = new_world(faults=[Fault(call="create", error=Ambiguous("timed out"), when="after")])
    world.write(items(3))
    world.submit()
    world.run_until(lambda: world.batches()[0]["name"] == "collected")
    now = world.clock.now()
    with world.ledger() as ledger, ledger.transaction():
        ledger.execute("update batch_rows set audit_until = ?, next_at = ?", (now + 1, now))
        ledger.execute("delete from meta where key glob 'tidy:*'")

    def open_slowly(_: str) -> Backend:
        world.clock.advance(1)
        return world.backend

    runner = replace(world.api()._runner(), open_backend=open_slowly)
    result = runner.run_pass(lock_wait_s=0)
    assert result.problems == ()
    assert result.next_at is None
    assert world.tally() == {"succeeded": 3}
