"""Answers as the outputs show them: as the ledger has them, but for pictures, which are shown by the names of their files.

Everything that shows answers of a job reads its rows here, so that all of them show the same.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

from batchrun.ledger.connection import Ledger
from batchrun.outputs.pictures import Pictures, has_pictures
from batchrun.outputs.rows import JobView, item_blocks

# In the SQL of whoever shows answers, result_rows is `r` or `a`, and item_rows is `i`.
_ANSWER: Final = re.compile(r"\b([ar])\.(output|extras)\b")
_SHOWN: Final = r"shown_\2(coalesce(i.key, i.name), \1.output, \1.extras, \1.batch, \1.kind, \1.offset, \1.length)"


def shown_blocks(
    ledger: Ledger, job: JobView, columns: str, *, joins: str = "", where: str = "1"
) -> Iterator[list[tuple[Any, ...]]]:
    """As `item_blocks`, with `output` and `extras` of result rows as they are to be shown."""
    if has_pictures(ledger, job):
        pictures = Pictures(ledger, job)
        # SQLite calls them for each row, so the rows of every consumer stay what they are.
        ledger.connection.create_function("shown_output", 7, pictures.shown_output)
        ledger.connection.create_function("shown_extras", 7, pictures.shown_extras)
        columns, where = _ANSWER.sub(_SHOWN, columns), _ANSWER.sub(_SHOWN, where)
    return item_blocks(ledger, job, columns, joins=joins, where=where)
