"""docs/money.md says what the program says: every figure on it comes out of a command that stands above it; docs/counting.md has the rules."""

import re
from pathlib import Path

import pytest
from moneypage import PAGE, ROOT, written

from batchrun.estimating import advice
from batchrun.estimating.costs import EXPECTED_SHARE, LOW_SHARE
from batchrun.money import asked, readers
from batchrun.money.counted import GUESS_TOKENS
from batchrun.money.repeated import CACHED_FROM

TEXT = PAGE.read_text("utf-8")
RULES = (PAGE.parent / "counting.md").read_text("utf-8")


def test_what_stands_below_a_command_is_what_it_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`make docs` writes the page again."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("BATCHRUN_HOME", str(tmp_path / ".batchrun"))
    assert written(TEXT) == TEXT


def test_amounts_stand_nowhere_else_on_the_page() -> None:
    prose = re.sub(r"```text.*?```", "", TEXT, flags=re.DOTALL)
    assert prose.count("```sh") == TEXT.count("```text") > 1
    assert re.findall(r"\$\d[\d.]*", prose) == []


def test_the_rules_that_are_written_down_are_those_that_are_counted_by() -> None:
    for row in (
        f"| {asked.MESSAGE_TOKENS} + 1 |",
        f"name | {asked.NAME_TOKENS} |",
        f"answer | {readers.REPLY_TOKENS} |",
        f"| {readers.TOOL_TOKENS}, {readers.TOOLS_TOKENS} |",
        f"{readers.SLACK_TOKENS} tokens a request of messages",
        f"of {GUESS_TOKENS:,} tokens at most",
    ):
        assert row in RULES
    assert f"else {advice.CAP_TOKENS:,} tokens" in RULES
    assert f"| {CACHED_FROM:,} tokens or more" in RULES
    assert advice.REPEATED_SHARE == 10, "a tenth"
    assert (readers.LOOSE, LOW_SHARE, EXPECTED_SHARE) == (5, 10, 2), "a fifth, a tenth, half"
