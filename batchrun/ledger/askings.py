"""Which items of a job go first, as a canary, and which askings have shown that they work.

An asking is all of a job line that shapes requests and the judging of their answers. Once the canary of one has passed, later submissions of
it wait for nothing.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import msgspec
import xxhash

from batchrun.ledger.connection import Ledger
from batchrun.ledger.followers import not_following
from batchrun.ledger.states import FileState, ItemState
from batchrun.model import JobSettings, OutputSettings

_GONE: Final = f"state = {int(ItemState.CANCELLED)} or vanished = 1"
# Items of a canary that wait in a request file together with others.
_NOT_APART: Final = f"""
select c.item from canary_items c cross join item_rows i on i.id = c.item cross join request_files f on f.id = i.file
where c.job = ?1 and i.state = {int(ItemState.PENDING)} and f.state = {int(FileState.FRESH)} and f.is_canary = 0
"""


def asking_of(settings: JobSettings) -> bytes:
    """The hash of what a job line asks, and how it judges the answers: not of what data it asks about, when, where and for what outputs."""
    asked = replace(
        settings,
        name="",
        path="",
        line=0,
        items=None,
        id=None,
        missing="",
        bad_items=0,
        max_new=None,
        window="",
        deadline=None,
        attempts=0,
        uncertain="",
        profile="",
        output=OutputSettings(),
        metadata={},
        note=None,
        canary=None,
        dedupe=None,
        cache=False,
        tags=(),
        budget=None,
    )
    return xxhash.xxh3_128_digest(msgspec.json.encode(asked))


def is_wanted(ledger: Ledger, job: int, settings: JobSettings) -> bool:
    """Whether this job line wants a canary, and none of its asking has passed."""
    if settings.canary is None:
        return False
    return not ledger.value(
        "select 1 from canaries where job = ? and asking = ? and settled_at is not null",
        (job, asking_of(settings)),
    )


def set_canary(
    ledger: Ledger,
    settings: JobSettings,
    *,
    job: int,
    submission: int,
    files: Sequence[int],
    live_twin: str,
) -> None:
    """Decide what of a job goes first, as its submission becomes visible. Inside that transaction.

    A canary of the same asking that is out goes on, with those of its items that are still wanted. Else it is what is in `files`, which the
    submission closed early for that, and the first of what waits beside. No more items than that is no canary at all. `live_twin`: the profile
    that answers it where it is to be live.
    """
    asking, wanted = asking_of(settings), settings.canary
    if wanted is None or not is_wanted(ledger, job, settings):
        _drop(ledger, job)
        return
    ledger.execute(
        f"delete from canary_items where job = ? and item in (select id from item_rows where {_GONE})",
        (job,),
    )
    is_same = ledger.value(
        "select 1 from canaries where job = ? and asking = ? and settled_at is null", (job, asking)
    )
    if not (is_same and _count(ledger, job)):
        _drop(ledger, job)
        if _waiting(ledger, job) <= wanted.items:
            return
        _choose(ledger, job, submission, files, wanted.items)
        if not _count(ledger, job):
            return
    ledger.execute(
        "insert or replace into canaries (job, asking, max_failed, max_truncated, sends_to) values (?, ?, ?, ?, ?)",
        (
            job,
            asking,
            wanted.max_failed,
            wanted.max_truncated,
            live_twin if wanted.is_live else None,
        ),
    )
    ledger.execute(
        f"insert or ignore into queue (item, job, not_before) select item, ?1, 0 from ({_NOT_APART})",
        (job,),
    )


def _drop(ledger: Ledger, job: int) -> None:
    ledger.execute("delete from canaries where job = ? and settled_at is null", (job,))
    ledger.execute("delete from canary_items where job = ?", (job,))
    ledger.execute("update request_files set is_canary = 0 where job = ? and is_canary = 1", (job,))


def _count(ledger: Ledger, job: int) -> int:
    return int(ledger.value("select count(*) from canary_items where job = ?", (job,)))


def _waiting(ledger: Ledger, job: int) -> int:
    """How many items are to be sent: what waits, and what is to be asked anew when it is back."""
    return int(
        ledger.value(
            "select coalesce((select sum(n) from item_counts where job = ?1 and state = ?2), 0) + "
            "(select count(*) from revisions r join submissions s on s.id = r.submission where s.job = ?1 and r.deferred = 1) - "
            "(select count(*) from followers where job = ?1)",
            (job, ItemState.PENDING),
        )
    )


def _choose(ledger: Ledger, job: int, submission: int, files: Sequence[int], most: int) -> None:
    """The items of `files`, and where these are fewer than `most`, others that wait; only where there are none, some that are to be asked
    anew when they are back.
    """
    for file in files:
        ledger.execute(
            "insert into canary_items (job, item) select i.job, i.id from request_files f "
            "cross join item_rows i on i.id between f.first_item and f.last_item and i.file = f.id "
            f"where f.id = ? and {not_following('i.id')}",
            (file,),
        )
        ledger.execute("update request_files set is_canary = 1 where id = ?", (file,))
    in_queue = "select item from queue where job = ?1 and item not in (select item from canary_items where job = ?1) order by item"
    in_files = (
        "select i.id from request_files f cross join item_rows i on i.id between f.first_item and f.last_item and i.file = f.id "
        f"where f.job = ?1 and f.state = {int(FileState.FRESH)} and f.is_canary = 0 and i.state = {int(ItemState.PENDING)} "
        "and i.id not in (select item from canary_items where job = ?1) order by f.id, i.id"
    )
    for source in (in_queue, in_files):
        _add(ledger, source, job, most)
    if not _count(ledger, job):
        in_flight = f"select item from revisions where submission = {submission} and deferred = 1 order by item"
        _add(ledger, in_flight, job, most)


def _add(ledger: Ledger, source: str, job: int, most: int) -> None:
    missing = most - _count(ledger, job)
    if missing > 0:
        ledger.execute(
            f"insert into canary_items (job, item) select ?1, * from ({source} limit ?2)",
            (job, missing),
        )
