"""The turns of conversations that go on: kept while the item is asked the same thing, dropped when it is asked anew."""

from collections.abc import Sequence

import msgspec

from batchrun.followups import Turn
from batchrun.ledger.connection import Ledger
from batchrun.ledger.toolcalls import add_calls


def add_turn(ledger: Ledger, *, item: int, turn: Turn) -> None:
    """Record what follows the answer to an item in flight; inside the transaction that settles it.

    The attempt is the item's last: the custom_id of a recovered one may count otherwise.
    """
    send = int(ledger.value("select sends from item_rows where id = ?", (item,)))
    ledger.execute(
        "insert into turns (item, send, kind, additions, changes) values (?, ?, ?, ?, ?)",
        (
            item,
            send,
            turn.kind,
            msgspec.json.encode(turn.additions).decode(),
            msgspec.json.encode(turn.changes).decode(),
        ),
    )
    add_calls(ledger, item=item, send=send, calls=turn.calls)


def turns_of(ledger: Ledger, item: int) -> tuple[Turn, ...]:
    """The turns of an item, oldest first; without their calls, which the additions hold as they were said."""
    return tuple(
        Turn(
            kind=row["kind"],
            additions=tuple(msgspec.json.decode(row["additions"])),
            changes=msgspec.json.decode(row["changes"]),
        )
        for row in ledger.rows(
            "select kind, additions, changes from turns where item = ? order by send", (item,)
        )
    )


def turn_counts(ledger: Ledger, items: str, parameters: Sequence[object]) -> dict[int, int]:
    """How many turns each of the items has that `items` (a select of ids) names; those without any are left out."""
    return dict(
        ledger.execute(
            f"select item, count(*) from turns where item in ({items}) group by item", parameters
        ).fetchall()
    )


def drop_turns(ledger: Ledger, items: str, parameters: Sequence[object] = ()) -> None:
    """These items are asked anew: what was said before is no longer part of their requests."""
    for table in ("turns", "tool_calls"):
        ledger.execute(f"delete from {table} where item in ({items})", parameters)
