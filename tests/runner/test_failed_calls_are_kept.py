"""By what a service's support finds a call that failed is kept, whatever becomes of the batch."""

import json

import pytest
from runnerkit import NewWorld, World, items

from batchrun.errors import Ambiguous, BackendError, Refused, Transient
from batchrun.testing_backend import Fault


def failed_call(world: World) -> object:
    (row,) = world.rows("select failed_call from batch_rows")
    return row["failed_call"] and json.loads(row["failed_call"])


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("upload", Transient),
        ("upload", Refused),
        ("create", Transient),
        ("create", Ambiguous),
        ("create", Refused),
        ("retrieve", Transient),
        ("retrieve", Refused),
    ],
)
def test_a_call_that_the_service_answered_with_an_error_is_kept(
    new_world: NewWorld, call: str, error: type[BackendError]
) -> None:
    status = 400 if error is Refused else 500
    failed = error("no", status=status, code="broken", request_id="req_7")
    world = new_world(faults=[Fault(call=call, error=failed)])
    world.write(items(2))
    world.submit()
    if call == "retrieve":
        listing = Fault(call="list_batches", error=Transient("no"), number=None)
        world.backend.add(listing)  # so that it is asked for by itself
        world.clock.advance(100)
        world.tick()
    assert failed_call(world) == {
        "at": world.clock.now(),
        "status": status,
        "code": "broken",
        "request_id": "req_7",
    }


def test_a_call_without_an_answer_has_nothing_to_keep(new_world: NewWorld) -> None:
    world = new_world(faults=[Fault(call="upload", error=Transient("no route"))])
    world.write(items(2))
    world.submit()
    assert failed_call(world) is None
