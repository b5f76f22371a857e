"""Forming batches: a fresh request file as it stands, or queued items copied out of several into new ones.

A batch and its items' move to IN_FLIGHT are one transaction; the input file was durable before it began.
"""

import json
import os
import sqlite3
from typing import Final

from batchrun.errors import LedgerError
from batchrun.ledger.batches import insert_batch, new_token
from batchrun.ledger.connection import Ledger
from batchrun.ledger.items import move_items
from batchrun.ledger.requestfiles import (
    FileKind,
    FileState,
    RequestFile,
    RequestFileWriter,
    read_tail,
)
from batchrun.ledger.states import ItemEvent
from batchrun.ledger.submissions import settings_from_json
from batchrun.model import Limits
from batchrun.requests import custom_id, line_prefix

_FETCH: Final = 1_000


def form_from_file(ledger: Ledger, file_id: int, at: int) -> int | None:
    """A batch of one fresh request file; None where its items must be cut instead (some were cancelled, changed, or are too many)."""
    file = ledger.row("select * from request_files where id = ?", (file_id,))
    assert file is not None
    job = _job(ledger, file["job"])
    own = "id between ? and ? and file = ? and state = 0"
    bounds = (file["first_item"], file["last_item"], file_id)
    with ledger.transaction():
        waiting = int(ledger.value(f"select count(*) from item_rows where {own}", bounds))
        cap = job["request_cap"] or file["request_count"]
        if not waiting or waiting != file["request_count"] or waiting > cap:
            ledger.execute(
                f"insert or ignore into queue (item, job, not_before) select id, job, 0 from item_rows where {own}",
                bounds,
            )
            ledger.execute(
                "update request_files set state = ? where id = ?", (FileState.USED, file_id)
            )
            return None
        done = RequestFile(
            id=file_id,
            request_count=file["request_count"],
            bytes=file["bytes"],
            checksum=file["checksum"],
            first_item=file["first_item"],
            last_item=file["last_item"],
        )
        batch = _insert(ledger, job, file, done, at)
        _assign(ledger, job=job["id"], batch=batch, where=own, parameters=bounds, at=at)
        ledger.execute(
            f"delete from queue where item in (select id from item_rows where id between ? and ? and batch = {batch})",
            bounds[:2],
        )
        ledger.execute("update request_files set state = ? where id = ?", (FileState.USED, file_id))
    return batch


def cut_queued(ledger: Ledger, job_id: int, limits: Limits, at: int) -> list[int]:
    """Batches of the queued items of a job that are due: one per model and chunk; requests are copied, never rendered again."""
    job = _job(ledger, job_id)
    cap = min(limits.request_count, job["request_cap"] or limits.request_count)
    batches: list[int] = []
    models = ledger.rows(
        "select distinct f.model, f.endpoint from queue q join item_rows i on i.id = q.item join request_files f on f.id = i.file "
        "where q.job = ? and q.not_before <= ? order by f.model",
        (job_id, at),
    )
    for row in list(models):
        while (batch := _cut_one(ledger, job, row, cap=cap, limits=limits, at=at)) is not None:
            batches.append(batch)
    return batches


def _cut_one(
    ledger: Ledger, job: sqlite3.Row, source: sqlite3.Row, *, cap: int, limits: Limits, at: int
) -> int | None:
    items = ledger.connection.execute(
        "select i.id, i.key, i.sends, i.file, i.offset from queue q join item_rows i on i.id = q.item "
        "join request_files f on f.id = i.file where q.job = ? and q.not_before <= ? and f.model = ? and f.endpoint = ? "
        "and i.state = 0 order by i.file, i.offset limit ?",
        (job["id"], at, source["model"], source["endpoint"], cap),
    ).fetchall()
    if not items:
        return None
    with ledger.transaction():
        writer = RequestFileWriter(
            ledger,
            job=job["id"],
            submission=None,
            kind=FileKind.CUT,
            endpoint=source["endpoint"],
            model=source["model"],
        )
    try:
        taken = _copy(ledger, items, writer, limits)
        writer.close()
    except BaseException:
        writer.abandon()
        raise
    ledger.connection.execute(
        "create temp table if not exists chosen (item integer primary key) strict"
    )
    with ledger.transaction():
        ledger.execute("delete from chosen")
        ledger.executemany("insert into chosen values (?)", ((item,) for item in taken))
        done = writer.finish(FileState.USED)
        batch = _insert(ledger, job, source, done, at)
        _break_up_fresh(ledger)
        _assign(
            ledger,
            job=job["id"],
            batch=batch,
            where="id in (select item from chosen) and state = 0",
            parameters=(),
            at=at,
        )
        ledger.execute("delete from queue where item in (select item from chosen)")
    return batch


def _break_up_fresh(ledger: Ledger) -> None:
    """A fresh file of which some items are now sent by themselves is never sent whole: its lines would bear custom_ids that are used."""
    broken = (
        "select f.id from request_files f where f.state = 1 "
        "and f.id in (select i.file from chosen c join item_rows i on i.id = c.item)"
    )
    ledger.execute(
        f"insert or ignore into queue (item, job, not_before) select id, job, 0 from item_rows where state = 0 and file in ({broken})"
    )
    ledger.execute(f"update request_files set state = {int(FileState.USED)} where id in ({broken})")


def _copy(
    ledger: Ledger,
    items: list[tuple[int, str | None, int, int, int]],
    writer: RequestFileWriter,
    limits: Limits,
) -> list[int]:
    """Copy requests in the order of their files, until one does not fit; returns the items taken."""
    taken: list[int] = []
    source_id, descriptor = -1, -1
    try:
        for item, key, sends, file, offset in items:
            if file != source_id:
                if descriptor >= 0:
                    os.close(descriptor)
                path = ledger.home.request_file(file)
                try:
                    descriptor = os.open(path, os.O_RDONLY)
                except OSError as exc:
                    raise LedgerError(
                        f"{path}: cannot be read: {exc.strerror}. It holds requests that are still to be sent: "
                        "restore it from a backup, or submit the job again with --fresh."
                    ) from exc
                source_id = file
            tail = read_tail(descriptor, offset)
            if tail is None:
                raise LedgerError(
                    f"{ledger.home.request_file(file)}: shorter than recorded. Restore it from a backup."
                )
            line = line_prefix(custom_id(item, sends + 1, key)) + tail + b"\n"
            inputs = _inputs(tail)
            if taken and not writer.has_room(size=len(line), inputs=inputs, limits=limits):
                break
            writer.append(line, count=1, inputs=inputs, first_item=item, last_item=item)
            taken.append(item)
    finally:
        if descriptor >= 0:
            os.close(descriptor)
    return taken


def _inputs(tail: bytes) -> int:
    """Embedding inputs of a copied request; only embeddings have more than one."""
    if b'"/v1/embeddings"' not in tail[:64]:
        return 1
    from batchrun.endpoints import endpoint_of

    body = json.loads(b"{" + tail)["body"]
    return endpoint_of("/v1/embeddings").input_count(body)


def _job(ledger: Ledger, job: int) -> sqlite3.Row:
    row = ledger.row("select * from jobs where id = ?", (job,))
    assert row is not None
    return row


def _insert(
    ledger: Ledger, job: sqlite3.Row, source: sqlite3.Row, file: RequestFile, at: int
) -> int:
    settings = settings_from_json(job["settings"])
    token = new_token()
    metadata = {
        **settings.metadata,
        "batchrun": token,
        "batchrun_ledger": ledger.meta("ledger") or "",
        "batchrun_job": job["name"],
    }
    return insert_batch(
        ledger,
        job=job["id"],
        at=at,
        columns={
            "profile": job["profile"],
            "endpoint": source["endpoint"],
            "model": source["model"],
            "window": settings.window,
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


def sweep_cuts(ledger: Ledger) -> None:
    """Remove cut files whose writer died before their batch was recorded; only under the lock."""
    dead = [
        int(row["id"])
        for row in ledger.rows(
            "select id from request_files where state = ? and kind = ?",
            (FileState.WRITING, FileKind.CUT),
        )
    ]
    if dead:
        with ledger.transaction():
            ledger.executemany("delete from request_files where id = ?", ((i,) for i in dead))
        for file in dead:
            ledger.home.request_file(file).unlink(missing_ok=True)
