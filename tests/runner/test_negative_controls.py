"""The crash tests can fail: with one part of the protocol taken out, the same scenarios find money spent twice.

Each control runs its scenarios twice, with the protocol whole (none may fail) and without the part (at least one must).
"""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from crashkit import HASTY, fresh, submit_points, survive
from runnerkit import World

from batchrun.backends.base import Backend, BatchPage
from batchrun.errors import Ambiguous, BackendError, NotFound, Refused, Transient
from batchrun.ledger.connection import Ledger
from batchrun.running import form, performing, send, sweep
from batchrun.running.context import PassContext
from batchrun.running.listing import Listing, read_listing
from batchrun.running.send import create
from batchrun.testing import START
from batchrun.testing_backend import Fault

Scenario = Callable[[World], list[int | None]]  # prepares a world; returns where its processes die


def violations(scenarios: Iterable[Scenario]) -> Iterator[str]:
    """What goes wrong, scenario by scenario."""
    for scenario in scenarios:
        with TemporaryDirectory() as folder:
            world = fresh(Path(folder))
            try:
                survive(world, scenario(world))
            except AssertionError as violation:  # a Violation, or an invariant of the ledger
                yield str(violation)
            finally:
                world.embedded.close()


def late(delay: int, *, lag: int = 0, delete_lag: int = 0) -> Scenario:
    def scenario(world: World) -> list[int | None]:
        world.wire.delays, world.wire.lag_s, world.wire.delete_lag_s = (delay,), lag, delete_lag
        return []

    return scenario


def untidied(scenario: Scenario) -> Scenario:
    """The same on a service that lists no files: else house-keeping would delete the old input file, and be a fence by itself."""

    def scenario_untidied(world: World) -> list[int | None]:
        world.backend.add(Fault(call="list_files", error=Refused("no", status=405), number=None))
        return scenario(world)

    return scenario_untidied


def dies_at(point: int) -> Scenario:
    return lambda _: [point]


def blind(world: World) -> list[int | None]:
    """The answer to a create is lost, and for a quarter of an hour (longer than both waits) the listing breaks off before it begins."""
    world.backend.add(Fault(call="create", error=Ambiguous("timed out"), when="after"))
    world.wire.page = lambda page: (
        BatchPage(batches=(), has_more=True) if world.clock.now() < START + 900 else page
    )
    return []


def without_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second net is taken away, which adopts what a listing shows already, and hides what the first one lets through."""
    monkeypatch.setattr(performing, "may_create", lambda *_: True)


def test_without_the_intent_before_the_call_a_crash_buys_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scenarios = [dies_at(point) for point in range(submit_points() // 2, submit_points() + 1)]

    def effect_first(ctx: PassContext, batch: sqlite3.Row) -> None:
        backend = ctx.backend(batch["profile"])
        answers: list[object] = []

        def call(**arguments: str) -> object:
            return answers.pop()

        answers.append(
            backend.create(
                input_file_id=batch["input_file_id"],
                endpoint=batch["endpoint"],
                window=batch["window"],
                metadata=json.loads(batch["metadata"]),
            )
        )
        real = backend.create
        backend.create = call  # type: ignore[method-assign,assignment]
        try:
            create(ctx, batch)
        finally:
            backend.create = real  # type: ignore[method-assign]

    without_look(monkeypatch)
    assert list(violations(scenarios)) == []
    monkeypatch.setattr(performing, "create", effect_first)
    assert any(violations(scenarios))


def test_without_the_second_wait_a_late_create_buys_twice() -> None:
    scenarios = [late(delay, lag=110, delete_lag=300) for delay in range(130, 420, 90)]
    assert list(violations(scenarios)) == []

    def hurried(scenario: Scenario) -> Scenario:
        def scenario_without(world: World) -> list[int | None]:
            world.wire._traits = replace(HASTY, second_settle_s=0)
            return scenario(world)

        return scenario_without

    assert any(violations(map(hurried, scenarios)))


def test_without_the_fence_a_late_create_buys_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    scenarios = [untidied(late(delay)) for delay in (650, 1_000, 3_000)]
    assert list(violations(scenarios)) == []

    def no_fence(ctx: PassContext, backend: Backend, row: object) -> bool:
        return True

    monkeypatch.setattr(sweep, "_fence", no_fence)
    assert any(violations(scenarios))


def test_an_incomplete_listing_taken_for_absence_buys_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert list(violations([blind])) == []

    def credulous(backend: Backend, floor: int) -> Listing:
        return replace(read_listing(backend, floor), is_complete=True)

    monkeypatch.setattr(sweep, "read_listing", credulous)
    assert any(violations([blind]))


def test_without_one_transaction_for_a_batch_and_its_items_a_crash_buys_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The batch is committed before its items are in it: after a death in between they are formed into another one."""
    assign = form._assign

    def torn(ledger: Ledger, **arguments: Any) -> None:
        ledger.execute("commit")
        ledger.execute("begin immediate")
        assign(ledger, **arguments)

    monkeypatch.setattr(form, "_assign", torn)
    assert any(violations(dies_at(point) for point in range(submit_points() + 8)))


def unseen(world: World) -> list[int | None]:
    """A create arrives when nobody looks any more, and the service does not show its input file, which is there all the same."""
    for call in ("get_file", "delete_file"):
        error = NotFound("no such file", status=404)
        world.backend.add(Fault(call=call, error=error, number=None))
    return late(3_000)(world)


def test_any_404_taken_for_a_fence_buys_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(violations([unseen])) == []

    def credulous(ctx: PassContext, backend: Backend, row: sqlite3.Row) -> bool:
        try:
            return backend.delete_file(row["input_file_id"])
        except NotFound:
            return True

    monkeypatch.setattr(sweep, "_fence", credulous)
    assert any(violations([unseen]))


def conflict(world: World) -> list[int | None]:
    """A gateway answers 409 to a create that took effect."""
    error = Ambiguous("409: try again", status=409)
    world.backend.add(Fault(call="create", error=error, when="after"))
    return []


def test_every_4xx_taken_for_a_dead_create_buys_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    without_look(monkeypatch)
    assert list(violations([conflict])) == []
    not_created = send._not_created

    def credulous(
        ctx: PassContext, batch: sqlite3.Row, exc: BackendError, *, refusals_final: bool
    ) -> None:
        if exc.status is not None and 400 <= exc.status < 500:
            exc = Transient(str(exc), status=429)
        not_created(ctx, batch, exc, refusals_final=refusals_final)

    monkeypatch.setattr(send, "_not_created", credulous)
    assert any(violations([conflict]))


def put_back(world: World) -> list[int | None]:
    """What was submitted and not sent is backed up, sent, and put back: an older ledger in the same folder."""
    world.submit(send=False)
    with sqlite3.connect(world.home.database) as connection:
        connection.execute("pragma wal_checkpoint(truncate)")
    connection.close()
    backup = world.home.database.read_bytes()
    world.tick()
    newest = world.home.database.read_bytes()
    world.home.database.write_bytes(backup)
    world.clock.advance(60)
    world.tick()
    assert newest != backup
    if len(world.remotes()) == 2:
        world.home.database.write_bytes(newest)  # the older one sent nothing; the newest goes on
    return []


def test_without_the_look_before_a_create_an_older_ledger_buys_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert list(violations([put_back])) == []
    without_look(monkeypatch)
    assert any(violations([put_back]))
