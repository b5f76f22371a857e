"""Words of the service that no text, no row and no terminal should have to hold."""

import itertools
from typing import Any

import pytest
from runnerkit import World, items

from batchrun.backends.base import RemoteBatch
from batchrun.backends.reading import FOREIGN_TEXT_LIMIT, read_batch


def ran(world: World, count: int = 3, **changes: Any) -> World:
    world.write(items(count), **changes)
    world.submit()
    world.run()
    return world


@pytest.mark.parametrize("line", [None, 2], ids=["of the batch", "of one line"])
@pytest.mark.fault(43)
def test_a_refusal_in_words_that_no_text_can_hold_fails_the_items_and_stops_nothing(
    world: World, line: int | None
) -> None:
    refuse_all(world, "bad \ud800 thing", line)
    ran(world)
    assert world.failures() == {f"i{n}": "rejected" for n in (range(3) if line is None else [1])}
    for message in messages(world):
        assert "\\ud800" in message


def test_a_refusal_of_a_megabyte_is_kept_short_in_every_item(world: World) -> None:
    refuse_all(world, "x" * 1_000_000, None)
    ran(world, 50)
    assert len(messages(world)) == 50
    assert max(map(len, messages(world))) <= FOREIGN_TEXT_LIMIT
    assert {len(b["reason"]) for b in world.batches()} == {FOREIGN_TEXT_LIMIT}


def test_a_status_that_no_text_can_hold_is_remembered_and_waited_out(world: World) -> None:
    shown = itertools.count()

    def odd(batch: RemoteBatch) -> RemoteBatch:
        return read_batch({**batch.raw, "status": "on\udfffhold"}) if next(shown) < 3 else batch

    world.wire.edit = odd
    ran(world)
    assert world.tally() == {"succeeded": 3}


def refuse_all(world: World, message: str, line: int | None) -> None:
    """The service refuses the first batch in these words, and takes what comes after."""
    first: list[str] = []

    def edit(batch: RemoteBatch) -> RemoteBatch:
        if batch.id != (first or [batch.id])[0]:
            return batch
        if not first:
            first.append(batch.id)
            world.service.cancel_batch(batch.id)
        error = {"code": "weird", "message": message, "line": line}
        raw = {key: batch.raw[key] for key in ("id", "created_at", "input_file_id", "metadata")}
        return read_batch({**raw, "status": "failed", "errors": {"data": [error]}})

    world.wire.edit = edit


def messages(world: World) -> list[str]:
    return [row["message"] for row in world.rows("select message from failures")]
