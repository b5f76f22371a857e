"""Taking over a home that was copied or restored: from now on this one sends, and the original must not.

The ledger gets a new id, and remembers the old one: batches that bear it are still its own. What the original may have sent, or may be about
to send, keeps its token, so that a sweep still finds it; what was only planned or uploaded starts anew under a token of its own, so that
nothing of the original can be taken for ours. And before anything is created the service is looked through: a backup does not know what was
sent after it was made.
"""

import json
from typing import Final

from batchrun.ledger.batches import move_batch, new_token, update_batch
from batchrun.ledger.connection import Ledger, mint_identity
from batchrun.ledger.origins import adopt_ledger
from batchrun.ledger.states import BatchEvent, BatchState
from batchrun.model import LEDGER_KEY, TOKEN_KEY

_LOOK_FIRST: Final = "look_first:"


def take_over(ledger: Ledger, at: int) -> int:
    """Make this home the one that sends; returns how many unsent batches got new tokens. Only under the home's lock."""
    renewed = 0
    with ledger.transaction():
        if former := ledger.meta("ledger"):
            adopt_ledger(ledger, former, is_former=True, at=at)
        mint_identity(ledger)
        ledger_id = ledger.meta("ledger") or ""
        unsent = (BatchState.PLANNED, BatchState.UPLOADED)
        for row in list(ledger.rows("select * from batch_rows where state in (?, ?)", unsent)):
            if row["state"] == BatchState.UPLOADED:
                move_batch(
                    ledger,
                    row["id"],
                    before=BatchState.UPLOADED,
                    event=BatchEvent.UPLOAD_LOST,
                    at=at,
                    detail={"reason": "the home was taken over"},
                    input_file_id=None,
                )
            token = new_token()
            metadata = json.loads(row["metadata"])
            metadata |= {TOKEN_KEY: token, LEDGER_KEY: ledger_id}
            update_batch(ledger, row["id"], token=token, metadata=json.dumps(metadata))
            renewed += 1
        ledger.execute(
            "insert or replace into meta select distinct ? || profile, ? from jobs",
            (_LOOK_FIRST, str(at)),
        )
    return renewed


def look_first_since(ledger: Ledger, profile: str) -> int | None:
    """Since when nothing may be created with the profile before a listing of it was complete and clean; None: it may."""
    since = ledger.meta(f"{_LOOK_FIRST}{profile}")
    return None if since is None else int(since)


def forget_look(ledger: Ledger, profile: str) -> None:
    """That listing was read."""
    with ledger.transaction():
        ledger.execute("delete from meta where key = ?", (f"{_LOOK_FIRST}{profile}",))
