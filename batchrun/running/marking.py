"""The mark of a batch: one hash of what its requests ask, in its metadata, so that it is known wherever the batch is seen.

Another home that sends the same is seen by it (twins.py); and a recovery that has nothing but custom_ids, which bear the items' numbers,
proves by it what was asked.
"""

import json
import sqlite3
from collections.abc import Iterable

import xxhash

from batchrun.ledger.connection import Ledger
from batchrun.model import REQUESTS_KEY


def mark_requests(ledger: Ledger, batch: int) -> None:
    """Put the hash of the batch's request hashes, in the order of its items' numbers, into its metadata.

    What conversations that go on have added is behind them. Inside the caller's transaction.
    """
    hashes = ledger.connection.execute(
        "select i.hash from batch_rows b cross join item_rows i on i.id between b.first_item and b.last_item and i.batch = b.id "
        "where b.id = ? order by i.id",
        (batch,),
    )
    said = ledger.connection.execute(
        "select t.additions, t.changes from batch_rows b cross join item_rows i on i.id between b.first_item and b.last_item "
        "and i.batch = b.id cross join turns t on t.item = i.id where b.id = ? order by i.id, t.send",
        (batch,),
    )
    ledger.execute(
        "update batch_rows set metadata = json_set(metadata, ?, ?) where id = ?",
        (f"$.{REQUESTS_KEY}", hash_together((hashed for (hashed,) in hashes), said), batch),
    )


def hash_together(hashes: Iterable[bytes], turns: Iterable[tuple[str, str]]) -> str:
    """One hash of the hashes of a batch's first requests and of (additions, changes) of their turns, both in the order of the numbers in
    their custom_ids.
    """
    hasher = xxhash.xxh3_128()
    for hashed in hashes:
        hasher.update(hashed)
    for turn in turns:
        hasher.update(repr(tuple(turn)).encode())
    return hasher.hexdigest()


def requests_hash(batch: sqlite3.Row) -> str | None:
    """The hash under which a batch row's requests are known on the service."""
    found = json.loads(batch["metadata"]).get(REQUESTS_KEY)
    return None if found is None else str(found)
