"""The doctor at batchrun's own service over HTTP: a real listing, a real file, a real refusal."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from clikit import Desk
from doctorkit import checks, levels

from batchrun.service.responders.scripted import ScriptedResponder
from batchrun.service.running import running
from batchrun.service.service import BatchService

KEY = "sk-rehearsal-0123456789"


@pytest.fixture
def service(tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Iterator[BatchService]:
    opened = BatchService(tmp_path / "far", ScriptedResponder(clock=desk.clock), desk.clock)
    try:
        with running(opened, api_key=KEY) as base_url:
            monkeypatch.setenv("OPENAI_BASE_URL", base_url)
            monkeypatch.setenv("OPENAI_API_KEY", KEY)
            yield opened
    finally:
        opened.close()


def test_our_own_service_has_all_that_batchrun_needs(desk: Desk, service: BatchService) -> None:
    assert desk.call("submit", desk.job()).code == 0
    found = levels(checks(desk, "--write"))
    names = ("base-url", "key", "account", "batches", "listing", "files", "write")
    assert {name: found[name] for name in names} == dict.fromkeys(names, "ok")


def test_an_older_ledger_that_was_put_back_is_told(desk: Desk, service: BatchService) -> None:
    assert desk.call("submit", desk.job("first")).code == 0
    home = desk.folder / ".batchrun"
    with closing(sqlite3.connect(home / "batchrun.db")) as ledger:
        ledger.execute("vacuum into ?", (str(desk.folder / "backup.db"),))
    assert desk.call("submit", desk.job("second")).code == 0
    assert checks(desk)["unknown-batches"]["level"] == "ok"
    for name in ("batchrun.db-wal", "batchrun.db-shm"):
        (home / name).unlink(missing_ok=True)
    shutil.copyfile(desk.folder / "backup.db", home / "batchrun.db")
    found = checks(desk)["unknown-batches"]
    assert found["level"] == "warn"
    assert "this ledger is older than the service" in found["what"]
    assert found["fix"].startswith("batchrun recover FILE... --backend openai")


def test_what_write_uploaded_is_gone_again(desk: Desk, service: BatchService) -> None:
    before = service.list_files()["data"]
    checks(desk, "--write")
    assert service.list_files()["data"] == before


@pytest.mark.fault(1)
def test_a_wrong_key_is_told(
    desk: Desk, service: BatchService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong-0123456789")
    found = checks(desk, code=6)
    assert found["authenticated"]["level"] == "fail"
    assert "sk-wrong" not in str(found)


def test_an_address_without_a_batch_api_is_told(
    desk: Desk, service: BatchService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", os.environ["OPENAI_BASE_URL"].replace("/v1", "/v2"))
    found = checks(desk, code=6)
    assert found["batch-support"]["level"] == "fail"
    assert "/v1" in found["batch-support"]["fix"]
