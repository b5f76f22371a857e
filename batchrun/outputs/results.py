"""`batchrun results`: the same bytes as the files, at any time, straight from the ledger."""

from collections.abc import Iterator
from typing import Literal

from batchrun.ledger.connection import Ledger
from batchrun.outputs.lines import result_lines
from batchrun.outputs.rows import job_view, snapshot
from batchrun.outputs.table import table_blocks


def stream_results(
    ledger: Ledger,
    job_id: int,
    *,
    format: Literal["jsonl", "csv"],  # noqa: A002 - the flag's own name
    defuse: bool = True,
) -> Iterator[bytes]:
    """Blocks of whole lines: `results.jsonl` or `results.csv` as they would be written now; open items are there with no output.

    All of one snapshot: until the last block is taken, or the iterator closed, the connection is in a reading transaction.
    Raises UsageError for no such job, LedgerError.
    """
    with snapshot(ledger):
        job = job_view(ledger, job_id)
        if format == "jsonl":
            yield from result_lines(ledger, job)
        else:
            yield from table_blocks(ledger, job, defuse=defuse)
