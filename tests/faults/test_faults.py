"""docs/faults.md is the truth: every fault of the catalogue has a test, every mark a fault, and the page is written from both."""

from pathlib import Path

from faultlist import faults, marked, page

ROOT = Path(__file__).parents[2]
NUMBERS = {row.number for rows in faults().values() for row in rows}


def test_the_catalogue_has_all_of_its_rows() -> None:
    """They were counted when it was drawn up; one that is no danger any more stays, with the reason."""
    assert set(range(1, 59)) == NUMBERS


def test_every_fault_has_a_test() -> None:
    assert not NUMBERS - marked().keys(), "a fault without a test is a promise without proof"


def test_every_mark_names_a_fault() -> None:
    assert not marked().keys() - NUMBERS


def test_the_page_is_what_the_catalogue_and_the_marks_say() -> None:
    written = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    assert written == page(), "run `make docs`"
