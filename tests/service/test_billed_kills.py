"""Killed anywhere: before or after any commit, before or after any execution. Nothing is executed twice unasked, and nothing is lost."""

import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from billedkit import Billed, Killed
from hypothesis import given, settings
from hypothesis import strategies as st
from servicekit import Desk, jsonl, request

from batchrun.service import lines
from batchrun.service.responders.base import Postponed

NAMES = [f"line-{number}" for number in range(12)]


class Life:
    """A process that dies at its `kill`-th point, and does nothing any more then: neither commit nor call."""

    def __init__(self, kill: int | None) -> None:
        self.left = kill
        self.is_dead = False

    def point(self) -> None:
        if self.left is not None:
            self.left -= 1
            self.is_dead = self.is_dead or self.left <= 0
        if self.is_dead:
            raise Killed


class Watched(sqlite3.Connection):
    """Every commit is two points."""

    life = Life(None)

    def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
        if sql.startswith("PRAGMA synchronous"):
            sql = "PRAGMA synchronous=OFF"  # it is the process that dies here, not the machine
        if sql != "COMMIT":
            return super().execute(sql, *arguments)
        Watched.life.point()
        cursor = super().execute(sql, *arguments)
        Watched.life.point()
        return cursor


def lived(
    data: Path, kills: list[int], *, width: int, postponed: set[str]
) -> tuple[Desk, Billed, str]:
    """A batch to its end, through lives that each die at one of `kills`."""
    responder = Billed(width=width)
    refused: Counter[str] = Counter()

    def begin(custom_id: str) -> None:
        Watched.life.point()
        refused[custom_id] += 1
        if custom_id in postponed and refused[custom_id] == 1:
            raise Postponed("too many requests", status=429, retry_after_s=1)

    responder.before = begin
    responder.after = lambda _custom_id: Watched.life.point()
    Watched.life = Life(None)
    desk = Desk(data, responder=responder)
    batch_id = desk.create(*(request(name) for name in NAMES))
    for kill in [*kills, None]:
        desk.service.close()
        Watched.life = Life(None)
        desk.service = desk.open()
        Watched.life = Life(kill)
        try:
            while desk.work():
                pass
        except Killed:
            pass
        Watched.life = Life(None)
    return desk, responder, batch_id


@pytest.fixture
def _watched(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3,
        "connect",
        lambda *arguments, **named: connect(*arguments, **named, factory=Watched),
    )


def check(desk: Desk, responder: Billed, batch_id: str) -> None:
    """What must hold after any number of deaths."""
    batch = desk.batch(batch_id)
    answered = desk.outputs(batch_id)
    unknown = [line["custom_id"] for line in desk.errors(batch_id)]
    assert batch["status"] == "completed"
    assert sorted(answered + unknown) == sorted(NAMES)
    assert batch["request_counts"] == {
        "total": len(NAMES),
        "completed": len(answered),
        "failed": len(unknown),
    }
    assert set(responder.executed.values()) <= {1}
    assert all(responder.executed[custom_id] == 1 for custom_id in answered)


@pytest.mark.usefixtures("_watched")
@settings(max_examples=30, deadline=None)
@given(
    kills=st.lists(st.integers(1, 40), max_size=6),
    width=st.integers(1, 5),
    postponed=st.sets(st.sampled_from(NAMES), max_size=3),
)
def test_wherever_it_dies_no_line_is_executed_twice_and_none_is_lost(
    tmp_path_factory: pytest.TempPathFactory, kills: list[int], width: int, postponed: set[str]
) -> None:
    folder = tmp_path_factory.mktemp("service")
    desk, responder, batch_id = lived(folder, kills, width=width, postponed=postponed)
    try:
        check(desk, responder, batch_id)
    finally:
        desk.service.close()


@pytest.mark.usefixtures("_watched")
@pytest.mark.parametrize("kill", range(1, 56))
def test_each_point_of_a_batch_may_be_the_last(tmp_path: Path, kill: int) -> None:
    desk, responder, batch_id = lived(tmp_path, [kill], width=1, postponed={"line-3"})
    try:
        check(desk, responder, batch_id)
        assert len(desk.errors(batch_id)) <= 1  # only what was under way can be uncertain
    finally:
        desk.service.close()


@pytest.mark.usefixtures("_watched")
def test_without_the_intent_lines_are_executed_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checks above can fail: a service that does not say what it is about to send sends it again."""
    record = lines.Lines.record

    def forgetful(self: lines.Lines, *arguments: Any, **named: Any) -> object:
        return record(self, *arguments, **(named | {"started": ()}))

    monkeypatch.setattr(lines.Lines, "record", forgetful)
    twice = 0
    for kill in range(5, 30):
        folder = tmp_path / str(kill)
        desk, responder, _ = lived(folder, [kill], width=1, postponed=set())
        twice += max(responder.executed.values()) > 1
        desk.service.close()
    assert twice


CHILD = """
    import os, signal, sys, threading
    from pathlib import Path
    from batchrun.service.responders.base import Reply, Responder
    from batchrun.service.service import BatchService
    from batchrun.testing import FileClock

    data, clock, log, deadly = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
    together = threading.Barrier(4, timeout=20)

    class Paid(Responder):
        concurrency, is_billed = 4, True

        def respond(self, url, body, *, custom_id):
            with log.open("a") as opened:
                opened.write(custom_id + "\\n")
            if deadly and int(custom_id) >= 8:
                together.wait()
                os.kill(os.getpid(), signal.SIGKILL)
            return Reply(status_code=200, body={})

    BatchService(data, Paid(), FileClock(clock)).work(1e6)
"""


def test_kill_9_repeats_no_line_and_leaves_those_under_way_uncertain(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "service")
    names = [str(number) for number in range(20)]
    batch_id = desk.create_raw(jsonl(*(request(name) for name in names)))
    log = tmp_path / "calls"
    program = [sys.executable, "-c", textwrap.dedent(CHILD), str(desk.data)]
    command = [*program, str(tmp_path / "clock"), str(log)]
    killed = subprocess.run([*command, "deadly"], check=False, cwd=Path(__file__).parents[2])
    assert killed.returncode == -signal.SIGKILL
    subprocess.run([*command, ""], check=True, cwd=Path(__file__).parents[2])
    assert Counter(log.read_text().split()) == dict.fromkeys(names, 1)
    unknown = {line["custom_id"] for line in desk.errors(batch_id)}
    assert {"8", "9", "10", "11"} <= unknown <= set(names[4:12])
    assert sorted([*desk.outputs(batch_id), *unknown]) == sorted(names)
    desk.service.close()
