"""Requests that failed because a file that we uploaded for them is gone from the service: they are asked again, with a new upload.

An upload may expire or be deleted between the cut of a batch and its run. The service says so for the line, as of any wrong request; what
tells the two apart is that the file was ours.
"""

import re
from typing import Final

import msgspec

from batchrun.endpoints.answer import Reading
from batchrun.ledger.connection import Ledger
from batchrun.planning.classify import Outcome

CAUSE: Final = "attachment_gone"
_REFUSED: Final = "bad_request"
_SAYS_GONE: Final = re.compile(
    r"\bfiles?\b.*\b(?:not found|(?:not|n't) exist|deleted|expired|no longer)\b|\bno such file\b|\bfile_not_found\b"
    r"|\b(?:can ?not|could not|can't) find\b.*\bfiles?\b",
    re.IGNORECASE | re.DOTALL,
)


def asked_again_if_gone(ledger: Ledger, profile: str, item: int, reading: Reading) -> Reading:
    """The reading, or where it says that an upload of ours is gone, one that asks again; that upload is not used any more then.

    Inside the transaction that settles the item.
    """
    if reading.outcome != Outcome.FAILED or reading.cause != _REFUSED:
        return reading
    message = reading.message or ""
    if _SAYS_GONE.search(message) is None:
        return reading
    uploads = [
        row["file_id"]
        for row in ledger.rows(
            "select u.file_id from item_rows i join attached a on a.file = i.file and a.item = i.id "
            "join attachment_uploads u on u.digest = a.digest and u.profile = ? where i.id = ?",
            (profile, item),
        )
    ]
    if not uploads:
        return reading
    # Without a name any of them may be meant: an upload too many costs nothing.
    named = [file_id for file_id in uploads if file_id in message] or uploads
    # Not deleted: the other requests that name it fail as well, and are to be known by it.
    ledger.executemany(
        "update attachment_uploads set expires_at = 0 where file_id = ?",
        ((file_id,) for file_id in named),
    )
    return msgspec.structs.replace(reading, outcome=Outcome.RETRY, cause=CAUSE)
