"""Cutting the queue: items that wait for another attempt, or whose request file is not sent whole, into new batches.

Which items are due, and in what order, is put into a table of its own once; each batch is a range of it. The cut file is durable before its
batch is recorded, and `sweep_cuts` removes those whose batch never was.
"""

import contextlib
import sqlite3
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Final

from batchrun.ledger.canaries import queue_of
from batchrun.ledger.connection import Ledger
from batchrun.ledger.followers import stop_following
from batchrun.ledger.opencalls import no_open_call
from batchrun.ledger.reopening import put_off_refused
from batchrun.ledger.requestfiles import FileKind, RequestFileWriter, break_up, remove
from batchrun.ledger.states import FileState, ItemState
from batchrun.model import Limits
from batchrun.running.attaching import Uploaded, nothing_uploaded
from batchrun.running.copying import copy_requests
from batchrun.running.form import is_put_off, record_formed
from batchrun.running.paying import Payment

# The model that an item's conversation went to, if it left the first one's.
_MODEL_NOW: Final = """(select t.changes ->> '$.model' from turns t where t.item = i.id and t.changes ->> '$.model' is not null
order by t.send desc limit 1)"""

_REFUSED_AGAIN_S: Final = 60  # between two looks whether a refusal is confirmed


def cut_queued(
    ledger: Ledger,
    job_id: int,
    limits: Limits,
    at: int,
    uploaded: Uploaded = nothing_uploaded,
    *,
    chosen: Collection[int] | None = None,
    profile: str | None = None,
    payment: Payment | None = None,
    fitting: Callable[[str], Limits] | None = None,
) -> list[int]:
    """Batches of the queued items of a job that are due: one per model, criteria and chunk; requests are copied, never rendered again.

    The queue is read once, in the order of models, criteria and files, however many batches come of it. `uploaded` may
    raise BackendError: what was cut before stays. `chosen`: of these items alone, wherever they wait; `profile`: where the batches go, if
    not where the job's go now. `fitting`: what a batch of a model's requests may hold, no more than `limits` allow. What cannot be paid by now
    stays in the queue. Raises UnknownPrice, Unbounded.
    """
    job = ledger.row("select * from jobs where id = ?", (job_id,))
    assert job is not None
    cap = min(limits.request_count, job["request_cap"] or limits.request_count)
    batches: list[int] = []
    _gather_due(ledger, job_id, at, chosen)
    sources = ledger.rows(
        "select model, endpoint, criteria, min(n) as first, max(n) as last from due group by model, endpoint, criteria order by first"
    )
    for source in list(sources):
        first = source["first"]
        within = limits if fitting is None else fitting(source["model"])
        while first <= source["last"]:
            last = min(first + cap - 1, source["last"])
            ids = uploaded(job_id, source["endpoint"], (first, last))
            cut = partial(
                _cut_one,
                ledger,
                job,
                source,
                limits=within,
                at=at,
                ids=ids,
                profile=profile,
                payment=payment,
            )
            batch, taken = cut((first, last))
            if batch is None and taken:
                batch, taken = cut((first, first + taken - 1))
            if batch is None:
                sweep_cuts(ledger)
                return batches  # the rest waits for money
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
    stop_following(ledger, "select item from chosen")
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
    payment: Payment | None = None,
) -> tuple[int | None, int]:
    """A batch of the due items numbered `span[0]` to at most `span[1]`, and how many it took: as many as fit.

    No batch where so many of them cannot be paid: then how many can, or 0 where they wait.
    """
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
            taken = copy_requests(ledger, items, writer, ids)
        quote = None
        if payment is not None:
            quote = payment.quote(
                writer.readable(), endpoint=source["endpoint"], model=source["model"]
            )
            is_waiting = is_put_off(ledger, payment, quote)
            if is_waiting or (quote is not None and quote.fitting < quote.requests):
                writer.abandon()
                sweep_cuts(ledger)
                return None, 0 if is_waiting or quote is None else quote.fitting
        writer.close()
    except BaseException:
        writer.abandon()
        raise
    cut = (span[0], span[0] + taken - 1)
    chosen = "select item from due where n between ? and ?"
    with ledger.transaction():
        if payment is not None and quote is not None and not payment.affords(quote):
            return None, 0  # since it was measured; `sweep_cuts` has the file
        done = writer.finish(FileState.USED)
        batch = record_formed(
            ledger,
            job,
            source,
            done,
            where=f"id in ({chosen}) and state = {int(ItemState.PENDING)}",
            parameters=cut,
            at=at,
            profile=profile,
            quote=quote,
        )
        ledger.execute(f"delete from queue where item in ({chosen})", cut)
    return batch, taken


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
