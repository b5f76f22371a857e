"""`batchrun results`: items and answers, finished or not."""

import sys
from typing import TYPE_CHECKING, Literal

import click

from batchrun.cli.invocation import Invocation
from batchrun.cli.options import shared
from batchrun.cli.printing import counted, is_terminal, put, put_bytes, put_json, tell
from batchrun.cli.signals import LongRunning
from batchrun.errors import UsageError

if TYPE_CHECKING:
    from batchrun.outputs.results import Format
    from batchrun.outputs.table import CutCells


@click.command(cls=LongRunning, short_help="Print items and answers, in input order.")
@click.argument("job")
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "csv", "excel", "parquet", "files"]),
    default="jsonl",
    show_default=True,
    help="jsonl or a table to stdout; files: write the job's output files now.",
)
@click.option(
    "--complete", is_flag=True, help="Refuse, with exit code 4, while any item is still open."
)
@click.option(
    "--no-defuse",
    is_flag=True,
    help="Leave text cells of a CSV that would start a formula as they are.",
)
@shared("home", "backend", "json", "lock_wait")
@click.pass_obj
def command(
    invocation: Invocation,
    *,
    job: str,
    form: 'Format | Literal["files"]',
    complete: bool,
    no_defuse: bool,
    home: str | None,
    backend: str | None,
    lock_wait_s: float,
) -> int:
    r"""Print the items and answers of JOB in input order, at any time: open items have no output yet.

    The output files are written by themselves when a job is done; `--format files` writes them earlier, or again. At a terminal, control
    characters in texts are shown as `\x1b` and the like; into a file or a pipe everything goes as it is.
    """
    from batchrun.cli.opening import open_batchrun
    from batchrun.outputs.table import CutCells

    batchrun = open_batchrun(invocation, home, backend=backend, lock_wait_s=lock_wait_s)
    if form == "files":
        written = batchrun.write_outputs(job, defuse=not no_defuse, require_complete=complete)
        if invocation.is_json:
            put_json(
                {
                    "outputs": str(written.folder),
                    "complete": written.is_complete,
                    "counts": written.counts,
                    "files": [file.listed() for file in written.files],
                }
            )
        else:
            put(str(written.folder))
        _tell_cut(
            CutCells(
                sum(file.cut_cells or 0 for file in written.files),
                max(file.whole_answers for file in written.files),
            )
        )
        return 0
    cut = CutCells()
    blocks = batchrun.results(
        job, form=form, defuse=not no_defuse, require_complete=complete, cut=cut
    )
    if is_terminal(sys.stdout):
        if form == "parquet":
            raise UsageError(
                f"Parquet is nothing for a terminal. Save it: batchrun results {job} --format parquet > {job}.parquet"
            )
        # Anyone may have written these texts, and a terminal obeys what it is sent. Files and pipes get the bytes as they are.
        for block in blocks:
            put(block.decode("utf-8", "replace").removesuffix("\n"))
        _tell_cut(cut)
        return 0
    for block in blocks:
        if not put_bytes(block):
            break  # nobody reads on: `| head`
    _tell_cut(cut)
    return 0


def _tell_cut(cut: "CutCells") -> None:
    if not cut.has_fields:
        tell(
            'Without the columns of the data: those are kept where the job line asks for a table, "output": {"csv": true}, and come with the next submit.'
        )
    if cut.count:
        from batchrun.outputs.cells import EXCEL_CELL_UNITS

        tell(
            f"{counted(cut.count, 'cell')} cut at Excel's limit of {EXCEL_CELL_UNITS:,} characters; the JSON Lines have all of it."
        )
    if cut.whole:
        from batchrun.outputs.table import FREE_COLUMNS_MOST

        tell(
            f"{counted(cut.whole, 'answer')} with keys beyond the first {FREE_COLUMNS_MOST:,}, which have no column: whole in the column 'output'."
        )
