"""`batchrun results`: the same bytes as the files, at any time, straight from the ledger."""

from collections.abc import Iterator
from typing import Literal, TypeAlias

from batchrun.ledger.connection import Ledger
from batchrun.outputs.csvfiles import csv_blocks, excel_blocks
from batchrun.outputs.lines import result_lines
from batchrun.outputs.parquet import parquet_blocks
from batchrun.outputs.rows import job_view, snapshot
from batchrun.outputs.table import CutCells

Format: TypeAlias = Literal["jsonl", "csv", "excel", "parquet"]


def stream_results(
    ledger: Ledger,
    job_id: int,
    *,
    format: Format,  # noqa: A002 - the flag's own name
    defuse: bool = True,
    cut: CutCells | None = None,
) -> Iterator[bytes]:
    """Blocks of `results.jsonl` or of the table as they would be written now; open items are there with no output.

    All of one snapshot: until the last block is taken, or the iterator closed, the connection is in a reading transaction. Blocks end at a line,
    but for Parquet. `cut` counts what the table could not show as asked. Raises UsageError for no such job, LedgerError.
    """
    with snapshot(ledger):
        job = job_view(ledger, job_id)
        match format:
            case "jsonl":
                yield from result_lines(ledger, job)
            case "csv":
                yield from csv_blocks(ledger, job, defuse=defuse, cut=cut)
            case "excel":
                yield from excel_blocks(ledger, job, defuse=defuse, cut=cut)
            case "parquet":
                yield from parquet_blocks(ledger, job, cut=cut)
