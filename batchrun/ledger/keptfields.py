"""The fields of items that a submission did not bring and the job keeps (`--limit`, `"missing": "keep"`).

A submission's fields file replaces the one before it, so the lines of the kept items move over, behind those of the items that were brought.
Such a file follows no order that its readers could merge by; it says so on its first line.
"""

from collections.abc import Callable
from typing import BinaryIO, Final

from batchrun.errors import LedgerError
from batchrun.ledger.connection import Ledger

NO_ITEM: Final = 0  # stands first in a file whose lines are in no order; no item has this id
NO_ORDER_LINE: Final = b"[0,{}]\n"


def append_kept(
    ledger: Ledger, file: BinaryIO, *, job: int, is_brought: Callable[[int], bool]
) -> None:
    """Copy the lines of the items that this submission did not bring from the fields file of the one that is visible now.

    Streams. Bad items are none of them: those are kept by no submission but their own. Raises LedgerError where the older file cannot be read: without it those items would lose their columns for good.
    """
    before = ledger.value("select submission from jobs where id = ?", (job,))
    if before is None:
        return
    bad = {
        row["item"]
        for row in ledger.rows(
            "select b.item from bad_items b join item_rows i on i.id = b.item where +i.job = ? and i.file is null",
            (job,),
        )
    }
    path = ledger.home.fields_file(before)
    try:
        with path.open("rb") as older:
            for line in older:
                item = int(line[1 : line.index(b",")])
                if not line.endswith(b"]\n"):
                    raise ValueError("a line without end")
                if item != NO_ITEM and item not in bad and not is_brought(item):
                    file.write(line)
    except FileNotFoundError:
        return  # the job did not need them so far
    except (OSError, ValueError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else f"it is damaged ({exc})"
        raise LedgerError(
            f"{path}: cannot be read: {why}. It holds the input columns of items that this submit does not bring. "
            "Make it readable, or submit all items of the job (no --limit): that writes it anew."
        ) from exc
