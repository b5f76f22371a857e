"""Paths in the ledger of a home that was moved or copied: what came along is followed, what stayed is not, a copy has its own."""

import json
import os
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from batchrun.ledger.connection import is_copied, open_for_reading, open_ledger
from batchrun.ledger.home import Home

NAMES = (
    "jobs.jsonl",
    "outputs",
    "mine.db",
)  # beside the home: the job's file, its outputs, its user's database


def made(folder: Path, elsewhere: Path | None = None) -> Path:
    """A folder with a home, what `NAMES` says, and a job that names them; or that names those of another folder."""
    folder.mkdir()
    named = elsewhere or folder
    for name in NAMES:
        (named / name).touch()
    settings = {
        "path": str(named / NAMES[0]),
        "output": {"sqlite": {"path": str(named / NAMES[2])}},
    }
    row = (str(named / NAMES[0]), json.dumps(settings), str(named / NAMES[1]))
    with open_ledger(Home(folder / ".batchrun"), create=True) as ledger, ledger.transaction():
        ledger.execute(
            "insert into jobs (name, profile, source, settings, outputs, created_at) values ('j', 'p', ?, ?, ?, 0)",
            row,
        )
    return folder


def seen(folder: Path) -> Mapping[str, str]:
    """The folders of what the job names, by name, as whoever only looks sees them."""
    with open_for_reading(Home(folder / ".batchrun")) as ledger:
        row = ledger.row("select source, settings, outputs from jobs")
    assert row is not None
    settings = json.loads(row["settings"])
    assert settings["path"] == row["source"]
    paths = (row["source"], row["outputs"], settings["output"]["sqlite"]["path"])
    return {Path(path).name: str(Path(path).parent) for path in paths}


def test_who_only_looks_finds_what_was_moved_along(tmp_path: Path) -> None:
    new = made(tmp_path / "old").rename(tmp_path / "new")
    assert seen(new) == dict.fromkeys(NAMES, str(new))
    with open_ledger(Home(new / ".batchrun")) as ledger:
        assert is_copied(ledger) is None


def test_what_was_moved_back_and_forth_is_followed_each_time(tmp_path: Path) -> None:
    old = made(tmp_path / "old")
    new = tmp_path / "new"
    for there, here in ((old, new), (new, old)):
        there.rename(here)
        assert seen(here) == dict.fromkeys(NAMES, str(here))


def test_what_stayed_behind_is_named_where_it_is(tmp_path: Path) -> None:
    old, new = made(tmp_path / "old"), tmp_path / "new"
    new.mkdir()
    (old / ".batchrun").rename(new / ".batchrun")
    (old / NAMES[0]).rename(new / NAMES[0])
    assert seen(new) == {NAMES[0]: str(new), NAMES[1]: str(old), NAMES[2]: str(old)}


def test_what_is_in_neither_place_is_expected_beside_the_home(tmp_path: Path) -> None:
    """Outputs that were not written yet, or were deleted."""
    new = made(tmp_path / "old").rename(tmp_path / "new")
    for name in NAMES:
        (new / name).unlink()
    assert seen(new) == dict.fromkeys(NAMES, str(new))


def test_what_lay_outside_of_the_folder_stays(tmp_path: Path) -> None:
    far = tmp_path / "far"
    far.mkdir()
    new = made(tmp_path / "old", far).rename(tmp_path / "new")
    assert seen(new) == dict.fromkeys(NAMES, str(far))


def test_what_a_copy_writes_is_its_own_and_what_it_reads_may_be_the_originals(
    tmp_path: Path,
) -> None:
    old, new = made(tmp_path / "old"), tmp_path / "new"
    new.mkdir()
    shutil.copytree(old / ".batchrun", new / ".batchrun")
    assert seen(new) == {NAMES[0]: str(old), NAMES[1]: str(new), NAMES[2]: str(new)}
    assert seen(old) == dict.fromkeys(NAMES, str(old))
    with open_ledger(Home(new / ".batchrun")) as ledger:
        assert is_copied(ledger) is not None, "also after its paths are those of its place"


def test_a_forgotten_job_has_no_outputs_in_any_place(tmp_path: Path) -> None:
    old = made(tmp_path / "old")
    with open_ledger(Home(old / ".batchrun")) as ledger, ledger.transaction():
        ledger.execute("update jobs set outputs = ''")
    with open_for_reading(Home(old.rename(tmp_path / "new") / ".batchrun")) as ledger:
        assert ledger.value("select outputs from jobs") == ""


@pytest.mark.usefixtures("real_sleep")
def test_many_that_open_a_moved_home_at_once_all_see_its_new_place(tmp_path: Path) -> None:
    here = made(tmp_path / "0")
    for attempt in range(1, 16):
        here = here.rename(tmp_path / str(attempt))
        start = threading.Barrier(4)

        def looked(_: int, here: Path = here, start: threading.Barrier = start) -> bool:
            start.wait()
            return seen(here) == dict.fromkeys(NAMES, str(here))

        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(looked, range(4)))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user to be")
@pytest.mark.parametrize("mode", [0o644, 0o666])
def test_a_moved_home_that_cannot_be_written_can_be_read_as_it_stands(mode: int) -> None:
    """While somebody has its ledger open: SQLite reads none in a folder that it cannot write, without the files beside it."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        new = made(Path(name, "old")).rename(Path(name, "new"))
        home = Home(new / ".batchrun")
        with closing(sqlite3.connect(home.database)) as kept:
            kept.execute("select * from meta").fetchall()
            home.path.chmod(0o755)
            for path in home.path.glob("batchrun.db*"):
                path.chmod(mode)
            pid = os.fork()
            if pid == 0:
                status = 1
                try:
                    os.setuid(65_534)
                    status = 0 if seen(new) == dict.fromkeys(NAMES, str(Path(name, "old"))) else 2
                finally:
                    os._exit(status)
            _, result = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(result) == 0
        assert seen(new) == dict.fromkeys(NAMES, str(new))
