"""Making a submission visible: what changes of the items that the job had before, and of the batches that they are in.

All of it inside the submission's last transaction.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from batchrun.ledger.connection import Ledger
from batchrun.ledger.deadlines import BY_CHANGE
from batchrun.ledger.followers import stop_following
from batchrun.ledger.history import keep_history
from batchrun.ledger.items import count_added, count_removed, count_vanished, move_items
from batchrun.ledger.known import KnownItems
from batchrun.ledger.opencalls import no_open_call
from batchrun.ledger.states import BatchState, ItemEvent, ItemState
from batchrun.ledger.turns import drop_turns


def apply_revisions(ledger: Ledger, *, job: int, submission: int, at: int) -> None:
    """Changed items take their new request, or wait with it until the one in flight is settled."""
    mine = (submission,)
    chosen = "select item from revisions where submission = ? and deferred = 0"
    _return_seen(ledger, job, at)
    ledger.execute(
        "update item_rows set name = r.name from renamed r where r.item = item_rows.id and item_rows.name is not r.name"
    )
    keep_history(ledger, chosen, mine)
    ledger.execute(f"delete from queue where item in ({chosen})", mine)
    stop_following(ledger, chosen, mine)  # it asks something else than its leader now
    drop_turns(ledger, chosen, mine)
    ledger.execute(f"delete from bad_items where item in ({chosen})", mine)
    move_items(
        ledger,
        job=job,
        event=ItemEvent.REVISED,
        where=f"id in ({chosen})",
        parameters=mine,
        at=at,
        sets="batch = null",
    )
    ledger.execute(
        "update item_rows set hash = r.hash, file = r.file, offset = r.offset "
        "from revisions r where r.item = item_rows.id and r.submission = ? and r.deferred = 0",
        mine,
    )
    # Their answers stand; what they would be asked now is what later submissions compare with.
    ledger.execute(
        "update item_rows set hash = k.hash, file = k.file, offset = k.offset from kept k where k.item = item_rows.id"
    )
    # Older waiting revisions are overtaken by this submission's, and by a change back to what is in flight.
    ledger.execute(
        "delete from revisions where submission <> ? and item in (select item from revisions where submission = ?)",
        (submission, submission),
    )
    ledger.execute("delete from revisions where item in (select item from dropped)")
    ledger.execute("delete from revisions where submission = ? and deferred = 0", mine)


def _return_seen(ledger: Ledger, job: int, at: int) -> None:
    """Items that had vanished and are back."""
    back = ledger.execute(
        "select state, count(*) from item_rows where job = ? and vanished = 1 and id in (select item from positions) group by state",
        (job,),
    ).fetchall()
    ledger.execute(
        "update item_rows set vanished = 0 where job = ? and vanished = 1 and id in (select item from positions)",
        (job,),
    )
    for state, n in back:
        count_vanished(ledger, job=job, state=ItemState(state), n=n, to=0, at=at)


def requeue_cancelled(ledger: Ledger, *, job: int, at: int) -> int:
    """Cancelled items that are submitted again are wanted again; returns how many."""
    again = "select item from again"
    keep_history(ledger, again, ())
    ledger.execute(
        f"insert or ignore into queue (item, job, not_before) select item, ?, 0 from again where {no_open_call('again.item')}",
        (job,),
    )
    return move_items(
        ledger,
        job=job,
        event=ItemEvent.REQUEUED,
        where="id in (select item from again)",
        at=at,
        sets="batch = null",
    )


def flag_vanished(ledger: Ledger, known: KnownItems, *, job: int, at: int) -> None:
    """Vanished items leave the outputs; those still pending will not be sent."""
    ledger.execute("create temp table gone (item integer primary key, state integer) strict")
    ledger.executemany("insert into gone values (?, ?)", known.vanished())
    gone = "id in (select item from gone)"
    move_items(
        ledger,
        job=job,
        event=ItemEvent.CANCELLED,
        where=f"{gone} and state = {int(ItemState.PENDING)}",
        at=at,
    )
    ledger.execute("delete from queue where item in (select item from gone)")
    ledger.execute("delete from revisions where item in (select item from gone)")
    groups = ledger.execute(
        f"select state, count(*) from item_rows where {gone} group by state"
    ).fetchall()
    ledger.execute(f"update item_rows set vanished = 1 where {gone}")
    for state, n in groups:
        count_vanished(ledger, job=job, state=ItemState(state), n=n, to=1, at=at)
    ledger.execute("drop table gone")


def take_back(ledger: Ledger, *, job: int, profiles: Iterable[str]) -> None:
    """Have the batches of these profiles cancelled that hold items whose answers are not wanted any more, since they changed or vanished.

    For batches whose lines we send one by one: those not sent yet would be paid for nothing. What was sent is waited for and kept; the other
    items go again, as they are asked now. Nobody can take back single lines of a batch.
    """
    created, in_flight = int(BatchState.CREATED), int(ItemState.IN_FLIGHT)
    ledger.executemany(
        f"update batch_rows as b set cancel_requested = {BY_CHANGE}, next_at = case when state = {created} then 0 else next_at end "
        f"where b.job = ? and b.profile = ? and b.state <= {created} and b.cancel_requested = 0 and exists (select 1 from item_rows i "
        f"where i.id between b.first_item and b.last_item and i.batch = b.id and i.state = {in_flight} "
        "and (i.vanished = 1 or exists (select 1 from revisions r where r.item = i.id and r.deferred = 1)))",
        [(job, profile) for profile in profiles],
    )


def record_order(ledger: Ledger, *, job: int, is_in_order: bool, keep_missing: bool) -> None:
    """Positions where the order of the ids is not the order of the data any more.

    Kept items that had positions stay in that order, behind the items that were brought.
    """
    if keep_missing:
        kept = ledger.execute(
            "insert or ignore into positions select o.item, o.position + (select coalesce(max(position), 0) from positions) "
            "from item_order o join item_rows i on i.id = o.item where i.job = ?",
            (job,),
        )
        is_in_order = is_in_order and kept.rowcount <= 0
    ledger.execute(
        "delete from item_order where item in (select id from item_rows where job = ?)",
        (job,),
    )
    if not is_in_order:
        ledger.execute("insert into item_order select item, position from positions")


class BadRow(NamedTuple):
    """A bad item: its number, its own id where it has one, where it stands as `<file>:<line>`, and what is wrong with it."""

    item: int
    key: str | None
    place: str
    cause: str
    message: str


def drop_bad(ledger: Ledger, *, job: int, at: int) -> None:
    """The bad items of the submission before are gone."""
    # Found through bad_items: looking through all the job's items took a fiftieth of PREPARE.
    old = ledger.execute(
        "select i.id, i.vanished from bad_items b join item_rows i on i.id = b.item where +i.job = ? and i.file is null",
        (job,),
    ).fetchall()
    items = [(item,) for item, _ in old]
    ledger.executemany("delete from bad_items where item = ?", items)
    ledger.executemany("delete from item_order where item = ?", items)
    ledger.executemany("delete from item_rows where id = ?", items)
    for vanished, n in Counter(vanished for _, vanished in old).items():
        count_removed(ledger, job=job, state=ItemState.FAILED, n=n, vanished=vanished, at=at)


def record_bad(ledger: Ledger, bad: Sequence[BadRow], *, job: int, at: int) -> None:
    """The bad items of this submission, which have their rows, become failures.

    They are named by their ids, and by their places where another item of the outputs has that id.
    """
    taken: set[str] = set()
    for item, key, place, cause, message in bad:
        has_id = key is not None and key not in taken and not _is_shown(ledger, job, key)
        name = key if has_id else place
        taken.add(name or place)
        ledger.execute("update item_rows set name = ? where id = ?", (name, item))
        ledger.execute("insert into bad_items values (?, ?, ?, ?)", (item, cause, message, has_id))
    count_added(ledger, job=job, event=ItemEvent.BAD, n=len(bad), at=at)


def _is_shown(ledger: Ledger, job: int, key: str) -> bool:
    row = ledger.row(
        "select 1 from item_rows where job = ? and key = ? and vanished = 0", (job, key)
    )
    return row is not None
