"""Writes the outputs on docs/spending.md: what stands below a command is what it prints in the home that is made here. `python tests/spending/spendpage.py` writes the page."""

import contextlib
import io
import os
import re
import shlex
import tempfile
from pathlib import Path
from typing import Final

from spendkit import DAY_S, NOON, Till

from batchrun.cli.main import run
from batchrun.ledger.states import BatchState
from batchrun.testing import ManualClock

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "spending.md"
TOML: Final = "[budget]\nmonth = 10\n[budget.tag.shop]\nday = 4\nsoft_month = 6\n"
_BLOCK: Final = re.compile(
    r"^(```sh\nbatchrun ([^\n]+)\n```\n\n```(?:text|csv)\n).*?^```$", re.MULTILINE | re.DOTALL
)


def a_shop(folder: Path) -> None:
    """A week of two jobs with prices, and one without."""
    till = Till(folder, toml=TOML)
    till.job("reviews", tags=("shop",))
    till.job("reports", tags=("shop", "board"))
    for n, share in enumerate((9, 4, 0, 7, 12, 10, 3)):
        at = NOON - n * DAY_S
        took = (share * 210_000, share * 40_000, share * 62_000, share * 18_000)
        if share:
            till.paid("reviews", took, requests=share * 500, at=at, model="gpt-5-mini")
        if n % 3 == 0:
            took = (400_000, 0, 90_000, 55_000)
            till.paid("reports", took, requests=8, at=at, model="gpt-5.2")
    till.batch("scans", took=(512_000, 0, 96_000, 0), requests=1_204, model="acme-7b")
    running = till.batch("reviews", state=BatchState.CREATED, requests=900, model="gpt-5-mini")
    price = till.price("gpt-5-mini")
    till.bill(running, price, reserved=1_250_000_000_000, tags=("shop",), job="reviews")


def written(page: str, folder: Path) -> str:
    """The page with the outputs of its commands, run in a folder with this home."""
    a_shop(folder)

    def printed(block: re.Match[str]) -> str:
        return f"{block[1]}{_printed(block[2]).replace(f'{folder}/', '')}```"

    with contextlib.chdir(folder):
        return _BLOCK.sub(printed, page)


def _printed(command: str) -> str:
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with contextlib.redirect_stdout(out):
        code = run(shlex.split(command), clock=ManualClock(NOON))
    assert code == 0, f"batchrun {command} ended with {code}"
    out.flush()
    buffer = out.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode()


def main() -> None:
    """Write the page again."""
    os.environ.pop("BATCHRUN_HOME", None)
    with tempfile.TemporaryDirectory() as folder:
        PAGE.write_text(written(PAGE.read_text("utf-8"), Path(folder).resolve()), "utf-8")


if __name__ == "__main__":
    main()
