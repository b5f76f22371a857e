"""Where the batches on a service come from: which ledgers' batches are ours, and under which custom_ids they ask.

A ledger that was rebuilt, restored or copied answers for batches that it did not create, and so does one that adopted batches of other
programs. Their requests bear item numbers of the ledger that did, or any text; `asked_as` remembers them, by batch, where they are not the
ones that this ledger would have given. So the rule stays what it is: a result settles its item by (batch row, custom_id) and by nothing else.
"""

from collections.abc import Callable, Iterable, Mapping

from batchrun.customids import item_of
from batchrun.ledger.connection import Ledger
from batchrun.model import LEDGER_KEY, TOKEN_KEY


def own_ledgers(ledger: Ledger) -> frozenset[str]:
    """Ids of the ledgers whose batches this one answers for: its own, those that it bore before, and lost ones that it stands in for."""
    adopted = {row["id"] for row in ledger.rows("select id from ledgers")}
    return frozenset({ledger.meta("ledger") or "", *adopted})


def former_ledgers(ledger: Ledger) -> frozenset[str]:
    """Its own id, and those that it bore before it was taken over."""
    former = {row["id"] for row in ledger.rows("select id from ledgers where is_former = 1")}
    return frozenset({ledger.meta("ledger") or "", *former})


def adopt_ledger(ledger: Ledger, ledger_id: str, *, is_former: bool, at: int) -> None:
    """From now on this ledger answers for the batches of that one too, inside the caller's transaction."""
    ledger.execute(
        "insert or ignore into ledgers (id, is_former, at) values (?, ?, ?)",
        (ledger_id, is_former, at),
    )


def custom_ids_of(ledger: Ledger, batch: int) -> dict[int, str]:
    """custom_id by item, of those in this batch that bear another than `requests.custom_id` would give; nearly always none."""
    return dict(
        ledger.connection.execute(
            "select item, custom_id from asked_as where batch = ?", (batch,)
        ).fetchall()
    )


def naming(ledger: Ledger, batch: int | None) -> Callable[[str], int | None]:
    """Whom the custom_ids of a batch name, whether or not there is such an item; None stands for a stranger's."""
    recorded: dict[str, int] = dict(
        ledger.connection.execute(
            "select custom_id, item from asked_as where batch = ?", (batch,)
        ).fetchall()
    )
    return lambda custom_id: recorded.get(custom_id, item_of(custom_id))


def record_custom_ids(ledger: Ledger, batch: int, rows: Iterable[tuple[int, str]]) -> None:
    """Remember (item, custom_id) of a batch, inside the caller's transaction."""
    ledger.executemany(
        "insert into asked_as (batch, item, custom_id) values (?, ?, ?)",
        ((batch, item, custom_id) for item, custom_id in rows),
    )


def is_stray(ledger: Ledger, remote_id: str) -> bool:
    """Whether `recover` has seen this batch and knows that it settles nothing here."""
    return bool(ledger.value("select 1 from strays where remote_id = ?", (remote_id,)))


def is_missing_here(ledger: Ledger, remote_id: str, metadata: Mapping[str, str]) -> bool:
    """Whether a batch of the service with this metadata was made by this ledger, which does not know it: so it is an older copy."""
    token = metadata.get(TOKEN_KEY)
    return (
        token is not None
        and metadata.get(LEDGER_KEY) in own_ledgers(ledger)
        and not ledger.value("select 1 from batch_rows where token = ?", (token,))
        and not is_stray(ledger, remote_id)
    )
