"""Earlier attempts: `result_rows` holds an item's last one only, so that outputs are one merge join; the others move here."""

from typing import Final

from batchrun.ledger.connection import Ledger

STILL_TRIED: Final = "(2, 3, 6, 7)"  # outcomes (retry, released, repair, called) after which the item was sent again by itself

_GOES_ON: Final = "(6, 7)"  # of these, those with a turn

_COLUMNS: Final = (
    "item, batch, send, attempts, at, outcome, cause, message, output, finish, "
    "input_tokens, cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens, model, kind, offset, length, extras"
)


def keep_history(ledger: Ledger, items: str, parameters: tuple[object, ...]) -> None:
    """Move the result rows of the items that `items` (a select of ids) names into the history."""
    ledger.execute(
        f"insert into history ({_COLUMNS}) select {_COLUMNS} from result_rows where item in ({items})",
        parameters,
    )
    ledger.execute(f"delete from result_rows where item in ({items})", parameters)


def restore_history(ledger: Ledger, items: str) -> None:
    """Move the last earlier attempt of these items back, where it is one that was still being tried: the reverse of `keep_history`.

    One that a conversation went on from stays where it is when the item was asked anew since: its turn is gone.
    """
    ledger.execute("create temp table if not exists restored (id integer primary key) strict")
    ledger.execute("delete from restored")
    ledger.execute(
        f"insert into restored select id from history h where id in (select max(id) from history where item in ({items}) group by item) "
        f"and outcome in {STILL_TRIED} and (outcome not in {_GOES_ON} "
        "or exists (select 1 from turns t where t.item = h.item and t.send = h.send))"
    )
    restored = "select id from restored"
    ledger.execute(
        f"insert into result_rows ({_COLUMNS}) select {_COLUMNS} from history where id in ({restored})"
    )
    ledger.execute(f"delete from history where id in ({restored})")
