"""Limits where a request file is not there any more, or not what was written."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from runnerkit import NewWorld, World, items

from batchrun.ledger.connection import Ledger
from batchrun.model import Limits
from batchrun.running.arrears import bill_arrears
from batchrun.running.paying import Payment
from batchrun.running.purse import Purse

PRICE = '[price."gpt-4.1-mini"]\nbatch = { input = 10, output = 100 }\n'


def limited(world: World, text: str = "[budget]\nmonth = 10\n") -> World:
    (world.folder / "batchrun.toml").write_text(PRICE + text, encoding="utf-8")
    return world


def put_back(path: Path, whole: bytes) -> None:
    path.write_bytes(whole)
    path.chmod(0o600)


def blank(path: Path) -> None:
    path.write_bytes(b"\0" * path.stat().st_size)


@pytest.mark.parametrize("spoil", [Path.unlink, blank])
@pytest.mark.parametrize("budget", ["month = 10", "soft_month = 10"])
def test_a_file_that_cannot_be_measured_stops_its_own_job_alone(
    new_world: NewWorld, spoil: Callable[[Path], None], budget: str
) -> None:
    world = limited(new_world(), f"[budget]\n{budget}\n")
    world.write(items(3))
    other = world.write(items(2), world.folder / "other.jsonl", job="other")
    world.submit(send=False)
    (path,) = world.home.requests.iterdir()
    whole = path.read_bytes()
    spoil(path)
    world.submit(other, send=False)
    world.tick()
    states = {row["name"]: row["paused"] for row in world.rows("select name, paused from jobs")}
    if not budget.startswith("soft"):
        assert "restore it from a backup" in states["reviews"]
    assert [b["name"] for b in world.batches() if b["job"] == 2] == ["created"]
    put_back(path, whole)
    world.api().resume("reviews")
    world.run()
    assert [b["name"] for b in world.batches()] == ["collected"] * 2


def test_a_batch_whose_requests_are_not_here_is_counted_and_overruns_nothing(world: World) -> None:
    world.write(items(3))
    world.submit()
    (path,) = world.home.requests.iterdir()
    whole = path.read_bytes()
    path.unlink()
    limited(world).run()
    put_back(path, whole)
    (bill,) = world.rows("select * from bills")
    assert (bill["cost"] > 0, bill["reserved"] >= bill["cost"], bill["is_overrun"]) == (
        True,
        True,
        0,
    )
    assert world.incidents() == []


class CountingPurse(Purse):
    """Counts how often it is asked what holds."""

    asked: list[int] = []  # noqa: RUF012

    def payment(self, ledger: Ledger, job: sqlite3.Row, profile: str, now: int) -> Payment | None:
        self.asked.append(job["id"])
        return Purse.payment(self, ledger, job, profile, now)


def test_what_no_limit_is_for_is_asked_about_once_a_job_however_many_batches_it_had(
    new_world: NewWorld,
) -> None:
    world = limited(new_world(limits=Limits(request_count=2)), "[budget.tag.other]\nmonth = 1\n")
    world.write(items(8))
    world.submit()
    world.run()
    assert len(world.batches()) == 4
    with world.ledger() as ledger:
        bill_arrears(ledger, CountingPurse(config=world.config), world.clock.now())
    assert CountingPurse.asked == [1]


def test_a_limit_that_comes_later_makes_bills_for_its_own_jobs_alone(world: World) -> None:
    world.write(items(2), tags=["eu"])
    other = world.write(items(3), world.folder / "other.jsonl", job="other")
    world.submit(world.job_file, other)
    world.run()
    limited(world, "[budget.tag.eu]\nmonth = 1\n")
    world.tick()
    assert world.rows("select batch, job from bills") == [{"batch": 1, "job": "reviews"}]
