"""Earlier attempts: `result_rows` holds an item's last one only, so that outputs are one merge join; the others move here."""

from typing import Final

from batchrun.ledger.connection import Ledger

STILL_TRIED: Final = "(2, 3, 6, 7)"  # outcomes (retry, released, repair, called) after which the item was sent again by itself

_COLUMNS: Final = (
    "item, batch, send, attempts, at, outcome, cause, message, output, finish, "
    "input_tokens, cached_tokens, output_tokens, reasoning_tokens, model, kind, offset, length, extras"
)


def keep_history(ledger: Ledger, items: str, parameters: tuple[object, ...]) -> None:
    """Move the result rows of the items that `items` (a select of ids) names into the history."""
    ledger.execute(
        f"insert into history ({_COLUMNS}) select {_COLUMNS} from result_rows where item in ({items})",
        parameters,
    )
    ledger.execute(f"delete from result_rows where item in ({items})", parameters)


def restore_history(ledger: Ledger, items: str) -> None:
    """Move the last earlier attempt of these items back, where it is one that was still being tried: the reverse of `keep_history`."""
    last = f"select max(id) from history where item in ({items}) group by item"
    ledger.execute(
        f"insert into result_rows ({_COLUMNS}) select {_COLUMNS} from history where id in ({last}) and outcome in {STILL_TRIED}"
    )
    ledger.execute(f"delete from history where id in ({last}) and outcome in {STILL_TRIED}")
