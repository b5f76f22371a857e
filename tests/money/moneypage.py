"""Writes the outputs on docs/money.md: whatever stands below a command there is what it prints. `python tests/money/moneypage.py` writes the page."""

import contextlib
import io
import os
import re
import shlex
import tempfile
from pathlib import Path
from typing import Final

from batchrun.cli.main import run
from batchrun.testing import ManualClock

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "money.md"
_BLOCK: Final = re.compile(
    r"^(```sh\nbatchrun ([^\n]+)\n```\n\n```text\n).*?^```$", re.MULTILINE | re.DOTALL
)


def written(page: str) -> str:
    """The page with the outputs of its commands, run in the repository's folder and without a home."""
    return _BLOCK.sub(lambda block: f"{block[1]}{_printed(block[2])}```", page)


def _printed(command: str) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = run(shlex.split(command), clock=ManualClock())
    assert code == 0, f"batchrun {command} ended with {code}"
    return out.getvalue()


def main() -> None:
    """Write the page again."""
    os.chdir(ROOT)
    with tempfile.TemporaryDirectory() as nowhere:
        os.environ["BATCHRUN_HOME"] = str(Path(nowhere) / ".batchrun")
        PAGE.write_text(written(PAGE.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
