"""What refused batches cost their items: nothing, however many there are."""

import json
from collections.abc import Callable

import pytest
from runnerkit import NewWorld, World, items

from batchrun.backends.base import RemoteBatch
from batchrun.backends.reading import read_batch
from batchrun.model import Limits
from batchrun.planning.policy import RUNS_PER_ATTEMPT
from batchrun.service.options import Options
from batchrun.service.responders.script import Rule

PER_BATCH = 20


def test_items_refused_by_a_full_queue_keep_their_attempts(new_world: NewWorld) -> None:
    last = PER_BATCH * 12 - 1
    world = new_world(
        limits=Limits(request_count=PER_BATCH),
        options=Options(queue_tokens=44 * PER_BATCH, line_s=60),
        script=[Rule(prompt=f"item {last} ", times=1, status=500)],
    )
    world.write([{"id": f"i{n}", "text": f"item {n} " + "x" * 90} for n in range(last + 1)])
    world.submit()
    world.run()
    assert world.tally() == {"succeeded": last + 1}


def test_an_item_may_be_refused_with_its_batch_more_often_than_it_may_run(world: World) -> None:
    """The validator names another line each time; the last item goes again each time, unspent, and then fails once and is retried."""
    others = RUNS_PER_ATTEMPT * 3 + 3
    world.write(items(others + 1))
    named: dict[str, int] = {}

    def edit(batch: RemoteBatch) -> RemoteBatch:
        if batch.id not in named and len(named) >= others:
            return batch
        named.setdefault(batch.id, len(named))
        error = {"code": "invalid_request", "message": "refused", "line": 1, "param": None}
        nothing = {
            "status": "failed",
            "in_progress_at": None,
            "output_file_id": None,
            "error_file_id": None,
            "usage": None,
            "request_counts": {"total": 0, "completed": 0, "failed": 0},
            "errors": {"object": "list", "data": [error]},
        }
        return read_batch({**batch.raw, **nothing})

    world.wire.edit = edit
    world.wire.content = once_out_of_order()
    world.submit()
    world.run()
    states = world.states()
    assert states.pop(f"i{others}") == "succeeded"
    assert set(states.values()) == {"failed"}
    assert world.rows("select max(sends) as most from item_rows")[0]["most"] > others


def once_out_of_order() -> Callable[[str, bytes], bytes]:
    """The first result file that is read tells of a server error instead of an answer."""
    seen: list[str] = []

    def content(file_id: str, data: bytes) -> bytes:
        if seen and seen[0] != file_id:
            return data
        seen.append(file_id)
        line = json.loads(data)
        error = {"error": {"message": "out of order", "type": "server_error", "code": None}}
        line["response"].update(status_code=500, body=error)
        return json.dumps(line).encode() + b"\n"

    return content


def expiring(world: World, times: int) -> None:
    """The service's window ends `times` times before anything ran."""
    ids: list[str] = []

    def edit(batch: RemoteBatch) -> RemoteBatch:
        if batch.id not in ids:
            ids.append(batch.id)
        if ids.index(batch.id) >= times:
            return batch
        nothing = {"total": batch.total_count, "completed": 0, "failed": 0}
        files = {"output_file_id": None, "error_file_id": None, "request_counts": nothing}
        return read_batch({**batch.raw, "status": "expired", "usage": None, **files})

    world.wire.edit = edit


@pytest.mark.parametrize(("times", "state"), [(8, "succeeded"), (9, "failed")])
def test_an_item_whose_window_ends_nine_times_is_given_up(
    world: World, times: int, state: str
) -> None:
    world.write(items(1))
    expiring(world, times)
    world.submit()
    for _ in range(3):
        world.run()
        world.submit()  # a job is paused after five batches without an answer
    assert world.states() == {"i0": state}


def test_an_item_that_was_given_up_has_all_its_runs_when_it_is_asked_again(world: World) -> None:
    world.write(items(1))
    expiring(world, 12)
    world.submit()
    for _ in range(3):
        world.run()
        world.submit()
    assert world.states() == {"i0": "failed"}
    world.api().retry("reviews")
    for _ in range(3):
        world.run()
        world.submit()
    assert world.states() == {"i0": "succeeded"}
