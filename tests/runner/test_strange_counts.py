"""Counts of a service are for display: whatever stands there, `status` works."""

import json

import pytest
from runnerkit import World, items

from batchrun.backends.base import RemoteBatch
from batchrun.backends.reading import read_batch
from batchrun.model import Json


@pytest.mark.parametrize(
    ("counts", "shown"),
    [
        ({"total": 2, "completed": 1, "failed": 1}, (1, 1)),
        ({"completed": "many", "failed": [1]}, (0, 0)),
        ({"completed": -3, "failed": 2.0}, (0, 2)),
        ({"completed": float("nan"), "failed": float("inf")}, (0, 0)),
        ([1, 2], (0, 0)),
        ("none", (0, 0)),
        (None, (0, 0)),
    ],
    ids=json.dumps,
)
def test_counts_that_are_none_are_shown_as_nothing(
    world: World, counts: Json, shown: tuple[int, int]
) -> None:
    def edit(batch: RemoteBatch) -> RemoteBatch:
        return read_batch({**batch.raw, "request_counts": counts})

    world.wire.edit = edit
    world.write(items(2))
    world.submit()
    (job,) = world.api().status()
    (batch,) = job.batches
    assert (batch.completed, batch.failed) == shown
