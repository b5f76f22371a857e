"""Which items wait for the answer of another: the rule, in one place. Light: `batchrun status` imports it."""

from batchrun.ledger.connection import Ledger


def not_following(item: str) -> str:
    """SQL: that an item waits for no other. `item` is the column with its number, with its table before it."""
    assert "." in item
    return f"not exists (select 1 from followers f where f.item = {item})"


def following_count(ledger: Ledger, job: int) -> int:
    """How many items of a job wait for another."""
    return int(ledger.value("select count(*) from followers where job = ?", (job,)))


def stop_following(ledger: Ledger, items: str, parameters: tuple[object, ...] = ()) -> None:
    """These items (a select of ids) wait for no other any more; inside the caller's transaction."""
    ledger.execute(f"delete from followers where item in ({items})", parameters)
