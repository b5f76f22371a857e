"""Moving items from state to state, many at once: the rows, the counts and the event in one transaction of the caller's.

Every change of an item's state in batchrun happens in this file, through the table of `states.py`.
"""

from collections.abc import Sequence
from typing import Final

from batchrun.ledger.connection import Ledger
from batchrun.ledger.states import (
    IS_OPEN_ITEM,
    ITEM_INITIAL,
    ITEM_TRANSITIONS,
    ItemEvent,
    ItemState,
    advance_item,
)

_COUNT: Final = (
    "insert into item_counts (job, state, vanished, n) values (?, ?, ?, ?) "
    "on conflict do update set n = n + excluded.n"
)
_EVENT: Final = "insert into events (at, job, batch, event, before, after, n, vanished) values (?, ?, ?, ?, ?, ?, ?, ?)"


def count_added(ledger: Ledger, *, job: int, event: ItemEvent, n: int, at: int) -> None:
    """Count `n` rows that the caller has inserted in the initial state of `event`."""
    if n:
        state = ITEM_INITIAL[event]
        ledger.execute(_COUNT, (job, state, 0, n))
        ledger.execute(_EVENT, (at, job, None, event, None, state, n, 0))


def count_removed(
    ledger: Ledger, *, job: int, state: ItemState, n: int, vanished: int, at: int
) -> None:
    """Book `n` rows of `state` that the caller has deleted (bad lines of the submission before)."""
    if n:
        ledger.execute(_COUNT, (job, state, vanished, -n))
        ledger.execute(_EVENT, (at, job, None, "removed", state, None, n, vanished))


def count_moved(
    ledger: Ledger,
    *,
    job: int,
    event: ItemEvent,
    before: ItemState,
    n: int,
    at: int,
    batch: int | None = None,
    vanished: int = 0,
) -> ItemState:
    """Book `n` items of `job` that the caller moves from `before` by `event`; returns the state to move them to."""
    after = advance_item(before, event)
    if n:
        ledger.execute(_COUNT, (job, before, vanished, -n))
        ledger.execute(_COUNT, (job, after, vanished, n))
        ledger.execute(_EVENT, (at, job, batch, event, before, after, n, vanished))
    return after


def count_vanished(ledger: Ledger, *, job: int, state: ItemState, n: int, to: int, at: int) -> None:
    """Book `n` items of `state` that leave the outputs (`to` = 1) or come back (`to` = 0); their state does not change."""
    if n:
        ledger.execute(_COUNT, (job, state, 1 - to, -n))
        ledger.execute(_COUNT, (job, state, to, n))
        event = "vanished" if to else "returned"
        ledger.execute(_EVENT, (at, job, None, event, state, state, n, to))


def uncertain_count(ledger: Ledger, job: int) -> int:
    """How many failed items were sent and may have been executed, without an answer; an index has them all."""
    return int(
        ledger.value(
            "select count(*) from result_rows r indexed by result_rows_uncertain cross join item_rows i on i.id = r.item "
            "where r.cause = 'uncertain' and i.job = ? and i.vanished = 0 and i.state = ?",
            (job, ItemState.FAILED),
        )
    )


def move_items(
    ledger: Ledger,
    *,
    job: int,
    event: ItemEvent,
    where: str,
    parameters: Sequence[object] = (),
    at: int,
    batch: int | None = None,
    sets: str = "",
    among: Sequence[tuple[ItemState, int]] | None = None,
) -> int:
    """Move every item of `job` that matches `where` and whose state allows `event`; returns how many moved.

    `sets` is further SQL of the SET clause (our own, never foreign text); `where` may name columns of item_rows. `among`: all the
    (state, vanished) that these items can have, where the caller knows them: it saves looking.
    """
    moved = 0
    for state, vanished in among or _groups(ledger, job, event, where, parameters):
        after = advance_item(state, event)
        # The rows just moved may match `where` again in their new state: the state is part of the compare-and-set.
        its = f"+job = ? and ({where}) and state = {int(state)} and vanished = {int(vanished)}"
        if after != state or sets:
            n = ledger.execute(
                f"update item_rows set state = {int(after)}{', ' + sets if sets else ''} where {its}",
                (job, *parameters),
            ).rowcount
        else:
            n = int(ledger.value(f"select count(*) from item_rows where {its}", (job, *parameters)))
        count_moved(
            ledger,
            job=job,
            event=event,
            before=state,
            n=n,
            at=at,
            batch=batch,
            vanished=vanished,
        )
        moved += n
    return moved


def _groups(
    ledger: Ledger, job: int, event: ItemEvent, where: str, parameters: Sequence[object]
) -> list[tuple[ItemState, int]]:
    """The (state, vanished) of the items that `event` may move, in order."""
    allowed = [state for state, row in ITEM_TRANSITIONS.items() if event in row]
    rows = ledger.execute(
        f"select distinct state, vanished from item_rows where +job = ? and ({where}) "
        f"and state in ({','.join(str(int(s)) for s in allowed)}) order by state, vanished",
        (job, *parameters),
    ).fetchall()
    return [(ItemState(state), vanished) for state, vanished in rows]


def counts(ledger: Ledger, job: int) -> dict[ItemState, int]:
    """How many items of a job stand where; vanished ones apart (they are not counted)."""
    found = {
        ItemState(row["state"]): row["n"]
        for row in ledger.rows(
            "select state, n from item_counts where job = ? and vanished = 0", (job,)
        )
    }
    return {state: found.get(state, 0) for state in ItemState}


def open_count(ledger: Ledger, job: int) -> int:
    """Pending and in-flight items, vanished ones included: while there are any, the job has not ended."""
    value = ledger.value(f"select sum(n) from item_counts where job = ? and {IS_OPEN_ITEM}", (job,))
    return int(value or 0)
