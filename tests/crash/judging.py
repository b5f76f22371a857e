"""What must be true after every kill, and at the end: judged by the service's own books, by the ledger's invariants and by the files."""

import contextlib
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from programs import JOB, PERSONAL
from yard import KEY, Called, Yard

from batchrun.ledger.connection import Ledger, open_for_reading
from batchrun.ledger.spool import TEMP_SUFFIX
from batchrun.verifying.verify import verify

_GOOD: Final = frozenset(
    {0, 3, 4, 6}
)  # done; with failures; not finished yet; the service did not answer


class Violation(AssertionError):
    """Something was bought twice, lost, left lying about, or does not add up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Yardstick:
    """What a run without trouble comes to."""

    outputs: dict[str, bytes]
    executions: dict[int, int]


def judge_call(yard: Yard, called: Called, *, good: AbstractSet[int] = frozenset()) -> None:
    """After each process, however it ended; `good` are more codes that mean no harm."""
    what = f"`batchrun {' '.join(called.words)}` (code {called.code})"
    if not called.was_killed and called.code not in _GOOD | good:
        raise Violation(f"{what} said: {called.out}{called.err}")
    for word in ("Traceback", "please report", KEY):
        if word in called.out + called.err:
            raise Violation(f"{what} said: {called.out}{called.err}")
    if twice := {custom_id: n for custom_id, n in yard.charges().items() if n > 1}:
        raise Violation(f"paid twice after {what}: {twice}")
    if not yard.home.database.exists():
        return
    with _books(yard) as ledger:
        if ledger is None:
            return
        found = verify(ledger, is_quick=True)
        if found.broken:
            broken = {outcome.name: outcome.findings for outcome in found.broken}
            raise Violation(f"after {what} do not hold: {broken}")


@contextlib.contextmanager
def _books(yard: Yard) -> Iterator[Ledger | None]:
    """The ledger as a dead process left it, without touching it: a copy of the database over the spool that is there.

    None where no table was made yet.
    """
    with TemporaryDirectory(dir=yard.folder) as folder:
        for path in yard.home.path.glob("batchrun.db*"):
            shutil.copy(path, folder)
        with contextlib.closing(sqlite3.connect(Path(folder) / "batchrun.db")) as connection:
            if not connection.execute("select 1 from sqlite_master where name = 'meta'").fetchone():
                yield None
                return
            yield Ledger(connection, yard.home)


def executions(yard: Yard) -> dict[int, int]:
    """How often the service executed each item, whatever the custom_id."""
    found: Counter[int] = Counter()
    for custom_id, times in yard.charges().items():
        found[int(custom_id.partition("-")[0])] += times
    return dict(found)


def judge_end(
    yard: Yard, expected: Yardstick, *, is_exact: bool, forgets: int | None = None
) -> None:
    """When everything has ended and every late call has arrived. `forgets`: an item that is nowhere any more. Raises Violation."""
    if yard.outputs(JOB) != expected.outputs:
        differing = {
            name: (yard.outputs(JOB).get(name), expected.outputs.get(name))
            for name in yard.outputs(JOB).keys() | expected.outputs
            if yard.outputs(JOB).get(name) != expected.outputs.get(name)
        }
        raise Violation(f"the outputs are not those of a run without trouble: {differing}")
    if is_exact and executions(yard) != expected.executions:
        raise Violation(f"items executed {executions(yard)}, not {expected.executions}")
    _judge_remotes(yard)
    _judge_strays(yard)
    with open_for_reading(yard.home) as ledger:
        found = verify(ledger, is_quick=False)
        if found.broken or found.leftovers:
            broken = {outcome.name: outcome.findings for outcome in found.broken}
            raise Violation(
                f"at the end do not hold: {broken}; left lying about: {found.leftovers}"
            )
        answered = {
            row["id"] for row in ledger.rows("select i.id from item_rows i where state = 2")
        }
    if lost := yard.answered() - answered - {forgets}:
        raise Violation(f"answers that were paid and are not there: items {lost}")
    _judge_secrecy(yard)
    if forgets is not None:
        _judge_forgotten(yard)


def _judge_remotes(yard: Yard) -> None:
    with open_for_reading(yard.home) as ledger:
        rows = list(ledger.rows("select token, remote_id, state from batch_rows"))
    owned, tokens = {row["remote_id"] for row in rows}, {row["token"] for row in rows}
    for remote in yard.remotes():
        if remote["metadata"]["batchrun"] not in tokens:
            raise Violation(f"nobody owns {remote}")
        if remote["ran"] and remote["id"] not in owned:
            raise Violation(f"it ran, and nobody collected it: {remote}")


def _judge_strays(yard: Yard) -> None:
    """Wherever the dead had begun a file: the home, the outputs, the user's own folder."""
    if strays := sorted(map(str, yard.work.rglob(f"*{TEMP_SUFFIX}"))):
        raise Violation(f"begun, and never swept: {strays}")


def _judge_secrecy(yard: Yard) -> None:
    places = (*yard.work.rglob("*"), *yard.folder.glob("call-*"))
    for path in places:
        if path.is_file() and KEY.encode() in path.read_bytes():
            raise Violation(f"the API key is in {path}")


def _judge_forgotten(yard: Yard) -> None:
    for path in (*yard.home.path.rglob("*"), *yard.home.outputs.rglob("*")):
        if path.is_file() and PERSONAL.encode() in path.read_bytes():
            raise Violation(f"a forgotten item's text is in {path}")
