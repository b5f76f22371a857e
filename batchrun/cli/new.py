"""`batchrun new`: a first job file for a data file."""

import os
from pathlib import Path

import click

from batchrun.cli.options import shared
from batchrun.cli.printing import put_bytes, tell


@click.command(short_help="Write a job file for a data file.")
@click.argument("data", metavar="DATA")
@click.option("-o", "--output", metavar="FILE", help="Write the job file here (default: print it).")
@shared("yes")
def command(*, data: str, output: str | None, yes: bool) -> int:
    """Write a job file for DATA (CSV, TSV or JSONL), guessed from its header and first rows.

    It is a beginning: read the prompt, then `batchrun check` it. A file that exists is only replaced with --yes.
    """
    from batchrun.errors import UsageError
    from batchrun.jobfile import job_line_text, write_job_line

    line = write_job_line(Path(data))
    folder = Path(output).parent if output is not None else Path()
    line["items"] = os.path.relpath(data, folder)
    text = job_line_text(line).encode()
    if output is None:
        put_bytes(text)
        return 0
    try:
        with Path(output).open("wb" if yes else "xb") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{output}: exists already. --yes replaces it.") from None
    except OSError as exc:
        raise UsageError(f"{output}: cannot be written: {exc.strerror}.") from exc
    tell(f"Wrote {output}. Read its prompt, then: batchrun check {output}")
    return 0
