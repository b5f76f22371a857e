"""The files of a job that its key `output` asks for, besides those that everybody gets: names, and bytes as they would be written now.

One list for the writing and for whoever checks what was written.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from batchrun.ledger.connection import Ledger
from batchrun.outputs.csvfiles import CSV, EXCEL, csv_blocks, excel_blocks
from batchrun.outputs.npy import NAMES, embedding_files
from batchrun.outputs.parquet import PARQUET, is_ours_to_judge, parquet_blocks
from batchrun.outputs.rows import JobView
from batchrun.outputs.table import CutCells


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionalFile:
    """One file: `blocks` can be taken once; `cut` counts, once they were taken, what did not fit."""

    name: str
    blocks: Iterator[bytes]
    cut: CutCells = field(default_factory=CutCells)


def optional_files(ledger: Ledger, job: JobView, *, defuse: bool) -> Iterator[OptionalFile]:
    """Every file that the job asks for but for those of items, in the order of the manifest. `defuse`: as in `csvfiles`."""
    output = job.settings.output
    if output.csv:
        cut = CutCells()
        blocks = csv_blocks(ledger, job, defuse=defuse, cut=cut)
        yield OptionalFile(name=CSV, blocks=blocks, cut=cut)
    if output.excel:
        cut = CutCells()
        blocks = excel_blocks(ledger, job, defuse=defuse, cut=cut)
        yield OptionalFile(name=EXCEL, blocks=blocks, cut=cut)
    if output.parquet:
        cut = CutCells()
        yield OptionalFile(name=PARQUET, blocks=parquet_blocks(ledger, job, cut=cut), cut=cut)
    if output.npy:
        for name, blocks in embedding_files(ledger, job):
            yield OptionalFile(name=name, blocks=blocks)


def is_optional(name: str) -> bool:
    """Whether a file of this name can be one of these: no other is removed where a job does not ask for it any more."""
    return name in {CSV, EXCEL, PARQUET} or NAMES.fullmatch(name) is not None


# Files that other versions of a library write with other bytes.
JUDGES: dict[str, Callable[[Path], bool]] = {PARQUET: is_ours_to_judge}
