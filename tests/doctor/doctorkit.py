"""Reading what the doctor said."""

from collections import deque
from pathlib import Path
from typing import Any, Final

from clikit import Desk
from misbehaving import Server, Step, answer, batch, file

NOTHING: Final = {"object": "list", "data": [], "has_more": False}
_ROUTES: Final = {
    ("POST", "/v1/files"): answer(file(id="file-in", bytes=None)),
    ("POST", "/v1/batches"): answer(batch()),
    ("GET", "/v1/batches"): answer(NOTHING),
}


class _Routed(deque[Step]):
    """A script that answers each request by its path, however often it comes."""

    def popleft(self) -> Step:
        return lambda handler: _ROUTES[handler.command, handler.path.partition("?")[0]](handler)


def submit(desk: Desk, server: Server, **settings: Any) -> None:
    """A job with one batch in flight at the server, whatever submit asks it for; the server forgets that it was asked."""
    script, server.script = server.script, _Routed()
    assert desk.call("submit", desk.job(**settings)).code == 0
    server.script = script
    server.seen.clear()


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
