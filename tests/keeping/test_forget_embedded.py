"""Forgetting what the service inside the home was asked: its files, its database, and the free pages of that."""

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from keepkit import CANARY, holders

from batchrun.api import Batchrun
from batchrun.backends.base import Backend
from batchrun.backends.embedded import EmbeddedBackend
from batchrun.config import load_config
from batchrun.errors import LedgerError
from batchrun.ledger.home import Home
from batchrun.service.erasing import erase
from batchrun.service.responders.script import Rule
from batchrun.service.responders.scripted import ScriptedResponder
from batchrun.testing import ManualClock


class Desk:
    """A home whose batches run inside it, with answers from a script in the place of the model."""

    def __init__(self, folder: Path) -> None:
        self.home = Home(folder / ".batchrun")
        self.job_file = folder / "faq.jsonl"
        self.clock = ManualClock()
        self.opened: list[Backend] = []
        self.may_open = True

    def open_backend(self, _: str) -> Backend:
        assert self.may_open, "no model is needed to forget"
        script = [Rule(prompt=CANARY, reply=f"answer to {CANARY}")]
        backend = EmbeddedBackend(
            self.home.path / "service",
            lambda: ScriptedResponder(script, clock=self.clock),
            self.clock,
        )
        self.opened.append(backend)
        return backend

    @property
    def api(self) -> Batchrun:
        return Batchrun(
            home=self.home,
            config=load_config(self.job_file.parent, self.home.path, {}),
            clock=self.clock,
            open_backend=self.open_backend,
        )

    def run(self) -> None:
        line = {"job": "faq", "model": "m", "prompt": "Q: {{ text }}", "backend": "local"}
        items = [{"id": CANARY, "text": CANARY}, {"id": "b", "text": "other"}]
        self.job_file.write_text("".join(json.dumps(row) + "\n" for row in (line, *items)))
        self.api.submit([self.job_file])
        _, is_done = self.api.wait()
        assert is_done


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    folder = tmp_path / "desk"
    folder.mkdir()
    desk = Desk(folder)
    yield desk
    for backend in desk.opened:
        backend.close()


def test_items_leave_no_byte_in_the_service_of_the_home(desk: Desk) -> None:
    desk.run()
    folders = (desk.home.path, desk.home.outputs)
    assert any("service/files" in name for name in holders(CANARY, *folders))
    desk.may_open = False
    found = desk.api.forget("faq", (CANARY,))
    assert found.remote_left == 0
    assert holders(CANARY, *folders) == []
    assert len(list(desk.api.results("faq"))) > 0


def test_free_pages_of_the_service_are_wiped(desk: Desk) -> None:
    desk.run()
    with contextlib.closing(sqlite3.connect(desk.home.path / "service" / "service.db")) as other:
        other.execute("pragma secure_delete = off")
        other.execute("update finished set answer = ?", (CANARY.encode() * 10_000,))
        other.commit()
        other.execute("update finished set answer = null")
        other.commit()
        desk.api.forget("faq")
        assert holders(CANARY, desk.home.path, desk.home.outputs) == []


def test_uploads_that_were_repeated_are_found_by_their_name(desk: Desk) -> None:
    desk.run()
    with contextlib.closing(sqlite3.connect(desk.home.path / "service" / "service.db")) as other:
        (name,) = other.execute("select filename from files where purpose = 'batch'").fetchone()
    backend = desk.open_backend("local")
    upload = desk.home.path.parent / "again.jsonl"
    upload.write_text(CANARY)
    backend.upload(upload, name=name, expires_after_s=None)
    desk.api.forget("faq")
    assert holders(CANARY, desk.home.path, desk.home.outputs) == []


def test_counts_of_the_service_stay(desk: Desk) -> None:
    desk.run()
    desk.api.forget("faq")
    (batch,) = desk.open_backend("local").list_batches(after=None, limit=10).batches
    assert (batch.status, batch.completed_count, batch.metadata) == ("completed", 2, {})


def test_a_reader_of_the_service_s_database_is_named(desk: Desk) -> None:
    desk.run()
    with contextlib.closing(sqlite3.connect(desk.home.path / "service" / "service.db")) as reader:
        reader.execute("begin")
        reader.execute("select count(*) from files").fetchone()
        with pytest.raises(LedgerError, match=r"service\.db-wal: still holds"):
            erase(
                desk.home.path / "service", batch_ids=(), file_ids=(), file_names=(), patience_s=0
            )
