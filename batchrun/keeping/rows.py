"""Taking items out of the ledger's tables. What stays are counts and money: events, batches, and what these took."""

import json
from typing import Final

from batchrun.ledger.attachments import drop_attached
from batchrun.ledger.batches import wordless
from batchrun.ledger.connection import Ledger
from batchrun.ledger.criteria import drop_unused
from batchrun.ledger.items import count_removed
from batchrun.ledger.sharing import share_answers
from batchrun.ledger.states import ItemState
from batchrun.model import LEDGER_KEY, TOKEN_KEY
from batchrun.planning.policy import FOREVER

REMOVED_TEXT: Final = "removed by `batchrun forget`"

_OWN_METADATA: Final = (TOKEN_KEY, LEDGER_KEY)


def delete_items(ledger: Ledger, job: int, items: str, *, at: int) -> int:
    """Delete the items of `job` that `items` (a select of ids) names, with everything that hangs on them; returns how many.

    Inside the caller's transaction. Their numbers are never given again.
    """
    groups = ledger.execute(
        f"select state, vanished, count(*) from item_rows where id in ({items}) group by 1, 2"
    ).fetchall()
    delete_answers(ledger, items)
    for table in (
        *("queue", "revisions", "turns", "tool_calls", "bad_items", "item_order"),
        "canary_items",
        "followers",
        "shared",
    ):
        ledger.execute(f"delete from {table} where item in ({items})")
    drop_attached(ledger, f"item in ({items})")
    # Nobody else needs these files at a service: they are deleted with the others that held what is forgotten.
    ledger.execute(
        "update attachment_uploads set is_forgotten = 1 where digest not in (select digest from attachments)"
    )
    ledger.execute(f"delete from content_items where job = ? and item in ({items})", (job,))
    ledger.execute(f"delete from item_rows where id in ({items})")
    for state, vanished, n in groups:
        count_removed(ledger, job=job, state=ItemState(state), n=n, vanished=vanished, at=at)
    share_answers(ledger, job=job, at=at)
    return sum(n for _, _, n in groups)


def delete_answers(ledger: Ledger, items: str) -> None:
    """Delete every answer of these items, the last one and the earlier ones."""
    for table in ("result_rows", "history"):
        ledger.execute(f"delete from {table} where item in ({items})")


def scrub_batches(ledger: Ledger, batches: str, parameters: tuple[object, ...]) -> None:
    """Take the free text out of batches that carried forgotten items, and out of what holds their profiles back: a service quotes what it refuses.

    A hold that no time ends is in our own words.
    """
    for row in list(
        ledger.rows(
            f"select id, remote from batch_rows where remote is not null and id in ({batches})",
            parameters,
        )
    ):
        kept = wordless(json.loads(row["remote"]))
        ledger.execute(
            "update batch_rows set remote = ? where id = ?", (json.dumps(kept), row["id"])
        )
    ledger.execute(
        f"update batch_rows set reason = ? where reason is not null and id in ({batches})",
        (REMOVED_TEXT, *parameters),
    )
    ledger.execute(
        f"update holds set reason = ? where until < ? and profile in (select profile from batch_rows where id in ({batches}))",
        (REMOVED_TEXT, FOREVER, *parameters),
    )
    ledger.execute(
        f"update incidents set message = ?, detail = null where batch in ({batches})",
        (REMOVED_TEXT, *parameters),
    )
    ledger.execute(
        f"update events set detail = null where detail like '%\"reason\"%' and batch in ({batches})",
        parameters,
    )


def scrub_wishes(ledger: Ledger, job: int) -> None:
    """Delete the job's wishes that are done: they name items."""
    ledger.execute("delete from wishes where job = ? and done_at is not null", (job,))


def scrub_job(ledger: Ledger, job: int) -> None:
    """Take name, settings and texts from a job whose items are gone; its row stays for its counts and batches, and no command finds it.

    Its outputs folder is scrubbed later, when nothing is left in it (`published.py`).
    """
    ledger.execute(
        "update jobs set name = 'forgotten~' || id, source = '', settings = '{}', submission = null, paused = null where id = ?",
        (job,),
    )
    for table in ("held", "canaries", "canary_items"):
        ledger.execute(f"delete from {table} where job = ?", (job,))
    ledger.execute("update submissions set items_from = null where job = ?", (job,))
    ledger.execute("update request_files set criteria = null where job = ?", (job,))
    drop_unused(ledger, job)
    ledger.execute(
        "update incidents set message = ?, detail = null where job = ?", (REMOVED_TEXT, job)
    )
    for row in list(ledger.rows("select id, metadata from batch_rows where job = ?", (job,))):
        metadata = json.loads(row["metadata"])
        kept = {key: metadata[key] for key in _OWN_METADATA if key in metadata}
        ledger.execute(
            "update batch_rows set metadata = ? where id = ?", (json.dumps(kept), row["id"])
        )
