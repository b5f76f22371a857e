"""Forming a batch: a fresh request file as it stands, and the record that every new batch is, cut ones too (`cutting.py`).

A batch and its items' move to IN_FLIGHT are one transaction; the input file was durable before it began.
"""

import json
import sqlite3

from batchrun.errors import LedgerError
from batchrun.ledger.attachments import has_attached
from batchrun.ledger.batches import insert_batch, new_token
from batchrun.ledger.bills import insert_bill
from batchrun.ledger.connection import Ledger
from batchrun.ledger.items import move_items
from batchrun.ledger.jobs import pause, sends_to
from batchrun.ledger.requestfiles import RequestFile, break_up
from batchrun.ledger.reserves import take_aside
from batchrun.ledger.shortages import end_shortage, note_shortage
from batchrun.ledger.states import FileState, ItemEvent, ItemState
from batchrun.ledger.submissions import settings_from_json
from batchrun.model import JOB_KEY, LEDGER_KEY, TOKEN_KEY, Limits
from batchrun.running.marking import mark_requests
from batchrun.running.paying import Payment, Quote
from batchrun.windows import DEFAULT_WINDOW


def form_from_file(
    ledger: Ledger,
    file_id: int,
    at: int,
    limits: Limits | None = None,
    payment: Payment | None = None,
) -> int | None:
    """A batch of one fresh request file; None where its items must be cut instead, or wait for money.

    They must be cut where some were cancelled or changed, are too many, or have attachments: these come into the requests of a cut only; and
    where no more than a part of them can be paid. `limits` are those of another profile than the file was written for.
    Raises UnknownPrice, Unbounded.
    """
    file = ledger.row("select * from request_files where id = ?", (file_id,))
    assert file is not None
    job = ledger.row("select * from jobs where id = ?", (file["job"],))
    assert job is not None
    own = f"id between ? and ? and file = ? and state = {int(ItemState.PENDING)}"
    bounds = (file["first_item"], file["last_item"], file_id)
    waiting = int(ledger.value(f"select count(*) from item_rows where {own}", bounds))
    cap = job["request_cap"] or file["request_count"]
    is_whole = waiting == file["request_count"] and not has_attached(ledger, file_id)
    fits = waiting <= cap and (limits is None or _is_within(file, limits))
    quote = None
    if waiting and is_whole and fits and payment is not None:
        path = ledger.home.request_file(file_id)
        try:
            quote = payment.quote(path, endpoint=file["endpoint"], model=file["model"])
        except LedgerError as exc:
            # As where no limit is: this job waits for a person, the others need not.
            pause(ledger, job["id"], str(exc))
            return None
        if is_put_off(ledger, payment, quote):
            return None
    with ledger.transaction():
        # Measuring takes a while, and a trial that stands beside this home needs no lock of it.
        is_payable = quote is None or (
            quote.fitting == quote.requests and (payment is None or payment.affords(quote))
        )
        if not waiting or not is_whole or not fits or not is_payable:
            break_up(ledger, file_id)
            return None
        done = RequestFile(
            id=file_id,
            request_count=file["request_count"],
            bytes=file["bytes"],
            checksum=file["checksum"],
            first_item=file["first_item"],
            last_item=file["last_item"],
        )
        batch = record_formed(
            ledger, job, file, done, where=own, parameters=bounds, at=at, quote=quote
        )
        ledger.execute(
            f"delete from queue where item in (select id from item_rows where id between ? and ? and batch = {batch})",
            bounds[:2],
        )
        ledger.execute("update request_files set state = ? where id = ?", (FileState.USED, file_id))
    return batch


def is_put_off(ledger: Ledger, payment: Payment | None, quote: Quote | None) -> bool:
    """Whether a batch that may cost so much waits for money; that it does, or not any more, is recorded.

    Where nothing that is out can make more room, those of its requests go that can be paid.
    """
    if payment is None:
        return False
    is_short = (
        quote is not None
        and quote.fitting < quote.requests
        and (payment.is_patient or not quote.fitting)
    )
    with ledger.transaction():
        if is_short and quote is not None:
            found = payment.lacking(least=quote.least, whole=quote.bill.reserved)
            note_shortage(ledger, payment.job, found, payment.now)
        else:
            end_shortage(ledger, payment.job)
    return is_short


def _is_within(file: sqlite3.Row, limits: Limits) -> bool:
    return bool(
        file["request_count"] <= limits.request_count
        and file["bytes"] <= limits.input_bytes
        and file["input_count"] <= limits.embedding_inputs
    )


def record_formed(
    ledger: Ledger,
    job: sqlite3.Row,
    source: sqlite3.Row,
    file: RequestFile,
    *,
    where: str,
    parameters: tuple[object, ...],
    at: int,
    profile: str | None = None,
    quote: Quote | None = None,
) -> int:
    """A new batch of `job` whose input is `file`, with its items, those `where`, now in flight in it, and reserved what it may cost.
    Inside the caller's transaction.

    `source`: what has the endpoint and the model of the requests; `profile`: where the batch goes, if not where the job's go now.
    """
    batch = _insert(ledger, job, source, file, at=at, profile=profile)
    if quote is not None:
        take_aside(ledger, job["id"], quote.bill.payer, quote.bill.reserved)
        insert_bill(ledger, batch=batch, bill=quote.bill, at=at)
    _assign(ledger, job=job["id"], batch=batch, where=where, parameters=parameters, at=at)
    mark_requests(ledger, batch)
    return batch


def _insert(
    ledger: Ledger,
    job: sqlite3.Row,
    source: sqlite3.Row,
    file: RequestFile,
    *,
    at: int,
    profile: str | None = None,
) -> int:
    settings = settings_from_json(job["settings"])
    token = new_token()
    metadata = {
        **settings.metadata,
        TOKEN_KEY: token,
        LEDGER_KEY: ledger.meta("ledger") or "",
        JOB_KEY: job["name"],
    }
    return insert_batch(
        ledger,
        job=job["id"],
        at=at,
        columns={
            "profile": profile or sends_to(ledger, job["id"]),
            "endpoint": source["endpoint"],
            "model": source["model"],
            "window": settings.window or DEFAULT_WINDOW,
            "token": token,
            "request_file": file.id,
            "request_count": file.request_count,
            "input_bytes": file.bytes,
            "checksum": file.checksum,
            "first_item": file.first_item,
            "last_item": file.last_item,
            "metadata": json.dumps(metadata),
        },
    )


def _assign(
    ledger: Ledger, *, job: int, batch: int, where: str, parameters: tuple[object, ...], at: int
) -> None:
    move_items(
        ledger,
        job=job,
        event=ItemEvent.ASSIGNED,
        where=where,
        parameters=parameters,
        at=at,
        batch=batch,
        sets=f"batch = {batch}, sends = sends + 1",
    )
