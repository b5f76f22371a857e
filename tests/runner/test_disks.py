"""Disks that fill, folders that cannot be written, processes that are killed for real: nothing is harmed and nothing is sent."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from processkit import in_process
from runnerkit import NewWorld, World, items

from batchrun.errors import LedgerError, Transient
from batchrun.ledger.requestfiles import FileKind
from batchrun.ledger.states import FileState
from batchrun.testing_backend import Fault


@pytest.mark.parametrize("limit", [500_000, 1_000_000, 3_000_000])
@pytest.mark.fault(30)
def test_a_disk_that_fills_while_a_job_is_prepared_leaves_no_harm(world: World, limit: int) -> None:
    """A limit on file size stands for the full disk: the same calls fail, with EFBIG or SQLite's "disk is full"."""
    world.write([{"id": f"i{n}", "text": "x" * 200} for n in range(20_000)])
    done = in_process(
        world,
        """
        prepared = world.submit(send=False)
        assert prepared.error is not None
        print(type(prepared.error).__name__, prepared.error)
        """,
        before=f"""
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
        """,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("LedgerError "), done.stdout
    world.write(items(3))
    world.submit()
    world.run()
    assert world.tally() == {"succeeded": 3}


@pytest.mark.fault(30)
def test_a_disk_that_fills_while_results_are_fetched_loses_nothing(world: World) -> None:
    world.write([{"id": f"i{n}", "text": "x" * 200} for n in range(2_000)])
    world.submit()
    world.serve()
    world.clock.advance(60)
    world.embedded.close()
    done = in_process(
        world,
        """
        from batchrun.errors import LedgerError
        try:
            world.tick()
        except LedgerError as error:
            print("LedgerError", error)
        """,
        before="""
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        """,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("LedgerError "), done.stdout + done.stderr
    world.run()
    assert world.tally() == {"succeeded": 2_000}
    assert set(world.executions().values()) == {1}


@pytest.fixture
def readable_world() -> Iterator[World]:
    """A world in a folder that another user may enter."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        world = World(Path(folder))
        yield world
        for path in (world.home.path, *world.home.path.rglob("*")):
            path.chmod(0o700 if path.is_dir() else 0o600)
        world.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user to be")
@pytest.mark.fault(32)
def test_a_home_that_cannot_be_written_sends_nothing(readable_world: World) -> None:
    world = readable_world
    world.write(items(3))
    world.submit(send=False)
    for path in (world.home.path, *world.home.path.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.setuid(65_534)
            for do in (world.tick, world.submit):
                try:
                    do()
                except LedgerError as error:
                    status = 0 if error.exit_code == 7 else 3
                else:
                    status = 2
                    break
        finally:
            os._exit(status)
    _, result = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(result) == 0
    assert world.remotes() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user to be")
@pytest.mark.fault(19, 32)
def test_a_damaged_result_file_that_cannot_be_set_aside_is_told_as_the_disk_s_refusal(
    readable_world: World,
) -> None:
    world = readable_world
    world.backend.add(Fault(call="download", error=Transient("502", status=502), number=None))
    world.write(items(3))
    world.submit()
    world.run_until(lambda: [batch["name"] for batch in world.batches()] == ["ended"])
    world.home.result_file(1, 0).write_bytes(b"<html>\n")
    for path in (world.folder, *world.folder.rglob("*")):
        os.chown(path, 65_534, 65_534)
    world.home.results.chmod(0o500)
    world.clock.advance(600)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.setuid(65_534)
            try:
                world.tick()
            except LedgerError as error:
                status = 0 if "1-output.suspect.jsonl: cannot be written" in str(error) else 3
            else:
                status = 2
        finally:
            os._exit(status)
    _, result = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(result) == 0


@pytest.mark.parametrize("at_item", [1, 5_000, 14_000])
@pytest.mark.fault(37)
def test_a_submit_that_is_killed_leaves_nothing_and_can_be_made_again(
    world: World, at_item: int
) -> None:
    world.write([{"id": f"i{n}", "text": "t"} for n in range(15_000)])
    done = in_process(
        world,
        """
        world.submit()
        print("lived")
        """,
        before=f"""
        from batchrun.ledger.intake import Intake
        flush, seen = Intake.flush, [0]
        for name in ("add", "add_plain"):
            def watched(self, *arguments, method=getattr(Intake, name)):
                answer = method(self, *arguments)
                if self.tally.items >= {at_item}:
                    os.kill(os.getpid(), signal.SIGKILL)
                return answer
            setattr(Intake, name, watched)
        """,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert list(world.home.requests.iterdir()), "it died with a file half written"
    world.tick()
    assert list(world.home.requests.iterdir()) == []
    assert world.rows("select * from jobs") == []
    assert world.rows("select * from item_rows") == []
    assert world.submit(send=False).error is None
    assert world.tally() == {"pending": 15_000}


def test_a_submit_killed_when_a_file_was_just_named_leaves_no_file(
    new_world: NewWorld,
) -> None:
    from batchrun.model import Limits

    world = new_world(limits=Limits(request_count=2))
    world.write(items(9))
    done = in_process(
        world,
        "world.submit()",
        before="""
        from batchrun.model import Limits
        world.limits = Limits(request_count=2)
        from batchrun.ledger import requestfiles
        publish = requestfiles.publish
        def watched(temp, path):
            publish(temp, path)
            if path.name == "3.jsonl":
                os.kill(os.getpid(), signal.SIGKILL)
        requestfiles.publish = watched
        """,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert (world.home.requests / "3.jsonl").exists()
    world.tick()
    assert list(world.home.requests.iterdir()) == []
    world.submit()
    world.run()
    assert world.tally() == {"succeeded": 9}


@pytest.mark.fault(55)
def test_the_api_key_is_nowhere_in_the_home(world: World, monkeypatch: Any) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-canary-canary")
    world.write(items(2))
    world.submit()
    world.run()
    for path in world.folder.rglob("*"):
        if path.is_file():
            assert b"sk-canary" not in path.read_bytes(), path
    assert json.loads(world.output("manifest.json"))["complete"] is True


def test_a_cut_file_that_the_disk_will_not_let_go_stops_no_pass(world: World) -> None:
    """A folder in its place stands for it: what is no file cannot be unlinked, not even by root."""
    world.write(items(2))
    world.submit(send=False)
    with world.ledger() as ledger, ledger.transaction():
        dead = ledger.execute(
            "insert into request_files (job, kind, state, endpoint, model) values (1, ?, ?, '', '')",
            (FileKind.CUT, FileState.WRITING),
        ).lastrowid
    world.home.request_file(int(dead or 0)).mkdir(mode=0o700)
    world.run()
    assert world.tally() == {"succeeded": 2}
    world.home.request_file(int(dead or 0)).rmdir()
