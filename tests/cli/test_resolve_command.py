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


@pytest.mark.parametrize("options", [(), ("--absent", "--is", "batch_x")])
def test_one_of_two_things_must_be_said(desk: Desk, options: tuple[str, ...]) -> None:
    called = desk.call("resolve", "1", *options)
    assert called.code == 2
    assert "Say one of --is BATCH_ID, --absent and --as-is" in called.err
