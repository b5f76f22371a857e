"""A nightly job that reads a table of the user's own database and writes a column of it back."""

import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from clikit import ROOT, Desk

from batchrun.service.service import BatchService

LABELS = {"positive", "neutral", "negative"}


def _sql(desk: Desk, *statements: str) -> list[tuple[Any, ...]]:
    """The rows of the last statement."""
    rows: list[tuple[Any, ...]] = []
    with closing(sqlite3.connect(desk.folder / "samples" / "shop.db")) as database, database:
        for statement in statements:
            rows = database.execute(statement).fetchall()
    return rows


def _shop(desk: Desk) -> str:
    """The sample job with its database, as their files say how to make it; the name of the job file."""
    for name in ("jobs/shop.jsonl", "samples/shop.py", "samples/reviews.csv"):
        (desk.folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, desk.folder / name)
    made = subprocess.run(
        [sys.executable, "samples/shop.py"],
        cwd=desk.folder,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert made.stdout.endswith("a table of 36 reviews. Next: batchrun run jobs/shop.jsonl\n")
    return "jobs/shop.jsonl"


def test_each_night_brings_the_moods_of_what_is_new_or_changed(
    desk: Desk, service: BatchService
) -> None:
    path = _shop(desk)
    assert desk.call("check", path).code == 0
    called = desk.call("run", path)
    assert (called.code, called.out.count("all 36 items")) == (0, 1), called
    assert {row[0] for row in _sql(desk, "select mood from reviews")} <= LABELS
    assert _sql(desk, "select state, count(*) from reviews group by 1") == [("succeeded", 36)]

    _sql(
        desk,
        "insert into reviews (id, product, text) values ('new', 'lamp', 'It glows.')",
        "update reviews set text = 'Changed my mind.', mood = null where id = 'r01'",
        "delete from reviews where id = 'r02'",
    )
    again = desk.call("submit", path)
    assert "36 items: 1 new, 1 changed, 1 of them answered before and paid again, 34 unchanged" in again.out  # fmt: skip
    assert desk.call("wait").code == 0
    assert _sql(desk, "select count(*), count(mood) from reviews") == [(36, 36)]
    assert len(dict(service.charges())) == 38
    assert set(dict(service.charges()).values()) == {1}


def test_a_table_that_does_not_fit_is_refused_before_anything_is_sent(
    desk: Desk, service: BatchService
) -> None:
    path = _shop(desk)
    _sql(desk, "alter table reviews drop column mood")
    for command in ("check", "submit"):
        called = desk.call(command, path)
        assert called.code == 5
        assert "jobs/shop.jsonl:1: 'output.sqlite': " in called.err + called.out
        assert "table 'reviews' has no column 'mood'" in called.err + called.out
    assert service.list_batches()["data"] == []


def test_a_database_that_refuses_keeps_the_outputs_unpublished_until_it_does_not(
    desk: Desk, service: BatchService
) -> None:
    path = _shop(desk)
    _sql(
        desk,
        "create trigger closed before update on reviews begin select raise(abort, 'closed for the night'); end",
    )
    called = desk.call("run", path)
    assert called.code == 7
    assert "closed for the night" in called.err
    assert "the next pass tries again" in called.err
    outputs = desk.folder / "outputs" / "shop"
    assert (outputs / "results.jsonl").exists()
    assert not (outputs / "manifest.json").exists()
    assert _sql(desk, "select count(mood) from reviews") == [(0,)]

    _sql(desk, "drop trigger closed")
    assert desk.call("tick").code == 0
    assert json.loads((outputs / "manifest.json").read_text())["complete"] is True
    assert _sql(desk, "select count(mood) from reviews") == [(36,)]


def test_forgetting_a_job_leaves_the_users_rows(desk: Desk, service: BatchService) -> None:
    path = _shop(desk)
    desk.call("run", path)
    assert desk.call("forget", "shop", "--yes").code == 0
    assert _sql(desk, "select count(mood) from reviews") == [(36,)]
    assert not Path(desk.folder / "outputs" / "shop").exists()
