"""`forget`: items, or a whole job, out of every place that batchrun knows of.

Two phases. First one transaction takes the rows out of the tables, and notes by number what must still go: from then on no command shows
them. Then come the bytes: spool, outputs, copies and free pages of the ledger, files at the service. Each step may be repeated, so a process that
died in the second phase is finished by the next `forget`, also one without arguments.
"""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from batchrun.errors import BatchrunError, UsageError
from batchrun.keeping.aside import blank_set_aside, told_of_set_aside
from batchrun.keeping.blanking import Items, blank_requests, blank_results, drop_fields
from batchrun.keeping.choosing import (
    CHOSEN,
    also_in,
    choose_all,
    choose_named,
    choose_old,
    chosen_count,
)
from batchrun.keeping.published import remove_outputs, write_again
from batchrun.keeping.remote import (
    delete_remote_files,
    forget_embedded,
    leftover_count,
    note_remote_files,
    remote_files,
)
from batchrun.keeping.removing import mark_requests, mark_results, remove_marked
from batchrun.keeping.rows import delete_items, scrub_batches, scrub_job, scrub_wishes
from batchrun.keeping.wiping import remove_copies, wipe_free_space
from batchrun.ledger.connection import Ledger
from batchrun.ledger.jobs import JobRow
from batchrun.ledger.requestfiles import remove
from batchrun.ledger.states import IS_OPEN_ITEM
from batchrun.running.context import OpenBackend
from batchrun.running.results import ERROR, OUTPUT

# An answer that was another's is in no batch of its own.
_CARRIED: Final = " union ".join(
    f"select batch from {table} where item in ({CHOSEN}){asked}"
    for table, asked in (
        ("result_rows", " and send > 0"),
        ("history", " and send > 0"),
        ("asked_as", ""),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """What a `forget` came to, or would come to. `item_count`: of this call; `open_count`: items left alone because they are still open.

    `also_in`: other jobs that have an item of one of the ids. `left`: in words, what is not batchrun's to remove. `remote_deleted`,
    `remote_left`: files at services; of a dry run, `remote_left` are those that would be deleted. `problems`: why they are left.
    """

    job: str | None = None
    profile: str | None = None
    is_whole: bool = False
    item_count: int = 0
    open_count: int = 0
    also_in: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    remote_deleted: int = 0
    remote_left: int = 0
    problems: tuple[BatchrunError, ...] = ()


_NOTHING: Final = Forgotten()


def forget(
    ledger: Ledger,
    find_job: Callable[[], JobRow] | None,
    names: Sequence[str] = (),
    *,
    now: int,
    older_than_s: int | None = None,
    is_dry_run: bool = False,
    open_backend: OpenBackend,
) -> Forgotten:
    """Forget the named items of a job, those older than `older_than_s`, or with neither the whole job; under the home's lock.

    What an earlier forget left undone is done first and with it; without `find_job` that is all. Raises UsageError for a job or name that is
    not there (unless an earlier forget had begun with it), NotFinished while a batch holds any of it, LedgerError.
    """
    is_unfinished = has_unfinished(ledger)
    chosen: Forgotten | None = None
    if find_job is not None:
        try:
            job = find_job()
            cutoff = None if older_than_s is None else now - older_than_s
            chosen = choose(ledger, job, names, cutoff=cutoff)
        except UsageError:
            if not is_unfinished or is_dry_run:
                raise
        else:
            if not is_dry_run and (chosen.is_whole or chosen.item_count):
                begin(ledger, job, chosen, at=now)
    if is_dry_run:
        return chosen or _NOTHING
    done = finish(ledger, open_backend=open_backend, at=now)
    return replace(
        chosen or _NOTHING,
        left=done.left,
        remote_deleted=done.remote_deleted,
        remote_left=done.remote_left,
        problems=done.problems,
    )


def choose(ledger: Ledger, job: JobRow, names: Sequence[str], *, cutoff: int | None) -> Forgotten:
    """Choose what a forget means: the named items, those as old as `cutoff` (unix seconds), or with neither the whole job.

    Nothing is changed. Raises UsageError for an unknown name, NotFinished while a batch holds any of it.
    """
    found = Forgotten(job=job.name, profile=job.profile, is_whole=not names and cutoff is None)
    if names:
        choose_named(ledger, job, names)
        found = replace(found, also_in=also_in(ledger, job, names))
    elif cutoff is not None:
        found = replace(found, open_count=choose_old(ledger, job, cutoff))
    else:
        choose_all(ledger, job)
    batches = f"select id from batch_rows where job = {job.id}" if found.is_whole else _CARRIED
    return replace(
        found, item_count=chosen_count(ledger), remote_left=len(remote_files(ledger, batches))
    )


def begin(ledger: Ledger, job: JobRow, chosen: Forgotten, *, at: int) -> None:
    """The first phase, on what `choose` chose: rows go, numbers of what must follow are noted, in one transaction.

    Before it what only the rows can tell: the lines in the spool of a lost ledger. Raises LedgerError where the disk refuses that.
    """
    blank_set_aside(ledger, CHOSEN)
    with ledger.transaction():
        cursor = ledger.execute(
            "insert into forgettings (at, job, is_whole, was_stale) values (?, ?, ?, ?)",
            (at, job.id, int(chosen.is_whole), int(job.is_stale)),
        )
        forgetting = int(cursor.lastrowid or 0)
        if chosen.is_whole:
            carried = f"select id from batch_rows where job = {job.id}"
        else:
            ledger.execute(
                f"insert into forgotten_batches select ?, batch from ({_CARRIED})", (forgetting,)
            )
            ledger.execute(
                f"insert into forgotten_items select ?, item from ({CHOSEN})", (forgetting,)
            )
            carried = f"select batch from forgotten_batches where forgetting = {forgetting}"
        note_remote_files(ledger, carried)
        delete_items(ledger, job.id, CHOSEN, at=at)
        scrub_batches(ledger, carried, ())
        scrub_wishes(ledger, job.id)
        if chosen.is_whole:
            mark_requests(ledger, "select id from request_files where job = ?", (job.id,))
            mark_results(ledger, carried, (), at)
            # Nobody is left who would want a lost batch back.
            ledger.execute("update batch_rows set lost_at = null where job = ?", (job.id,))
            scrub_job(ledger, job.id)
        else:
            ledger.execute("update jobs set stale = 1 where id = ?", (job.id,))


def has_unfinished(ledger: Ledger) -> bool:
    """Whether a forget is half done, here or at a service."""
    begun = ledger.value("select 1 from forgettings where done_at is null")
    return bool(begun or leftover_count(ledger))


def finish(ledger: Ledger, *, open_backend: OpenBackend, at: int) -> Forgotten:
    """The second phase, of every forget that is not done, then the files at services; under the home's lock.

    Raises LedgerError where the disk refuses or another process reads the ledger: the same call goes on. What a service did is in `problems`.
    """
    left: list[str] = []
    unfinished = list(ledger.rows("select * from forgettings where done_at is null order by id"))
    remove_marked(ledger)
    for row in unfinished:
        left += _forget_job(ledger, row, at) if row["is_whole"] else _forget_items(ledger, row, at)
    if unfinished:
        remove_copies(ledger.home)
        forget_embedded(ledger)
        wipe_free_space(ledger)
        left += told_of_set_aside(ledger.home)
        with ledger.transaction():
            for table in ("forgotten_items", "forgotten_batches"):
                ledger.execute(f"delete from {table}")
            ledger.execute("delete from asked_as where item not in (select id from item_rows)")
            ledger.execute("update forgettings set done_at = ? where done_at is null", (at,))
    remote = delete_remote_files(ledger, open_backend)
    return Forgotten(
        left=tuple(left),
        remote_deleted=remote.deleted,
        remote_left=remote.left,
        problems=remote.problems,
    )


def _forget_job(ledger: Ledger, row: sqlite3.Row, at: int) -> tuple[str, ...]:
    for submission in ledger.rows("select id from submissions where job = ?", (row["job"],)):
        remove(ledger.home.fields_file(submission["id"]))
    for batch in ledger.rows("select id from batch_rows where job = ?", (row["job"],)):
        for kind in (OUTPUT, ERROR):
            remove(ledger.home.suspect_file(batch["id"], kind))
    return remove_outputs(ledger, row["job"], now=at)


def _forget_items(ledger: Ledger, row: sqlite3.Row, at: int) -> tuple[str, ...]:
    mine, job = (row["id"],), row["job"]
    items = Items(
        found["item"]
        for found in ledger.rows("select item from forgotten_items where forgetting = ?", mine)
    )
    blank_requests(ledger, job, items)
    for batch in list(
        ledger.rows("select batch from forgotten_batches where forgetting = ?", mine)
    ):
        blank_results(ledger, batch["batch"], items)
    submission = ledger.value("select submission from jobs where id = ?", (job,))
    if submission is None:
        return ()  # forgotten as a whole since
    drop_fields(ledger, submission, items)
    left = write_again(ledger, job, now=at)
    if not row["was_stale"]:
        with ledger.transaction():
            ledger.execute(
                "update jobs set stale = 0 where id = ? and not exists (select 1 from item_counts c "
                f"where c.job = jobs.id and c.{IS_OPEN_ITEM} and c.n > 0)",
                (job,),
            )
    return left
