"""`batchrun schema`: the JSON Schema of the job line, for editors."""

import click

from batchrun.cli.options import shared
from batchrun.cli.printing import put


@click.command(short_help="Print the JSON Schema of the job line.")
@shared()
def command() -> int:
    """Print the JSON Schema of the job line, for editors that complete and check while one types."""
    import json

    from batchrun.jobfile import job_line_schema

    put(json.dumps(job_line_schema(), indent=2, ensure_ascii=False))
    return 0
