"""docs/spending.md says what the program says: every figure on it comes out of a command that stands above it."""

import re
from pathlib import Path

import pytest
from spendpage import PAGE, written

from batchrun.money.billed import SMALL

TEXT = PAGE.read_text("utf-8")


def test_what_stands_below_a_command_is_what_it_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`make docs` writes the page again."""
    monkeypatch.delenv("BATCHRUN_HOME", raising=False)
    assert written(TEXT, tmp_path.resolve()) == TEXT


def test_amounts_stand_nowhere_else_on_the_page() -> None:
    prose = re.sub(r"```(text|csv).*?```", "", TEXT, flags=re.DOTALL)
    assert prose.count("```sh") > 1
    assert re.findall(r"\$\d[\d.]*", prose) == []
    assert f"more than {SMALL:,} input" in prose
