"""Answers that go to more items than the one that asked, and what follows where there is none to share.

A follower is a pending item that is neither queued nor in a fresh file, since its leader asks the same. It gets a copy of the leader's
answer, in the transaction in which that comes, or waits no longer: then the next of the leader's followers are asked, one at first, and twice as
many each time after, so that a request which always fails is not asked for years.
"""

from typing import Final

from batchrun.ledger.connection import Ledger
from batchrun.ledger.followers import stop_following
from batchrun.ledger.history import keep_history
from batchrun.ledger.items import move_items
from batchrun.ledger.states import ItemEvent, ItemState

_TRIES_MOST: Final = 20  # a million followers at once
# What may be shared, in SQL over result_rows r of an item that succeeded: its own whole answer, and no picture, which is only in the line that came.
IS_CLEAN: Final = "r.outcome = 0 and r.send > 0 and r.finish = 'stop' and instr(coalesce(r.extras, ''), '\"images\":[{') = 0"
_FATE: Final = (
    f"l.id is not null and l.state = {int(ItemState.SUCCEEDED)} and l.hash = i.hash and {IS_CLEAN}"
)
# Followers whose leader does not ask for them any more: it has ended, asks otherwise by now, or is forgotten.
_ENDED: Final = f"""
insert into ended select f.item, f.leader, f.tries, coalesce({_FATE}, 0) from followers f
cross join item_rows i on i.id = f.item left join item_rows l on l.id = f.leader left join result_rows r on r.item = l.id
where f.job = ? and (l.id is null or l.state > {int(ItemState.IN_FLIGHT)} or l.hash <> i.hash)
"""
# The same of the items that were in one batch.
_ENDED_IN: Final = f"""
insert into ended select f.item, f.leader, f.tries, coalesce({_FATE}, 0) from item_rows l
cross join followers f on f.leader = l.id cross join item_rows i on i.id = f.item left join result_rows r on r.item = l.id
where l.id between ? and ? and ((l.batch = ? and l.state > {int(ItemState.IN_FLIGHT)}) or l.hash <> i.hash)
"""
_COPY: Final = """
insert into result_rows (item, batch, send, attempts, at, outcome, output, finish, cache_write_tokens, model, extras)
select e.item, r.batch, 0, 0, ?, 0, r.output, r.finish, 0, r.model, r.extras from ended e join result_rows r on r.item = e.leader where e.is_shared
"""
_RECORD: Final = """
insert or replace into shared select e.item, e.leader, l.job <> i.job, r.input_tokens, r.cached_tokens, r.cache_write_tokens, r.output_tokens, r.reasoning_tokens
from ended e join item_rows i on i.id = e.item join item_rows l on l.id = e.leader join result_rows r on r.item = e.leader where e.is_shared
"""
_SHARED: Final = "select item from ended where is_shared"


def share_answers(
    ledger: Ledger, *, job: int, at: int, batch: tuple[int, int, int] | None = None
) -> int:
    """Give the followers of a job their leaders' answers, or let the next ones be asked; inside the transaction that decided of the leaders.

    `batch`: (first item, last item, number) of the only batch that has ended, where that is known. Returns how many were answered.
    """
    if ledger.value("select 1 from followers where job = ? limit 1", (job,)) is None:
        return 0
    ledger.connection.execute(
        "create temp table if not exists ended (item integer primary key, leader integer, tries integer, is_shared integer) strict"
    )
    ledger.execute("delete from ended")
    if batch is None:
        waits = f"select 1 from item_rows i where i.id = followers.item and i.state = {int(ItemState.PENDING)}"
        ledger.execute(f"delete from followers where job = ? and not exists ({waits})", (job,))
        ledger.execute(_ENDED, (job,))
    else:
        ledger.execute(_ENDED_IN, batch)
    if not ledger.value("select exists (select 1 from ended)"):
        return 0
    keep_history(ledger, _SHARED, ())
    ledger.execute(_COPY, (at,))
    ledger.execute(_RECORD)
    answered = move_items(
        ledger, job=job, event=ItemEvent.SHARED, where=f"id in ({_SHARED})", at=at
    )
    stop_following(ledger, _SHARED)
    _ask_next(ledger, job, at)
    return answered


def _ask_next(ledger: Ledger, job: int, at: int) -> None:
    """Of the followers that got no answer some are asked, and the others follow these."""
    ledger.connection.execute(
        "create temp table if not exists left_over (item integer primary key, leader integer, n integer, count integer) strict"
    )
    ledger.execute("delete from left_over")
    ledger.execute(
        "insert into left_over select item, leader, row_number() over (partition by leader order by item), "
        f"1 << min(tries, {_TRIES_MOST}) from ended where not is_shared"
    )
    asked = "select item from left_over where n <= count"
    stop_following(ledger, asked)
    ledger.execute(
        f"insert or ignore into queue (item, job, not_before) select item, ?, ? from ({asked})",
        (job, at),
    )
    ledger.connection.execute(
        "create index if not exists temp.left_over_by_leader on left_over (leader, n)"
    )
    ledger.execute(
        "update followers set tries = tries + 1, leader = (select a.item from left_over o join left_over a on a.leader = o.leader "
        "and a.n = 1 + (o.n - 1) % o.count where o.item = followers.item) where item in (select item from left_over)"
    )


def ask_all(ledger: Ledger, *, job: int, items: str, at: int) -> None:
    """Have these followers of a job (`items` is a select of ids) asked, each by itself; inside the caller's transaction."""
    mine = f"select item from followers where job = {job} and item in ({items})"
    ledger.execute(
        f"insert or ignore into queue (item, job, not_before) select item, ?, ? from ({mine})",
        (job, at),
    )
    stop_following(ledger, items)
