"""Batches: each holds the items that it says, and bears the names by which the service knows it."""

import json
from collections.abc import Iterator
from typing import Final

from batchrun.ledger.connection import Ledger
from batchrun.ledger.states import FINAL_BATCH_STATES, IS_OPEN_BATCH, BatchState, ItemState
from batchrun.model import TOKEN_KEY
from batchrun.verifying.visible import end_item

# Where `recover` found a batch without its input file, what its requests asked for is not known.
_MISJUDGED: Final = f"""
select distinct i.batch from item_rows i join request_files asked on asked.id = i.file join batch_rows b on b.id = i.batch
join request_files sent on sent.id = b.request_file
where i.state = {int(ItemState.IN_FLIGHT)} and i.id < ? and asked.criteria is not sent.criteria and b.checksum <> '' order by 1
"""


def batches_hold_their_items(ledger: Ledger) -> Iterator[str]:
    """All requests of an open batch are in flight and judged by what they ask for, none of a final one is in flight."""
    in_flight = {
        row["batch"]: row["n"]
        for row in ledger.rows(
            "select batch, count(*) as n from item_rows where state = ? and id < ? group by 1",
            (ItemState.IN_FLIGHT, end_item(ledger)),
        )
    }
    for row in ledger.rows("select id, state, request_count, lost_at from batch_rows order by id"):
        wanted = 0 if row["state"] in FINAL_BATCH_STATES else row["request_count"]
        found = in_flight.get(row["id"], 0)
        if row["lost_at"] is not None and wanted:
            wanted = min(
                found, wanted
            )  # there again: what was asked anew meanwhile, it does not get back
        # Of a batch that was given up as lost and came back, items may have gone on without it.
        if found > wanted or (found < wanted and row["lost_at"] is None):
            yield f"batch {row['id']} has {found:,} items in flight instead of {wanted:,}"
    for row in ledger.rows(_MISJUDGED, (end_item(ledger),)):
        yield f"batch {row['batch']} holds requests that ask for other labels or another schema than it would be judged by"


def batches_have_remotes(ledger: Ledger) -> Iterator[str]:
    """A batch that may exist on the service can be found there again: by its file or its id, in the account that has it."""
    for row in ledger.rows(
        f"select id, state, token, metadata, input_file_id, remote_id, base_url from batch_rows where {IS_OPEN_BATCH} order by id"
    ):
        batch, state = row["id"], row["state"]
        if state in (BatchState.UPLOADED, BatchState.CREATING) and not row["input_file_id"]:
            yield f"batch {batch} was uploaded, but the id of its input file is not known"
        if state in (BatchState.CREATED, BatchState.ENDED) and not row["remote_id"]:
            yield f"batch {batch} was created, but its id on the service is not known"
        if state != BatchState.PLANNED and row["base_url"] is None:
            yield f"batch {batch} was uploaded, but the account is not known"
        if json.loads(row["metadata"]).get(TOKEN_KEY) != row["token"]:
            yield f"batch {batch} would not bear its own token on the service"
