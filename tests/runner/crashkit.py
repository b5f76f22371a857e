"""Killing batchrun anywhere: each pass runs in a forked process that ends, without any clean-up, at a numbered point.

Points lie before and after every commit of the ledger, before and after every call to the service, and around every rename in the spool.
`os._exit` stands for SIGKILL: no `finally`, no rollback, no temp file removed.
"""

import os
import sqlite3
import sys
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from runnerkit import DAY_S, World, check_invariants, items

from batchrun.backends.base import Traits
from batchrun.ledger import requestfiles, spool
from batchrun.ledger.states import FINAL_BATCH_STATES, BatchState
from batchrun.running import results
from batchrun.service.responders.script import Rule
from batchrun.testing_backend import FaultyBackend

_KILLED: Final = 9
_BROKEN: Final = 8


@dataclass(slots=True)
class Points:
    """Counts the points that a process passes, and ends it at the one numbered `kill` (from 1)."""

    kill: int | None = None
    passed: list[str] = field(default_factory=list)

    def at(self, name: str) -> None:
        self.passed.append(name)
        if len(self.passed) == self.kill:
            os._exit(_KILLED)


def _install(points: Points, world: World) -> None:
    """Lay the points in this (forked) process; it never comes back, so nothing is restored."""

    class Watched(sqlite3.Connection):
        """A connection to the ledger: every commit is two points, whoever makes it."""

        def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
            is_commit = sql.strip().lower() == "commit"
            if is_commit:
                points.at("before commit")
            cursor = super().execute(sql, *arguments)
            if is_commit:
                points.at("after commit")
            return cursor

    connect = sqlite3.connect

    def watched_connect(database: Any, **settings: Any) -> sqlite3.Connection:
        if Path(database) == world.home.database:
            settings["factory"] = Watched
        connection: sqlite3.Connection = connect(database, **settings)
        return connection

    sqlite3.connect = watched_connect  # type: ignore[assignment]
    publish = spool.publish

    def watched_publish(temp: Path, path: Path) -> None:
        points.at("before rename")
        publish(temp, path)
        points.at("after rename")

    requestfiles.publish = watched_publish  # type: ignore[attr-defined]
    results.publish = watched_publish  # type: ignore[attr-defined]
    for backend in world.backends:
        _watch_calls(points, backend)


def _watch_calls(points: Points, backend: FaultyBackend) -> None:
    run = backend._run

    def watched_run(name: str, call: Callable[[], Any]) -> Any:
        points.at(f"before {name}")
        answer = run(name, call)
        points.at(f"after {name}")
        return answer

    backend._run = watched_run  # type: ignore[method-assign]


def in_child(world: World, do: Callable[[], object], kill: int) -> bool:
    """Do it in a process of its own that dies at point `kill`; whether it lived. What it prints on failure fails the test."""
    world.let_go()  # no SQLite connection may cross a fork
    return _ended_well(_started(world, do, kill))


def at_once(world: World, *do: Callable[[], object]) -> None:
    """Do each in a process of its own, all at the same time."""
    world.let_go()
    children = [_started(world, one, None) for one in do]
    lived = [
        _ended_well(child) for child in children
    ]  # each is waited for, whatever the others did
    assert all(lived)


def _started(world: World, do: Callable[[], object], kill: int | None) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # 3.12+: a fork beside threads; ours has none that matter
        child = os.fork()
    if child == 0:
        status = _BROKEN
        try:
            _install(Points(kill), world)
            do()
            status = 0
        except BaseException:  # noqa: BLE001 - whatever it is, it must not run on in the parent's code
            traceback.print_exc(file=sys.stderr)
        finally:
            sys.stderr.flush()
            os._exit(status)
    return child


def _ended_well(child: int) -> bool:
    _, result = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(result)
    assert code in {0, _KILLED}, f"the process ended with {code}: see its traceback above"
    return code == 0


def count_points(world: World, do: Callable[[], object]) -> list[str]:
    """The points of doing it, without dying; in a process of its own, all the same."""
    world.let_go()
    readable, writable = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        points = Points()
        _install(points, world)
        do()
        os.write(writable, "\n".join(points.passed).encode())
        os._exit(0)
    os.close(writable)
    with os.fdopen(readable, "rb") as pipe:
        passed = pipe.read().decode().splitlines()
    os.waitpid(child, 0)
    return passed


def live(world: World, kills: list[int | None], *, most: int = 600) -> None:
    """Submit and tick to the end, process k dying at point kills[k] (None: it lives). A dead submit is made again, as a user would."""
    left = list(kills)
    is_submitted = False
    for _ in range(most):
        kill = left.pop(0) if left else None
        do: Callable[[], object] = world.tick if is_submitted else world.submit
        lived = True
        if kill is None:
            do()
        else:
            lived = in_child(world, do, kill)
        world.serve()
        if not lived:
            continue
        if is_submitted:
            with world.ledger() as ledger:
                check_invariants(ledger)
            next_at = world.tick_moment()
            if next_at is None:
                return
            world.clock.sleep_until(next_at if left else world.next_visit(next_at))
        is_submitted = True
    raise AssertionError(f"no end after {most} processes: {world.states()}")


class Violation(AssertionError):
    """Something was bought twice, lost, or does not add up."""


def outcome(world: World) -> tuple[bytes, bytes]:
    """The outputs, which must not depend on what happened on the way."""
    here = str(world.folder).encode()
    results, failures = world.output("results.jsonl"), world.output("failures.jsonl")
    return results, failures.replace(here, b"<here>")


def check_world(world: World, expected: tuple[bytes, bytes], executions: dict[int, int]) -> None:
    """The promise, after everything has ended and every late call has arrived. Raises Violation."""
    if outcome(world) != expected:
        raise Violation("the outputs are not those of a run without trouble")
    if twice := {c: n for c, n in world.charges().items() if n > 1}:
        raise Violation(f"custom_ids executed more than once: {twice}")
    if world.executions() != executions:
        raise Violation(f"items executed {world.executions()}, not {executions}")
    rows = world.batches()
    owned = {row["remote_id"] for row in rows}
    tokens = {row["token"] for row in rows}
    for remote in world.remotes():
        ran = remote["request_counts"]["completed"] + remote["request_counts"]["failed"]
        if remote["metadata"]["batchrun"] not in tokens:
            raise Violation(f"nobody owns {remote['id']}")
        if ran and remote["id"] not in owned:
            raise Violation(f"{remote['id']} ran, and nobody collected it")
    if any(BatchState(row["state"]) not in FINAL_BATCH_STATES for row in rows):
        raise Violation("a batch is not final")
    with world.ledger() as ledger:
        check_invariants(ledger)


SCRIPT: Final = [
    Rule(prompt="text 1", times=1, status=500),  # asked again
    Rule(prompt="text 2", status=400),  # fails for good
]


# OpenAI's manners, with shorter waits: what counts is that each wait is longer than the lags below it, not how long a night is.
HASTY: Final = Traits(settle_s=120, second_settle_s=480)
DELAYS: Final = (0, 0, 20, 110, 130, 590, 610, 3_000, None)  # seconds by which a create may be late
LAGS: Final = (0, 0, 50, 110)  # of a listing
DELETE_LAGS: Final = (0, 0, 100, 300)


@cache
def expected() -> tuple[tuple[bytes, bytes], dict[int, int]]:
    """Outputs and executions of a run in which nothing goes wrong."""
    with TemporaryDirectory() as folder:
        world = fresh(Path(folder))
        world.submit()
        world.run()
        found = outcome(world), world.executions()
        world.close()
    assert found[1] == {1: 1, 2: 2, 3: 1, 4: 1}
    return found


def fresh(folder: Path) -> World:
    """A world with four items in two models (so that there are two batches), of which one fails once and one for good."""
    world = World(folder, script=list(SCRIPT), traits=HASTY)
    rows = items(4)
    rows[3]["model"] = "gpt-4.1"
    world.write(rows)
    return world


def survive(world: World, kills: list[int | None]) -> None:
    """Live through the kills; let everything that is still on its way arrive; check the promise."""
    live(world, kills)
    world.clock.advance(2 * DAY_S)
    world.serve()
    world.run()
    check_world(world, *expected())


@cache
def submit_points() -> int:
    """How many points a submit passes in which nothing goes wrong."""
    with TemporaryDirectory() as folder:
        world = fresh(Path(folder))
        passed = count_points(world, world.submit)
        world.embedded.close()
    assert {"before create", "after create", "before rename", "after commit"} <= set(passed)
    return len(passed)
