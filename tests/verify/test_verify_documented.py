"""docs/verify.md lists the invariants that there are, in their words."""

import re
from pathlib import Path

import pytest

from batchrun.verifying.invariant import Invariant
from batchrun.verifying.verify import INVARIANTS

PAGE = (Path(__file__).parents[2] / "docs" / "verify.md").read_text("utf-8")


@pytest.mark.parametrize("invariant", INVARIANTS, ids=lambda invariant: invariant.name)
def test_every_invariant_stands_on_the_page_with_its_rule_and_its_fix(invariant: Invariant) -> None:
    quick = "" if invariant.is_quick else "no"
    assert f"| `{invariant.name}` | {invariant.rule} | {quick} |" in PAGE
    assert re.search(
        rf"^\* .*`{invariant.name}`.*: {re.escape(invariant.fix)}$", PAGE, re.MULTILINE
    )


def test_the_page_lists_no_other() -> None:
    names = re.findall(r"^\| `([a-z-]+)` \|", PAGE, re.MULTILINE)
    assert names == [invariant.name for invariant in INVARIANTS]


def test_names_are_kebab_case_and_rules_are_sentences() -> None:
    assert len({invariant.name for invariant in INVARIANTS}) == len(INVARIANTS)
    for invariant in INVARIANTS:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", invariant.name)
        assert invariant.rule.endswith(".")
        assert invariant.fix.endswith(".")
