"""The command line: each command parses, calls `batchrun.api`, prints. Data on stdout, everything else on stderr.

main.py       the commands' names, the errors, the signals      opening.py  options -> home, settings, Batchrun
options.py    options that several commands share               printing.py stdout, stderr and JSON
errors.py     how an error is shown, and its exit code          <name>.py   one command each, imported when it is called
"""

import gc
import sys


def main() -> None:
    """The `batchrun` command. Light until the command is known: `--help` and completion import click and little else."""
    # Imports leave no garbage, and looking for it costs a sixth of `status`: not now, and, what is frozen, not at the end either.
    # main.py turns it on again for the command itself.
    gc.disable()
    try:
        from batchrun.cli.main import run
    except KeyboardInterrupt:
        sys.exit(130)
    gc.freeze()
    sys.exit(run(sys.argv[1:]))
