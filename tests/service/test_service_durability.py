"""Whatever instant the service dies at, the next one goes on, and no line is executed and recorded twice."""

import json
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
from servicekit import FAR_S, Desk, OpenDesk, jsonl, request

from batchrun.errors import LedgerError
from batchrun.model import JsonObject, Usage
from batchrun.service import closing
from batchrun.service.lines import Finished
from batchrun.service.responders.base import Reply, Responder
from batchrun.service.responders.script import Rule

NAMES = [f"line-{number}" for number in range(10)]


class Killed(BaseException):
    """What no handler of the service may swallow."""


class Counting(Responder):
    """Counts its calls by custom_id, and dies in those for which it is told to."""

    def __init__(self, *, width: int = 1) -> None:
        self.calls: list[str] = []
        self.deadly: set[str] = set()
        self.failure: BaseException = Killed()
        self._width = width

    @property
    def concurrency(self) -> int:
        return self._width

    def respond(self, url: str, body: JsonObject, *, custom_id: str | None) -> Reply:
        assert custom_id is not None
        self.calls.append(custom_id)
        if custom_id in self.deadly:
            self.deadly.remove(custom_id)
            raise self.failure
        return Reply(status_code=200, body={"url": url, "input": body["input"]})


@pytest.mark.parametrize("width", [1, 4])
@pytest.mark.parametrize("deadly", [{"line-0"}, {"line-4"}, {"line-9"}, {"line-2", "line-7"}])
def test_a_batch_that_was_interrupted_goes_on_with_the_lines_that_are_not_recorded(
    open_desk: OpenDesk, width: int, deadly: set[str]
) -> None:
    responder = Counting(width=width)
    responder.deadly = set(deadly)
    desk = open_desk(responder=responder)
    batch_id = desk.create(*(request(name) for name in NAMES))
    for _ in deadly:
        with pytest.raises(Killed):
            desk.work()
        # Abandoned as it is: another process opens the same folder.
        abandoned, desk.service = desk.service, desk.open()
        abandoned.close()
    if desk.status(batch_id) != "completed":
        desk.work()
    assert desk.status(batch_id) == "completed"
    assert sorted(desk.outputs(batch_id)) == NAMES
    assert dict(desk.service.charges()) == dict.fromkeys(NAMES, 1)
    assert sorted(responder.calls) == sorted([*NAMES, *deadly])


def test_a_finished_line_is_durable_before_the_next_is_taken(open_desk: OpenDesk) -> None:
    seen: list[int] = []

    def look(_url: str, _body: JsonObject, _custom_id: str | None) -> None:
        other = sqlite3.connect(desk.data / "service.db")
        seen.append(other.execute("SELECT count(*) FROM finished").fetchone()[0])
        other.close()

    desk = open_desk(script=look)
    desk.create(*(request(name) for name in NAMES))
    desk.work()
    assert seen == list(range(10))


def test_as_many_lines_are_in_flight_as_the_responder_can_answer(open_desk: OpenDesk) -> None:
    class Meeting(Counting):
        """Answers only when three have met: fewer in flight would hang, more would break the barrier."""

        barrier = threading.Barrier(3, timeout=30)

        def respond(self, url: str, body: JsonObject, *, custom_id: str | None) -> Reply:
            self.barrier.wait()
            return super().respond(url, body, custom_id=custom_id)

    desk = open_desk(responder=Meeting(width=3))
    batch_id = desk.create(*(request(str(number)) for number in range(9)))
    desk.work()
    assert desk.batch(batch_id)["request_counts"]["completed"] == 9


def test_a_responder_that_cannot_answer_stops_the_work_and_loses_nothing(
    open_desk: OpenDesk,
) -> None:
    responder = Counting()
    responder.deadly = {"line-3"}
    responder.failure = LedgerError("the model file is gone")
    desk = open_desk(responder=responder)
    batch_id = desk.create(*(request(name) for name in NAMES))
    with pytest.raises(LedgerError, match="model file"):
        desk.work()
    batch = desk.batch(batch_id)
    assert (batch["status"], batch["request_counts"]["completed"]) == ("in_progress", 3)
    assert desk.work() is False
    assert desk.outputs(batch_id) == NAMES


def test_dying_while_a_batch_is_closed_leaves_one_pair_of_result_files(
    open_desk: OpenDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = open_desk(script=[Rule(custom_id="b", status=500)])
    batch_id = desk.create(request("a"), request("b"))

    def die(*_arguments: object, **_named: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(closing, "insert_file", die)
        with pytest.raises(Killed):
            desk.work()
    assert desk.status(batch_id) == "finalizing"
    desk.reopen()
    desk.work()
    assert desk.outputs(batch_id) == ["a"]
    assert [line["custom_id"] for line in desk.errors(batch_id)] == ["b"]
    known = {file["id"] for file in desk.service.list_files()["data"]}
    assert {path.name for path in (desk.data / "files").iterdir()} == known
    assert len(known) == 3
    assert dict(desk.service.charges()) == {"a": 1, "b": 1}


def test_a_line_cannot_be_recorded_twice(desk: Desk) -> None:
    desk.create(request("a"), request("b"))
    desk.service.work(0)
    (batch,) = desk.service._batches.live()
    one = Finished(
        batch=batch.seq,
        line=1,
        custom_id="a",
        is_success=True,
        answer=b"{}\n",
        usage=Usage(input_tokens=5),
    )
    desk.service._lines.record([one])
    with pytest.raises(LedgerError, match="UNIQUE"):
        desk.service._lines.record([one])
    shown = desk.batch(batch.id)
    assert (shown["request_counts"]["completed"], shown["usage"]["input_tokens"]) == (1, 5)


def test_only_one_of_two_services_over_a_folder_executes(open_desk: OpenDesk) -> None:
    def work_elsewhere(_url: str, _body: JsonObject, custom_id: str | None) -> None:
        if custom_id == "a":
            lefts.append(other.service.work(0))

    lefts: list[bool] = []
    desk = open_desk(script=work_elsewhere)
    other = open_desk()
    batch_id = desk.create(request("a"), request("b"))
    desk.work()
    assert lefts == [True]
    assert desk.outputs(batch_id) == ["a", "b"]
    assert dict(desk.service.charges()) == {"a": 1, "b": 1}
    assert other.service.work(0) is False


def test_a_batch_of_another_process_is_seen_and_executed(open_desk: OpenDesk) -> None:
    desk, other = open_desk(), open_desk()
    batch_id = other.create(request("a"))
    desk.work()
    assert other.status(batch_id) == "completed"


CHILD = """
    import os, signal, sys
    from pathlib import Path
    from batchrun.service.responders.base import Reply, Responder
    from batchrun.service.service import BatchService
    from batchrun.testing import FileClock

    data, clock, log, deadly = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]

    class Logging(Responder):
        def respond(self, url, body, *, custom_id):
            with log.open("a") as opened:
                opened.write(custom_id + "\\n")
            if custom_id == deadly:
                os.kill(os.getpid(), signal.SIGKILL)
            return Reply(status_code=200, body={})

    BatchService(data, Logging(), FileClock(clock)).work(1e6)
"""


def test_a_process_that_is_killed_mid_line_is_followed_by_one_that_goes_on(
    desk: Desk, tmp_path: Path
) -> None:
    batch_id = desk.create(*(request(name) for name in NAMES))
    log = tmp_path / "calls"
    command = [
        sys.executable,
        "-c",
        textwrap.dedent(CHILD),
        str(desk.data),
        str(tmp_path / "clock"),
        str(log),
    ]
    killed = subprocess.run([*command, "line-6"], check=False, cwd=Path(__file__).parents[2])
    assert killed.returncode == -signal.SIGKILL
    assert desk.status(batch_id) == "in_progress"
    assert desk.batch(batch_id)["request_counts"]["completed"] == 6
    subprocess.run([*command, ""], check=True, cwd=Path(__file__).parents[2])
    assert desk.outputs(batch_id) == NAMES
    # The line that was in flight is the only one that was tried again, and it is recorded once.
    assert log.read_text().split() == [*NAMES[:7], *NAMES[6:]]
    assert dict(desk.service.charges()) == dict.fromkeys(NAMES, 1)


def test_result_lines_are_stored_once(desk: Desk) -> None:
    batch_id = desk.create_raw(jsonl(*(request(name) for name in NAMES)))
    desk.service.work(FAR_S)
    rows = desk.service._store.rows("SELECT count(answer) AS kept FROM finished")
    assert rows[0]["kept"] == 0
    with desk.service.open_content(desk.batch(batch_id)["output_file_id"]) as source:
        assert [json.loads(line)["custom_id"] for line in source] == NAMES


OPENERS = """
    import multiprocessing, sys
    from pathlib import Path
    from batchrun.service.store import Store

    def open_all(data, barrier):
        for number in range(15):
            barrier.wait()
            Store(data / str(number)).close()

    fork = multiprocessing.get_context("fork")
    barrier = fork.Barrier(6, timeout=20)
    openers = [fork.Process(target=open_all, args=(Path(sys.argv[1]), barrier)) for _ in range(6)]
    for opener in openers:
        opener.start()
    for opener in openers:
        opener.join()
    print([opener.exitcode for opener in openers])
"""


def test_several_processes_may_open_a_new_folder_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(OPENERS), str(tmp_path)]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    assert (done.stdout, done.stderr) == ("[0, 0, 0, 0, 0, 0]\n", "")


def test_folders_that_the_service_makes_are_for_nobody_else(tmp_path: Path) -> None:
    Desk(tmp_path / "home" / "direct" / "x").service.close()
    for folder in ("home", "home/direct", "home/direct/x"):
        assert (tmp_path / folder).stat().st_mode & 0o777 == 0o700
