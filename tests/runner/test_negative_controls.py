"""The crash tests can fail: with one part of the protocol taken out, the same scenarios find money spent twice.

Each control runs its scenarios twice, with the protocol whole (none may fail) and without the part (at least one must).
"""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from crashkit import HASTY, Violation, fresh, submit_points, survive
from runnerkit import World

from batchrun.backends.base import Backend, BatchPage
from batchrun.errors import Ambiguous
from batchrun.running import runner, sweep
from batchrun.running.context import PassContext
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
            except Violation as violation:
                yield str(violation)
            finally:
                world.embedded.close()


def late(delay: int, *, lag: int = 0, delete_lag: int = 0) -> Scenario:
    def scenario(world: World) -> list[int | None]:
        world.wire.delays, world.wire.lag_s, world.wire.delete_lag_s = (delay,), lag, delete_lag
        return []

    return scenario


def dies_at(point: int) -> Scenario:
    return lambda _: [point]


def blind(world: World) -> list[int | None]:
    """The answer to a create is lost, and for a quarter of an hour (longer than both waits) the listing breaks off before it begins."""
    world.backend.add(Fault(call="create", error=Ambiguous("timed out"), when="after"))
    world.wire.page = lambda page: (
        BatchPage(batches=(), has_more=True) if world.clock.now() < START + 900 else page
    )
    return []


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

    monkeypatch.setattr(runner, "create", effect_first)
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
    scenarios = [late(delay) for delay in (650, 1_000, 3_000)]
    assert list(violations(scenarios)) == []

    def no_fence(ctx: PassContext, backend: Backend, row: object) -> bool:
        return True

    monkeypatch.setattr(sweep, "_fence", no_fence)
    assert any(violations(scenarios))


def test_an_incomplete_listing_taken_for_absence_buys_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert list(violations([blind])) == []
    read = sweep.read_listing

    def credulous(backend: Backend, floor: int) -> sweep.Listing:
        return replace(read(backend, floor), is_complete=True)

    monkeypatch.setattr(sweep, "read_listing", credulous)
    assert any(violations([blind]))
