"""Reading what the doctor said."""

from pathlib import Path
from typing import Any, Final

from clikit import Desk
from misbehaving import answer, batch, file

SENT: Final = (answer(file(id="file-in", bytes=None)), answer(batch()))  # what submit asks for


DOCS = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text("utf-8")
PAGE: Final = DOCS[DOCS.index("## doctor") : DOCS.index("## serve")]


def checks(desk: Desk, *words: str, code: int = 0) -> dict[str, Any]:
    """`batchrun doctor --json WORDS`: every check by name. Each that is made must stand in the documentation."""
    called = desk.call("doctor", "--json", *words)
    assert called.code == code, called
    assert called.json["exit_code"] == code
    found = {check["name"]: check for check in called.json["checks"]}
    assert [name for name in found if f"`{name}`" not in PAGE] == []
    return found


def levels(found: dict[str, Any]) -> dict[str, str]:
    """Level by name."""
    return {name: check["level"] for name, check in found.items()}
