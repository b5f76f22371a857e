"""Forming batches: a fresh request file as it stands, or queued items copied out of several into new ones.

A batch and its items' move to IN_FLIGHT are one transaction; the input file was durable before it began.
"""

import contextlib
import json
import os
import sqlite3
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from batchrun.customids import custom_id, line_prefix
from batchrun.errors import LedgerError
from batchrun.ledger.attachments import has_attached
from batchrun.ledger.batches import insert_batch, new_token
from batchrun.ledger.canaries import queue_of
from batchrun.ledger.connection import Ledger
from batchrun.ledger.items import move_items
from batchrun.ledger.jobs import sends_to
from batchrun.ledger.opencalls import no_open_call
from batchrun.ledger.reopening import put_off_refused
from batchrun.ledger.requestfiles import (
    FileKind,
    RequestFile,
    RequestFileWriter,
    read_tail,
    remove,
)
from batchrun.ledger.states import FileState, ItemEvent, ItemState
from batchrun.ledger.submissions import settings_from_json
from batchrun.model import JOB_KEY, LEDGER_KEY, TOKEN_KEY, Limits
from batchrun.running.attaching import Uploaded, fill, nothing_uploaded
from batchrun.running.following import request_now
from batchrun.running.marking import mark_requests
from batchrun.windows import DEFAULT_WINDOW

# The model that an item's conversation went to, if it left the first one's.
_MODEL_NOW: Final = """(select t.changes ->> '$.model' from turns t where t.item = i.id and t.changes ->> '$.model' is not null
order by t.send desc limit 1)"""

_REFUSED_AGAIN_S: Final = 60  # between two looks whether a refusal is confirmed


def form_from_file(
    ledger: Ledger, file_id: int, at: int, limits: Limits | None = None
) -> int | None:
    """A batch of one fresh request file; None where its items must be cut instead.

    They must where some were cancelled or changed, are too many, or have attachments: these come into the requests of a cut only.
    `limits` are those of another profile than the file was written for.
    """
    file = ledger.row("select * from request_files where id = ?", (file_id,))
    assert file is not None
    job = _job(ledger, file["job"])
    own = f"id between ? and ? and file = ? and state = {int(ItemState.PENDING)}"
    bounds = (file["first_item"], file["last_item"], file_id)
    with ledger.transaction():
        waiting = int(ledger.value(f"select count(*) from item_rows where {own}", bounds))
        cap = job["request_cap"] or file["request_count"]
        is_whole = waiting == file["request_count"] and not has_attached(ledger, file_id)
        fits = waiting <= cap and (limits is None or _is_within(file, limits))
        if not waiting or not is_whole or not fits:
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
        batch = _insert(ledger, job, file, done, at=at)
        _assign(ledger, job=job["id"], batch=batch, where=own, parameters=bounds, at=at)
        mark_requests(ledger, batch)
        ledger.execute(
            f"delete from queue where item in (select id from item_rows where id between ? and ? and batch = {batch})",
            bounds[:2],
        )
        ledger.execute("update request_files set state = ? where id = ?", (FileState.USED, file_id))
    return batch


def _is_within(file: sqlite3.Row, limits: Limits) -> bool:
    return bool(
        file["request_count"] <= limits.request_count
        and file["bytes"] <= limits.input_bytes
        and file["input_count"] <= limits.embedding_inputs
    )


def cut_queued(
    ledger: Ledger,
    job_id: int,
    limits: Limits,
    at: int,
    uploaded: Uploaded = nothing_uploaded,
    *,
    chosen: Collection[int] | None = None,
    profile: str | None = None,
) -> list[int]:
    """Batches of the queued items of a job that are due: one per model, criteria and chunk; requests are copied, never rendered again.

    The queue is read once, in the order of models, criteria and files, however many batches come of it. `uploaded` may
    raise BackendError: what was cut before stays. `chosen`: of these items alone, wherever they wait; `profile`: where the batches go, if
    not where the job's go now.
    """
    job = _job(ledger, job_id)
    cap = min(limits.request_count, job["request_cap"] or limits.request_count)
    batches: list[int] = []
    _gather_due(ledger, job_id, at, chosen)
    sources = ledger.rows(
        "select model, endpoint, criteria, min(n) as first, max(n) as last from due group by model, endpoint, criteria order by first"
    )
    for source in list(sources):
        first = source["first"]
        while first <= source["last"]:
            last = min(first + cap - 1, source["last"])
            ids = uploaded(job_id, source["endpoint"], (first, last))
            batch, taken = _cut_one(
                ledger, job, source, (first, last), limits=limits, at=at, ids=ids, profile=profile
            )
            batches.append(batch)
            first += taken
    return batches


def _gather_due(ledger: Ledger, job: int, at: int, chosen: Collection[int] | None) -> None:
    """Number the due items from 1, by model, criteria and place: a cut is a range of numbers. On disk, so that memory does not grow with the queue."""
    ledger.connection.execute(
        "create temp table if not exists due (n integer primary key, item integer, model text, endpoint text, criteria integer) strict"
    )
    with ledger.transaction():
        queue = queue_of(ledger, job) if chosen is None else _queue_of_chosen(ledger, job, chosen)
        put_off_refused(ledger, job, at, at + _REFUSED_AGAIN_S)
        _break_up_fresh(ledger, job, at)
        ledger.execute("delete from due")
        ledger.execute(
            f"insert into due (item, model, endpoint, criteria) select i.id, coalesce({_MODEL_NOW}, f.model) as asked, f.endpoint, f.criteria "
            f"from {queue} q cross join item_rows i on i.id = q.item cross join request_files f on f.id = i.file "
            f"where q.job = ? and q.not_before <= ? and i.state = {int(ItemState.PENDING)} order by asked, f.endpoint, f.criteria, i.file, i.offset",
            (job, at),
        )


def _queue_of_chosen(ledger: Ledger, job: int, chosen: Collection[int]) -> str:
    """These items of a job as a queue, in SQL; those that wait in fresh files wait in the queue from now on."""
    ledger.execute("create temp table if not exists chosen (item integer primary key) strict")
    ledger.execute("delete from chosen")
    ledger.executemany("insert or ignore into chosen values (?)", ((item,) for item in chosen))
    ledger.execute(
        "insert or ignore into queue (item, job, not_before) select i.id, i.job, 0 from chosen c cross join item_rows i on i.id = c.item "
        f"where i.job = ? and i.state = {int(ItemState.PENDING)} and {no_open_call('i.id')}",
        (job,),
    )
    return "(select q.* from chosen c cross join queue q on q.item = c.item)"


def _break_up_fresh(ledger: Ledger, job: int, at: int) -> None:
    """A fresh file of which some items are sent by themselves is never sent whole: its lines would bear custom_ids that are used."""
    fresh = {
        row["id"]
        for row in ledger.rows(
            f"select id from request_files where job = ? and state = {int(FileState.FRESH)}", (job,)
        )
    }
    if not fresh:
        return
    due = ledger.execute(
        "select distinct i.file from queue q cross join item_rows i on i.id = q.item where q.job = ? and q.not_before <= ?",
        (job, at),
    ).fetchall()
    for file in sorted(fresh & {row[0] for row in due}):
        break_up(ledger, file)


def break_up(ledger: Ledger, file: int) -> None:
    """A fresh request file is not sent whole: what is pending of it waits in the queue. Inside the caller's transaction."""
    ledger.execute(
        "insert or ignore into queue (item, job, not_before) select i.id, i.job, 0 from request_files f "
        "cross join item_rows i on i.id between f.first_item and f.last_item and i.file = f.id "
        f"where f.id = ? and i.state = {int(ItemState.PENDING)}",
        (file,),
    )
    ledger.execute("update request_files set state = ? where id = ?", (FileState.USED, file))


def _cut_one(
    ledger: Ledger,
    job: sqlite3.Row,
    source: sqlite3.Row,
    span: tuple[int, int],
    *,
    limits: Limits,
    at: int,
    ids: Mapping[bytes, str],
    profile: str | None = None,
) -> tuple[int, int]:
    """A batch of the due items numbered `span[0]` to at most `span[1]`, and how many it took: as many as fit."""
    with ledger.transaction():
        writer = RequestFileWriter(
            ledger,
            job=job["id"],
            submission=None,
            criteria=source["criteria"],
            kind=FileKind.CUT,
            endpoint=source["endpoint"],
            model=source["model"],
            limits=limits,
        )
    try:
        items = ledger.connection.execute(
            "select i.id, i.key, i.sends, i.file, i.offset, exists (select 1 from turns t where t.item = i.id), "
            "exists (select 1 from attached a where a.file = i.file and a.item = i.id) "
            "from due d cross join item_rows i on i.id = d.item "
            "where d.n between ? and ? order by d.n",
            span,
        )
        with contextlib.closing(items):
            taken = _copy(ledger, items, writer, ids)
        writer.close()
    except BaseException:
        writer.abandon()
        raise
    cut = (span[0], span[0] + taken - 1)
    chosen = "select item from due where n between ? and ?"
    with ledger.transaction():
        done = writer.finish(FileState.USED)
        batch = _insert(ledger, job, source, done, at=at, profile=profile)
        _assign(
            ledger,
            job=job["id"],
            batch=batch,
            where=f"id in ({chosen}) and state = {int(ItemState.PENDING)}",
            parameters=cut,
            at=at,
        )
        mark_requests(ledger, batch)
        ledger.execute(f"delete from queue where item in ({chosen})", cut)
    return batch, taken


def _copy(
    ledger: Ledger,
    items: Iterable[tuple[int, str | None, int, int, int, int, int]],
    writer: RequestFileWriter,
    ids: Mapping[bytes, str],
) -> int:
    """Copy requests in the order of their files, carried on where there are turns and with their attachments, until one does not fit; returns how many were taken."""
    taken = 0
    source_id, descriptor = -1, -1
    try:
        for item, key, sends, file, offset, goes_on, attaches in items:
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
            if goes_on:
                tail = request_now(ledger, item, tail)
            if attaches:
                tail = fill(ledger, file, item, tail, ids)
            line = line_prefix(custom_id(item, sends + 1, key)) + tail + b"\n"
            inputs = _inputs(tail)
            if taken and not writer.has_room(size=len(line), inputs=inputs):
                break
            writer.append(line, count=1, inputs=inputs, first_item=item, last_item=item)
            taken += 1
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


def sweep_cuts(ledger: Ledger) -> None:
    """Remove cut files whose writer died before their batch was recorded; only under the lock.

    The number of one that the disk will not let go is not given again: its row stays, and `prune` tries once more.
    """
    dead = [
        int(row["id"])
        for row in ledger.rows(
            "select id from request_files where state = ? and kind = ?",
            (FileState.WRITING, FileKind.CUT),
        )
    ]
    if dead:
        # Files before their rows are gone: whoever dies in between is followed by one who still knows them.
        gone = [file for file in dead if remove(ledger.home.request_file(file))]
        with ledger.transaction():
            ledger.executemany("delete from request_files where id = ?", ((i,) for i in gone))
            ledger.execute(
                "update request_files set state = ? where state = ? and kind = ?",
                (FileState.REMOVED, FileState.WRITING, FileKind.CUT),
            )
