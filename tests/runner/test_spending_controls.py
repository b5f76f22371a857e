"""The tests of limits can fail: with one part of how money is kept taken out, the same meter finds a limit passed.

Each control lives through its night twice: with the protocol whole nothing is passed, and without the part something is.
"""

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from runnerkit import items
from spendingkit import MeteredWorld, metered_world, watched
from test_lost_batches import vanish

from batchrun.backends.base import RemoteBatch
from batchrun.errors import Refused
from batchrun.ledger import billing
from batchrun.ledger.bills import Bill, insert_bill, settle_bill
from batchrun.ledger.connection import Ledger
from batchrun.running import form, performing, send
from batchrun.running.context import PassContext
from batchrun.running.observe import cancel
from batchrun.testing_backend import Fault

Night = Callable[[MeteredWorld], None]
# Three answers of these fit into no day, two of them do.
BUDGET = "[budget]\nday = 0.3\n"


def add_job(world: MeteredWorld, name: str, count: int = 2) -> None:
    path = world.write(items(count), world.folder / f"{name}.jsonl", job=name)
    assert world.submit(path, send=False).error is None


def is_passed(folder: Path, night: Night) -> bool:
    """Whether a night with this limit passes it."""
    folder.mkdir()
    world = metered_world(folder)
    world.set_budget(BUDGET)
    try:
        with watched(world):
            night(world)
        world.check_meter()
    except AssertionError as violation:
        if "$0.30 a day" not in str(violation):
            raise
        return True
    finally:
        world.let_go()
    return False


def check(folder: Path, night: Night, take_out: Callable[[], None]) -> None:
    assert not is_passed(folder / "whole", night)
    take_out()
    assert is_passed(folder / "without", night)


def plain(world: MeteredWorld) -> None:
    add_job(world, "one", 3)
    add_job(world, "two", 3)
    world.run()


def with_edited_answers(edit: Callable[[bytes], bytes], *, says_usage: bool) -> Night:
    """What the service sends back of each result file is edited; of the batch it says what that took, or not."""

    def night(world: MeteredWorld) -> None:
        world.wire.content = lambda _, content: edit(content)
        if not says_usage:
            world.wire.edit = lambda batch: replace(batch, raw={**batch.raw, "usage": None})
        plain(world)

    return night


def cancelled(world: MeteredWorld) -> None:
    """A job is cancelled when one of its lines was executed; its batch takes a while to end."""
    add_job(world, "one")
    world.tick()
    for seconds in (0, 60, 25):
        world.clock.advance(seconds)
        world.serve()
    assert len(world.metered()) == 1
    add_job(world, "two")
    world.api().cancel("one")
    world.run()


def lost(world: MeteredWorld) -> None:
    """The service shows a batch no more, and executes it on the next day, on which another job wants to be paid."""
    add_job(world, "one")
    world.clock.advance(6 * 3_600)
    world.tick()
    vanish(world)
    while (next_at := world.tick().next_at) and world.batches()[0]["name"] != "lost":
        world.clock.sleep_until(next_at)
    world.clock.advance(6 * 3_600)
    add_job(world, "two")
    for _ in range(20):
        world.tick()
        world.serve()
        world.clock.advance(60)
    assert len(world.metered()) >= 2


def refused(world: MeteredWorld) -> None:
    """Two creates are refused, of which the second took effect, and the listing does not show that yet."""
    add_job(world, "one")
    for number, when in ((1, "before"), (2, "after")):
        error = Refused("bad gateway", status=400)
        world.backend.add(Fault(call="create", error=error, number=number, when=when))  # type: ignore[arg-type]
    world.wire.lag_s = 110
    world.tick()
    add_job(world, "two")
    world.run()


def without_reservation(patch: pytest.MonkeyPatch) -> None:
    insert = insert_bill

    def nothing_reserved(ledger: Ledger, *, batch: int, bill: Bill, at: int) -> None:
        insert(ledger, batch=batch, bill=replace(bill, reserved=0), at=at)

    patch.setattr(form, "insert_bill", nothing_reserved)


def reserved_after_create(patch: pytest.MonkeyPatch) -> None:
    insert, record = insert_bill, send.record_created
    later: dict[int, dict[str, Any]] = {}
    patch.setattr(form, "insert_bill", lambda _, **bill: later.update({bill["batch"]: bill}))
    patch.setattr(send, "is_unpaid", lambda *_: False)

    def record_created(
        ctx: PassContext, batch: sqlite3.Row, remote: RemoteBatch, *, is_first: bool
    ) -> None:
        record(ctx, batch, remote, is_first=is_first)
        with ctx.ledger.transaction():
            insert(ctx.ledger, **later.pop(batch["id"]))

    patch.setattr(send, "record_created", record_created)


def settled_by_answers_alone(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(billing, "service_usage", lambda _: None)


def presumed_forgotten(patch: pytest.MonkeyPatch) -> None:
    settle = settle_bill

    def settle_known(ledger: Ledger, **found: Any) -> int | None:
        return settle(ledger, **{**found, "unknown": 0})

    patch.setattr(billing, "settle_bill", settle_known)


def freed_at_cancel(patch: pytest.MonkeyPatch) -> None:
    def cancel_and_free(ctx: PassContext, row: sqlite3.Row) -> None:
        cancel(ctx, row)
        with ctx.ledger.transaction():
            ctx.ledger.execute(
                "update bills set cost = 0, booked_at = ? where batch = ? and cost is null",
                (ctx.clock.now(), row["id"]),
            )

    patch.setattr(performing, "cancel", cancel_and_free)


def lost_booked_when_it_is_lost(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(billing, "_latest_end", lambda _, at: at)


def refusals_believed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(billing, "_is_doubted", lambda *_: False)


@pytest.mark.parametrize(
    ("night", "without"),
    [
        (plain, without_reservation),
        (plain, reserved_after_create),
        (
            with_edited_answers(
                lambda content: content.replace(b'"output_tokens":1084', b'"output_tokens":1'),
                says_usage=True,
            ),
            settled_by_answers_alone,
        ),
        (
            with_edited_answers(lambda content: content.partition(b"\n")[2], says_usage=False),
            presumed_forgotten,
        ),
        (cancelled, freed_at_cancel),
        (lost, lost_booked_when_it_is_lost),
        (refused, refusals_believed),
    ],
    ids=lambda part: getattr(part, "__name__", None),
)
def test_without_one_part_a_limit_is_passed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    night: Night,
    without: Callable[[pytest.MonkeyPatch], None],
) -> None:
    check(tmp_path, night, lambda: without(monkeypatch))
