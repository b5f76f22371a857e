"""`batchrun resolve`, as it is typed: after a create that was made and never answered, and where there is nothing to resolve."""

import sqlite3

import pytest
from clikit import Desk

from batchrun.service.service import BatchService


def doubt(desk: Desk) -> str:
    """Submit a job and forget that its batch was created; returns the batch's id on the service."""
    assert desk.call("submit", desk.job()).code == 0
    with sqlite3.connect(desk.folder / ".batchrun" / "batchrun.db") as ledger:
        (remote_id,) = ledger.execute("select remote_id from batch_rows").fetchone()
        ledger.execute("update batch_rows set state = 2, remote_id = null, remote = null")
    ledger.close()
    return str(remote_id)


def test_a_batch_that_a_person_found_is_adopted(desk: Desk, service: BatchService) -> None:
    remote_id = doubt(desk)
    called = desk.call("resolve", "1", "--is", remote_id)
    assert called.code == 0
    assert called.out.startswith(f"batch 1: it is {remote_id} (")
    assert called.out.endswith("Go on with: batchrun wait faq\n")


def test_the_document_says_what_became_of_it(desk: Desk, service: BatchService) -> None:
    remote_id = doubt(desk)
    document = desk.call("resolve", "1", "--is", remote_id, "--json").json
    assert document.pop("remote_status") in {"validating", "in_progress", "finalizing", "completed"}
    assert document == {
        "batch": 1,
        "job": "faq",
        "state": "created",
        "remote_id": remote_id,
    }


def test_what_the_service_lists_is_not_absent(desk: Desk, service: BatchService) -> None:
    remote_id = doubt(desk)
    called = desk.call("resolve", "1", "--absent")
    assert called.code == 2
    assert f"`batchrun resolve 1 --is {remote_id}` adopts it" in called.err


def test_status_shows_the_number_that_resolve_wants_where_a_person_is_needed(
    desk: Desk, service: BatchService
) -> None:
    """Also of a batch that has a name on the service: its results cannot be read, a second time."""
    assert desk.call("submit", desk.job()).code == 0
    with sqlite3.connect(desk.folder / ".batchrun" / "batchrun.db") as ledger:
        ledger.execute("update batch_rows set reason = 'look at it', needs_person = 1")
        (remote_id,) = ledger.execute("select remote_id from batch_rows").fetchone()
    ledger.close()
    assert f"  batch 1, {remote_id}: " in desk.call("status").out
    (job,) = desk.call("status", "--json").json["jobs"]
    assert [(b["batch"], b["needs_person"]) for b in job["batches"]] == [(1, True)]


def test_batches_that_need_a_person_are_shown_before_those_that_only_wait(
    desk: Desk, service: BatchService
) -> None:
    with (desk.folder / "batchrun.toml").open("a") as settings:
        settings.write("limits = { request_count = 1 }\n")
    assert desk.call("submit", desk.job("faq", *map(str, range(9)))).code == 0
    with sqlite3.connect(desk.folder / ".batchrun" / "batchrun.db") as ledger:
        ledger.execute("update batch_rows set reason = 'look at it', needs_person = 1 where id = 9")
    ledger.close()
    out = desk.call("status").out
    assert "\n  batch 9, batch_" in out
    assert "… and 4 more batches" in out


@pytest.mark.parametrize("column", ["token", "input_file_id"])
def test_a_batch_may_be_called_what_the_service_calls_it(
    desk: Desk, service: BatchService, column: str
) -> None:
    """One in doubt has no id there that we know; its file and the token in its metadata are there."""
    remote_id = doubt(desk)
    with sqlite3.connect(desk.folder / ".batchrun" / "batchrun.db") as ledger:
        (name,) = ledger.execute(f"select {column} from batch_rows").fetchone()
    ledger.close()
    called = desk.call("resolve", name, "--is", remote_id)
    assert called.out.startswith(f"batch 1: it is {remote_id} (")
    assert "batch 1 is created" in desk.call("resolve", remote_id, "--absent").err


def test_a_name_that_means_two_batches_is_refused(desk: Desk, service: BatchService) -> None:
    assert desk.call("submit", desk.job(), desk.job("more")).code == 0
    with sqlite3.connect(desk.folder / ".batchrun" / "batchrun.db") as ledger:
        ledger.execute("update batch_rows set remote_id = '1' where id = 2")
    ledger.close()
    called = desk.call("resolve", "1", "--absent")
    assert called.code == 2
    assert "1 may be each of the batches 1, 2" in called.err


def test_a_name_that_no_batch_has_is_told(desk: Desk, service: BatchService) -> None:
    assert desk.call("submit", desk.job()).code == 0
    called = desk.call("resolve", "batch_nobody", "--absent")
    assert called.code == 2
    assert "there is no batch batch_nobody. `batchrun status` shows" in called.err


@pytest.mark.parametrize("options", [(), ("--absent", "--is", "batch_x")])
def test_one_of_two_things_must_be_said(desk: Desk, options: tuple[str, ...]) -> None:
    called = desk.call("resolve", "1", *options)
    assert called.code == 2
    assert "Say one of --is BATCH_ID, --absent and --as-is" in called.err
