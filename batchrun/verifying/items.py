"""Items: each in one place at a time, sent as often as it says, final only with a reason, and never stranded.

A batch that was given up as lost and came back (`lost_at`) is open once more, while some of its items may have gone on without it.
"""

from collections.abc import Iterator
from typing import Final

from batchrun.ledger.connection import Ledger
from batchrun.ledger.followers import not_following
from batchrun.ledger.opencalls import no_open_call
from batchrun.ledger.states import (
    IS_OPEN_BATCH,
    IS_OPEN_ITEM,
    BatchState,
    FileState,
    ItemState,
    SubmissionState,
)
from batchrun.verifying.visible import end_item

_OUTCOME: Final = "case t.kind when 'calls' then 7 else 6 end"  # of the answer that a turn follows
_WAITING, _IN_FLIGHT = int(ItemState.PENDING), int(ItemState.IN_FLIGHT)
# (what breaks, SQL for its id and more), in the order in which they are told; `?1` is the first item that does not count.
_Rules = tuple[tuple[str, str], ...]

_OPEN: Final[_Rules] = (
    (
        "item {0} is in flight, but its batch {1} is not open",
        (
            "select i.id, i.batch from item_rows i left join batch_rows b on b.id = i.batch "
            f"where i.id < ?1 and i.state = {_IN_FLIGHT} and not coalesce(b.{IS_OPEN_BATCH}, 0)"
        ),
    ),
    (
        "item {0} is in open batch {1}, but not in flight",
        f"select i.id, i.batch from item_rows i join batch_rows b on b.id = i.batch where i.id < ?1 and i.state <> {_IN_FLIGHT} and b.{IS_OPEN_BATCH} and b.lost_at is null",
    ),
    (
        "item {0} is pending, and in batch {1} at the same time",
        f"select id, batch from item_rows where id < ?1 and state = {_WAITING} and batch is not null",
    ),
    (
        "item {0} is gone from the data, and pending",
        f"select id from item_rows where id < ?1 and state = {_WAITING} and vanished = 1",
    ),
)

_SENT: Final[_Rules] = (
    (
        "item {0}: sending {1} was settled twice",
        (
            "select item, send from history where send > 0 group by 1, 2 having count(*) > 1 union all "
            "select h.item, h.send from history h join result_rows r on r.item = h.item and r.send = h.send where r.send > 0"
        ),
    ),
    (
        "item {0} was settled twice in batch {1}",
        (
            "select item, batch from history where send > 0 group by 1, 2 having count(*) > 1 union all "
            "select h.item, h.batch from history h join result_rows r on r.item = h.item and r.batch = h.batch where r.send > 0 and h.send > 0"
        ),
    ),
    (
        "item {0} was sent {1} times, and {2} of them are accounted for",
        # Of an item that was sent once, the history is only looked for where nothing else accounts for it.
        (
            f"select id, sends, known from (select i.id, i.sends, (i.state = {_IN_FLIGHT}) + coalesce(r.send > 0, 0) + case when i.sends > 1 or "
            f"(i.state <> {_IN_FLIGHT} and coalesce(r.send, 0) = 0) "
            "then (select count(*) from history h where h.item = i.id and h.send > 0) else 0 end as known "
            "from item_rows i left join result_rows r on r.item = i.id where i.id < ?1) where sends <> known "
            # Of a recovered one, earlier sendings may be out of reach; their numbers are not given again.
            "and (sends < known or id not in (select item from asked_as))"
        ),
    ),
    (
        "item {0}: sending {1} was settled, but it was sent {2} times only",
        (
            "select i.id, r.send, i.sends from item_rows i join result_rows r on r.item = i.id where i.id < ?1 and r.send > i.sends "
            "union all select i.id, h.send, i.sends from history h join item_rows i on i.id = h.item where h.send > i.sends"
        ),
    ),
    (
        "item {0} has a result from batch {1}, which is not final",
        (
            f"select r.item, r.batch from result_rows r join batch_rows b on b.id = r.batch where b.{IS_OPEN_BATCH} and b.lost_at is null union all "
            f"select h.item, h.batch from history h join batch_rows b on b.id = h.batch where b.{IS_OPEN_BATCH} and b.lost_at is null"
        ),
    ),
)

_REASONS: Final[_Rules] = (
    (
        "item {0} succeeded, without an answer",
        f"select i.id from item_rows i left join result_rows r on r.item = i.id where i.id < ?1 and i.state = {int(ItemState.SUCCEEDED)} and coalesce(r.outcome, 1) <> 0",
    ),
    (
        "item {0} failed, without a reason",
        (
            "select i.id from item_rows i left join result_rows r on r.item = i.id left join bad_items b on b.item = i.id "
            f"where i.id < ?1 and i.state = {int(ItemState.FAILED)} and case when i.file is null then b.cause is null else coalesce(r.outcome, 0) <> 1 "
            "or r.cause is null end"
        ),
    ),
    (
        "batch {0} was rejected, without a reason",
        f"select id from batch_rows where state = {int(BatchState.REJECTED)} and reason is null",
    ),
)

_TURNS: Final[_Rules] = (
    (
        "item {0} goes on after its attempt {1}, which was not answered so",
        (
            "select t.item, t.send from turns t where not exists (select 1 from result_rows r where r.item = t.item and r.send = t.send "
            f"and r.outcome = {_OUTCOME}) and not exists (select 1 from history h where h.item = t.item and h.send = t.send and h.outcome = {_OUTCOME})"
        ),
    ),
    (
        "item {0} would ask the same again, after an answer that was of no use",
        (
            f"select i.id from result_rows r join item_rows i on i.id = r.item where r.outcome in (6, 7) and i.{IS_OPEN_ITEM} "
            "and not exists (select 1 from turns t where t.item = r.item and t.send = r.send)"
        ),
    ),
    (
        "item {0}: a call in the answer to its attempt {1} is part of no conversation",
        (
            "select distinct c.item, c.send from tool_calls c "
            "where not exists (select 1 from turns t where t.item = c.item and t.send = c.send and t.kind = 'calls')"
        ),
    ),
    (
        "item {0} goes on after its attempt {1}, without the calls of that answer",
        (
            "select t.item, t.send from turns t "
            "where t.kind = 'calls' and not exists (select 1 from tool_calls c where c.item = t.item and c.send = t.send)"
        ),
    ),
)

_PENDING: Final[_Rules] = (
    (
        "item {0} is queued, but not pending",
        f"select q.item from queue q left join item_rows i on i.id = q.item where i.state is not {_WAITING} or q.job <> i.job",
    ),
    (
        "item {0} is pending, but nothing will send it",
        (
            f"select i.id from item_rows i left join queue q on q.item = i.id left join request_files f on f.id = i.file and f.state = {int(FileState.FRESH)} "
            f"where i.id < ?1 and i.state = {_WAITING} and q.item is null and f.id is null and {no_open_call('i.id')} and {not_following('i.id')}"
        ),
    ),
    (
        "item {0} waits for the answer of another, and is not pending or asked itself",
        (
            "select f.item from followers f left join item_rows i on i.id = f.item left join request_files a on a.id = i.file "
            f"where i.state is not {_WAITING} or i.job <> f.job or a.state = {int(FileState.FRESH)} or exists (select 1 from queue q where q.item = f.item)"
        ),
    ),
    (
        "item {0} waits for the answer of item {1}, which does not ask for it",
        (
            "select f.item, f.leader from followers f join item_rows i on i.id = f.item left join item_rows l on l.id = f.leader "
            f"where l.id is null or l.job <> i.job or l.hash <> i.hash or l.state > {_IN_FLIGHT} or exists (select 1 from followers g where g.item = l.id)"
        ),
    ),
    (
        "item {0} has the answer of another, and nothing says whose",
        "select r.item from result_rows r where r.send = 0 and not exists (select 1 from shared s where s.item = r.item)",
    ),
    (
        "item {0} is queued, and its calls are not all answered",
        f"select q.item from queue q where not {no_open_call('q.item')}",
    ),
    (
        "item {0} goes before the rest of its job, but nothing will send it before that",
        (
            "select c.item from canary_items c join item_rows i on i.id = c.item join request_files f on f.id = i.file "
            f"where i.state = {_WAITING} and f.state = {int(FileState.FRESH)} and f.is_canary = 0 "
            "and not exists (select 1 from queue q where q.item = c.item)"
        ),
    ),
    (
        "job {0}: {1} items go before the rest, which waits for none",
        (
            "select c.job, count(*) from canary_items c "
            "where not exists (select 1 from canaries a where a.job = c.job and a.settled_at is null) group by 1"
        ),
    ),
    (
        "job {0} waits for {1} canaries at once",
        "select job, count(*) from canaries where settled_at is null group by 1 having count(*) > 1",
    ),
    (
        "item {0} has a change waiting, but is not in flight",
        (
            "select r.item from revisions r join item_rows i on i.id = r.item join submissions s on s.id = r.submission "
            f"where s.state = {int(SubmissionState.READY)} and (i.state <> {_IN_FLIGHT} or r.deferred = 0)"
        ),
    ),
)


def one_open_attempt(ledger: Ledger) -> Iterator[str]:
    """An item is in flight exactly while its one batch is open."""
    return _told(ledger, _OPEN)


def sendings_accounted(ledger: Ledger) -> Iterator[str]:
    """Every sending is open, or was settled once, by a batch that is final: nothing is sent again before."""
    return _told(ledger, _SENT)


def final_with_reason(ledger: Ledger) -> Iterator[str]:
    """Nothing ends without an answer or a reason."""
    return _told(ledger, _REASONS)


def turns_follow_answers(ledger: Ledger) -> Iterator[str]:
    """A conversation goes on exactly where an answer was not the last."""
    return _told(ledger, _TURNS)


def pending_will_be_sent(ledger: Ledger) -> Iterator[str]:
    """Pending items wait in the queue, in a fresh request file, or for their calls; nothing else does."""
    return _told(ledger, _PENDING)


def _told(ledger: Ledger, rules: _Rules) -> Iterator[str]:
    end = end_item(ledger)
    for what, sql in rules:
        for row in ledger.rows(sql, (end,) if "?1" in sql else ()):
            yield what.format(*row)
