"""`batchrun recover` at the command line."""

import json
import shutil
from pathlib import Path

import pytest
from clikit import FAST_PROFILE, Desk

from batchrun.service.service import BatchService


def test_a_lost_home_is_rebuilt_and_run_asks_nothing_again(
    desk: Desk, service: BatchService
) -> None:
    path = desk.job("faq", "one", "two", "three")
    desk.call("run", path)
    results = (desk.folder / "outputs" / "faq" / "results.jsonl").read_bytes()
    shutil.rmtree(desk.folder / ".batchrun")
    shutil.rmtree(desk.folder / "outputs")
    called = desk.call("recover", path)
    assert called.code == 0
    first, last = called.out.splitlines()
    assert first.endswith("(faq, completed): collected; 3 items in our batch 1")
    assert last == "faq (openai): 3 succeeded"
    assert (desk.folder / "outputs" / "faq" / "results.jsonl").read_bytes() == results
    assert desk.call("run", path).code == 0
    assert sum(dict(service.charges()).values()) == 3


def test_without_waiting_it_says_when_to_look_again(desk: Desk, service: BatchService) -> None:
    settings = desk.folder / "batchrun.toml"
    settings.write_text("[profile.openai]\nsettle_s = 900\n")
    path = desk.job()
    desk.call("submit", path)
    shutil.rmtree(desk.folder / ".batchrun")
    hasty = desk.call("recover", path, "--no-wait")
    assert hasty.code == 4
    assert "nothing is sent yet. Run the same command again after" in hasty.err
    assert (
        desk.call("recover", path, "--no-wait", "--take-over").out.count("sends from now on") == 0
    )
    settings.write_text(FAST_PROFILE)
    assert desk.call("recover", path).code == 0
    assert desk.call("wait").code == 0
    assert sum(dict(service.charges()).values()) == 2


def test_json_has_every_batch_and_where_the_jobs_stand(desk: Desk, service: BatchService) -> None:
    path = desk.job()
    desk.call("run", path)
    shutil.rmtree(desk.folder / ".batchrun")
    document = desk.call("recover", path, "--json").json
    (batch,) = document["batches"]
    assert (batch["became"], batch["items"], batch["batch"]) == ("collected", 2, 1)
    assert document["standing"][0]["counts"]["succeeded"] == 2
    assert document["look_again_at"] is None
    assert document["renewed_batches"] is None


def test_a_dry_run_changes_nothing(desk: Desk, service: BatchService) -> None:
    path = desk.job()
    desk.call("run", path)
    shutil.rmtree(desk.folder / ".batchrun")
    called = desk.call("recover", path, "--dry-run")
    assert called.code == 0
    assert called.out.endswith("(faq, completed): collected\n")
    assert not (desk.folder / ".batchrun").exists()


def test_without_home_and_job_file_there_is_nothing_to_recover(desk: Desk) -> None:
    called = desk.call("recover")
    assert called.code == 2
    assert "no batchrun home here" in called.err


def test_a_job_file_with_a_mistake_is_told_before_anything_is_touched(desk: Desk) -> None:
    path = desk.write("bad.jsonl", {"job": "bad", "model": "m", "promt": "x"})
    called = desk.call("recover", path)
    assert called.code == 5
    assert not (desk.folder / ".batchrun").exists()


def test_a_job_that_shrank_since_the_backup_says_which_option_lets_it(
    desk: Desk, service: BatchService
) -> None:
    path = desk.job("faq", "one", "two", "three")
    desk.call("run", path)
    desk.job("faq", "one")
    refused = desk.call("recover", path)
    assert refused.code == 5
    assert "--allow-missing" in refused.err
    assert desk.call("recover", path, "--allow-missing", "--reask").code == 0


def test_take_over_alone_needs_neither_key_nor_service(desk: Desk, service: BatchService) -> None:
    desk.call("submit", desk.job())
    home = desk.folder / ".batchrun"
    shutil.copytree(home, desk.folder / "copy")
    home.rename(desk.folder / "gone")
    (desk.folder / "copy").rename(home)
    desk.clock.advance(5_000)
    assert desk.call("tick").code == 7
    called = desk.call("recover", "--take-over")
    assert called.code == 0
    assert called.out == f"{home}: this home sends from now on; 0 unsent batches start anew\n"
    assert desk.call("wait").code == 0


@pytest.mark.fault(34)
def test_a_damaged_ledger_says_how_to_go_on(desk: Desk, service: BatchService) -> None:
    path = desk.job()
    desk.call("run", path)
    database = desk.folder / ".batchrun" / "batchrun.db"
    database.write_bytes(b"no database at all" * 500)
    assert "batchrun recover FILE..." in desk.call("recover", path).err
    database.rename(desk.folder / "damaged.db")
    assert desk.call("recover", path).code == 0
    assert json.loads(Path(desk.folder / "outputs/faq/manifest.json").read_text())["complete"]
    assert (desk.folder / ".batchrun" / "spool-of-lost-ledger-1" / "results").is_dir()
