"""Inside the process that is to die: counts what it passes, and sends itself SIGKILL at the chosen point.

| kind      | the n-th …                                                                                   |
|-----------|----------------------------------------------------------------------------------------------|
| line      | time that one line of batchrun's sources is about to run                                      |
| statement | statement that SQLite begins, in whatever database                                            |
| effect    | moment before or after a commit, an fsync, a rename, a removal, a new folder, an HTTP call     |
| power     | the same moment; and what was not synced by then is lost (powerloss.py)                        |

Nothing of the program is replaced: the lines come from `sys.settrace`, the statements from SQLite's own trace, and the effects from
wrappers that only look. `os.kill(os.getpid(), SIGKILL)` leaves no `finally`, no flush and no rollback.
"""

import json
import os
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

from powerloss import Record, write_left

import batchrun

SOURCES: Final = f"{Path(batchrun.__file__).parent}{os.sep}"
# What decides, remembers or acts. The rest (reading job files, the words of the command line) is pure, or prints.
_TRACED: Final = (
    "running",
    "ledger",
    "outputs",
    "backends",
    "planning",
    "prepare",
    "submitting",
    "api",
    "keeping",
    "recovery",
    "verifying",
    "doctoring",
)
_CHANGES_OF_FILES: Final = ("fsync", "rename", "replace", "unlink", "mkdir")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """Where a process dies. `nth` counts from 1.

    `line`: `file:number`, relative to the sources, for that kind; for kills by others (yard.py) the system call, or the moment in a call
    to the service and its name.
    """

    kind: str
    nth: int
    line: str = ""


@dataclass(slots=True)
class Passed:
    """How often each point was passed: of lines, by their place; of the other kinds, in all."""

    lines: Counter[str] = field(default_factory=Counter)
    statements: int = 0
    effects: list[str] = field(default_factory=list)


def die() -> None:
    """Be gone before this returns."""
    os.kill(os.getpid(), signal.SIGKILL)


def lay(kill: Kill | None, *, counts: bool, root: Path, left: Path) -> Passed:
    """Lay the trap in this process, for good; with `counts`, everything that is passed is counted into what is returned.

    `root`: the user's folder; `left`: where a loss of power writes what is left of it.
    """
    passed = Passed()
    kind = None if kill is None else kill.kind
    if counts:
        _trace_all(passed)
    if kill is not None and kind == "line":
        _trace_line(kill)
    if counts or kind == "statement":
        _watch_statements(passed, kill.nth if kill is not None and kind == "statement" else 0)
    if kill is not None and kind == "power":
        _watch_effects(passed, kill.nth, _record_syncs(root, left))
    elif counts or kind == "effect":
        _watch_effects(passed, kill.nth if kill is not None and kind == "effect" else 0, die)
    return passed


def _place(code: CodeType) -> str | None:
    """The file of a traced function, relative to the sources."""
    path = code.co_filename
    if not path.startswith(SOURCES):
        return None
    inner = path[len(SOURCES) :]
    return inner if inner.partition(os.sep)[0].removesuffix(".py") in _TRACED else None


def _trace_all(passed: Passed) -> None:
    lines, places = passed.lines, dict[CodeType, str | None]()

    def enter(frame: FrameType, _event: str, _value: object) -> Any:
        code = frame.f_code
        if code not in places:
            places[code] = _place(code)
        inner = places[code]
        if inner is None:
            return None

        def step(frame: FrameType, event: str, _value: object) -> Any:
            if event == "line":
                lines[f"{inner}:{frame.f_lineno}"] += 1
            return step

        return step

    sys.settrace(enter)


def _trace_line(kill: Kill) -> None:
    inner, _, number = kill.line.rpartition(":")
    path, at, left = SOURCES + inner, int(number), kill.nth

    def step(frame: FrameType, event: str, _value: object) -> Any:
        nonlocal left
        if event == "line" and frame.f_lineno == at:
            left -= 1
            if not left:
                die()
        return step

    def enter(frame: FrameType, _event: str, _value: object) -> Any:
        return step if frame.f_code.co_filename == path else None

    sys.settrace(enter)


def _watch_statements(passed: Passed, nth: int) -> None:
    def begun(_sql: str) -> None:
        passed.statements += 1
        if passed.statements == nth:
            die()

    def watch(connection: sqlite3.Connection) -> None:
        connection.set_trace_callback(begun)

    _watch_connections(watch, sqlite3.Connection)


def _watch_connections(
    watch: Callable[[sqlite3.Connection], None], factory: type[sqlite3.Connection]
) -> None:
    connect = sqlite3.connect

    def watched(*arguments: Any, **settings: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **{"factory": factory, **settings})
        watch(connection)
        return connection

    sqlite3.connect = watched  # type: ignore[assignment]


def _record_syncs(root: Path, left: Path) -> Callable[[], None]:
    """Keep the record of what is durable; returns how to die so that only this is left."""
    record, fsync = Record(root), os.fsync

    def recorded(descriptor: Any) -> None:
        fsync(descriptor)
        record.synced(descriptor)

    def lose_power() -> None:
        write_left(record, left)
        die()

    vars(os)["fsync"] = recorded
    return lose_power


def _watch_effects(passed: Passed, nth: int, end: Callable[[], None]) -> None:
    def at(name: str) -> None:
        passed.effects.append(name)
        if len(passed.effects) == nth:
            end()

    def watched(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def around(*arguments: Any, **settings: Any) -> Any:
            at(f"before {name}")
            answer = call(*arguments, **settings)
            at(f"after {name}")
            return answer

        return around

    for name in _CHANGES_OF_FILES:
        setattr(os, name, watched(name, getattr(os, name)))

    class Watched(sqlite3.Connection):
        """Every explicit commit is two points."""

        def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
            if sql.strip().lower() != "commit":
                return super().execute(sql, *arguments)
            at("before commit")
            cursor = super().execute(sql, *arguments)
            at("after commit")
            return cursor

    _watch_connections(lambda _: None, Watched)

    from batchrun.backends.openai_http import GuardedClient

    GuardedClient.send = watched("call", GuardedClient.send)  # type: ignore[method-assign]


def to_json(passed: Passed) -> str:
    """For the harness, which reads it back with `from_json`."""
    return json.dumps(
        {"lines": passed.lines, "statements": passed.statements, "effects": passed.effects}
    )


def from_json(text: str) -> Passed:
    """What a process has written down of its way."""
    read = json.loads(text)
    return Passed(
        lines=Counter(read["lines"]), statements=read["statements"], effects=read["effects"]
    )
