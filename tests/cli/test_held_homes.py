"""Homes that send nothing by themselves: a copy, and one with an older ledger. What they say is what helps."""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from clikit import Desk

from batchrun.service.service import BatchService


def older(desk: Desk) -> None:
    """A job is submitted and a backup made; it grows, is answered, and the backup is put back."""
    home = desk.folder / ".batchrun"
    assert desk.call("run", desk.job("faq", "one")).code == 0
    backup = desk.folder / "backup.db"
    with sqlite3.connect(home / "batchrun.db") as ledger:
        ledger.execute("vacuum into ?", (str(backup),))
    ledger.close()
    assert desk.call("run", desk.job("faq", "one", "two")).code == 0
    for path in home.glob("batchrun.db*"):
        path.unlink()
    shutil.move(backup, home / "batchrun.db")
    desk.clock.advance(300)


@pytest.mark.fault(34)
def test_an_older_ledger_is_told_to_recover_and_not_to_wait(
    desk: Desk, service: BatchService
) -> None:
    older(desk)
    called = desk.call("submit", desk.job("faq", "one", "two", "three"))
    assert called.code == 6
    command = f"batchrun recover {desk.folder / 'faq.jsonl'} --backend openai"
    assert called.err.endswith(f"Go on with: {command}\n")
    assert "batchrun wait" not in called.err
    assert f"Go on with: {command}\n" in desk.call("wait").err
    assert desk.call("recover", "faq.jsonl", "--backend", "openai").code == 0
    called = desk.call("submit", "faq.jsonl")
    assert called.err == "Go on with: batchrun wait\n"


@pytest.fixture
def copy(desk: Desk, service: BatchService) -> Path:
    """A copy of a home with a batch in flight."""
    assert desk.call("submit", desk.job()).code == 0
    shutil.copytree(desk.folder / ".batchrun", desk.folder / "copy")
    return desk.folder / "copy"


def test_a_copied_home_says_that_it_sends_nothing(desk: Desk, copy: Path) -> None:
    called = desk.call("status", "--home", "copy")
    assert called.code == 0
    assert f"{copy}: this home is a copy of another one" in called.err
    assert "It sends nothing" in called.err
    assert "`batchrun recover --take-over`" in called.err
    assert desk.call("status").err == ""


def test_a_program_is_told_so_too(desk: Desk, copy: Path) -> None:
    called = desk.call("status", "--home", "copy", "--json")
    (warning,) = map(json.loads, called.err.splitlines())
    assert warning["type"] == "warning"
    assert "this home is a copy" in warning["message"]


def test_a_copy_that_nobody_ticked_for_weeks_is_not_told_to_tick(desk: Desk, copy: Path) -> None:
    desk.clock.advance(25 * 86_400)
    err = desk.call("status", "--home", "copy").err
    assert "this home is a copy" in err
    assert "days ago" not in err
