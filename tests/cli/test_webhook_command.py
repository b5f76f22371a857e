"""`batchrun webhook` as a process of its own, from its first line to SIGTERM."""

import json
import signal
import sqlite3
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from clikit import KEY, PATIENCE_S, Desk, start, until

from batchrun.api import Batchrun
from batchrun.cli.invocation import Invocation
from batchrun.cli.webhook import Teller
from batchrun.config import load_config
from batchrun.errors import LedgerError, Transient
from batchrun.ledger.connection import open_ledger
from batchrun.ledger.home import Home
from batchrun.running.passresult import PassResult
from batchrun.service.service import BatchService

sys.path.insert(0, str(Path(__file__).parents[1] / "receiving"))

from webhookkit import SECRET, event, post, signed


def test_an_event_ends_the_job_and_a_signal_the_server(desk: Desk, service: BatchService) -> None:
    """Polled by itself, the batch would be looked at in an hour."""
    desk.write("batchrun.toml", "[profile.openai]\npoll_s = 3600")
    desk.call("submit", desk.job(), "--yes")
    (batch,) = service.list_batches(limit=10)["data"]
    with sqlite3.connect(desk.folder / ".batchrun" / "batchrun.db") as ledger:
        # The hour is one of the desk's clock, and the process has the machine's: it would look at once.
        ledger.execute("update batch_rows set next_at = unixepoch('now') + 3600")
    ledger.close()
    words = ("webhook", "--port", "0", "--json", "-v")
    process = start(*words, cwd=desk.folder, env={"OPENAI_WEBHOOK_SECRET": SECRET})
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    until(lambda: service.get_batch(batch["id"])["status"] == "completed", "the batch has ended")
    body = event(batch["id"])
    assert post(first["url"], body, signed(body)) == 204
    document = json.loads(process.stdout.readline())
    assert [job["job"] for job in document["jobs"]] == ["faq"]
    assert len(desk.outputs()) == 2
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out) == (0, "")
    assert "woken, number 1" in err
    assert not any(secret in err + out for secret in (SECRET, SECRET[6:], KEY))


def test_without_a_secret_or_a_home_it_does_not_start(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = desk.call("webhook")
    assert (called.code, "set OPENAI_WEBHOOK_SECRET" in called.err) == (2, True)
    monkeypatch.setenv("HOOK", "whsec_?")
    assert "no batchrun home" in desk.call("webhook", "--secret-env", "HOOK").err
    open_ledger(Home(desk.folder / ".batchrun"), create=True).close()
    called = desk.call("webhook", "--secret-env", "HOOK", "--no-passes")
    assert (called.code, "damaged" in called.err, "whsec_?" in called.err) == (2, True, False)


def test_a_problem_is_told_once_until_it_has_gone(desk: Desk) -> None:
    home = Home(desk.folder / ".batchrun")
    open_ledger(home, create=True).close()
    batchrun = Batchrun(home=home, config=load_config(None, home.path, {}), clock=desk.clock)
    teller = Teller(Invocation(), batchrun)
    away, well = Transient("the service is away"), PassResult(next_at=None, ended=(), problems=())
    failing = replace(well, problems=(away,))
    told = []
    for came_to in (failing, failing, away, well, failing, LedgerError("the disk is full")):
        desk.capture.readouterr()
        teller.tell(came_to)
        told.append(desk.capture.readouterr().err.strip())
    assert [bool(line) for line in told] == [True, False, False, False, True, True]
    assert "the disk is full" in told[-1]


def test_a_job_that_is_paused_is_told_once(desk: Desk, service: BatchService) -> None:
    desk.call("submit", desk.job())
    home = Home(desk.folder / ".batchrun")
    with open_ledger(home) as ledger, ledger.transaction():
        ledger.execute("update jobs set paused = 'no credit'")
    batchrun = Batchrun(home=home, config=load_config(None, home.path, {}), clock=desk.clock)
    desk.capture.readouterr()
    for _ in range(2):
        Teller(Invocation(), batchrun).tell(PassResult(next_at=None, ended=(), problems=()))
    (line,) = desk.capture.readouterr().err.splitlines()
    assert "job faq@openai is paused: no credit. Go on with: batchrun resume faq@openai" in line
