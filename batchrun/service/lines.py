"""What became of each line of a batch: started, finished with a result line, or open again. Durable in groups, whole or not at all.

A line that costs money elsewhere is *started* in the database before it is sent, and stays so until its end is known. So whatever is found
started by the next holder of the work lock was under way when a process died, and may or may not have been executed: it is never sent
again, it is finished as one whose outcome is unknown.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, TypeAlias, TypeVar

from batchrun.model import Usage
from batchrun.service.lifecycle import Status
from batchrun.service.results import uncertain_line
from batchrun.service.store import SqlValue, Store, new_id

_Row = TypeVar("_Row")
Key: TypeAlias = tuple[int, int]  # a batch's seq and a line's number

_ROWS_MOST: Final = 200  # of one statement
_BLOCK: Final = 1_024  # lines of which it is read at once whether they are finished
_ENDED: Final = "batchrun was ended while this request was under way: whether it was executed, and charged, is not known"
_COUNTS: Final = (
    "completed",
    "failed",
    "input_tokens",
    "cached_tokens",
    "output_tokens",
    "reasoning_tokens",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """An executed line, with its result line for the output file (`is_success`) or the error file."""

    batch: int
    line: int
    custom_id: str
    is_success: bool
    answer: bytes
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True)
class Started:
    """A line that is about to be sent."""

    batch: int
    line: int
    custom_id: str


class Lines:
    """The lines of all batches. Only the holder of the work lock writes."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def record(
        self,
        finished: Collection[Finished] = (),
        *,
        opened: Collection[Key] = (),
        started: Iterable[Started] = (),
        wanted: Iterable[int] = (),
    ) -> frozenset[int]:
        """In one transaction: these are finished, these are open again, these are started; a line that is finished twice is an error.

        Returns those of the batches `wanted` that still take lines; nothing is started of the others, whoever ended them.
        """
        with self._store.transaction() as connection:
            _finish(connection, finished)
            _forget_started(connection, opened)
            taking = frozenset(seq for seq in wanted if _takes_lines(connection, seq))
            _insert(
                connection,
                "started (batch, line, custom_id)",
                [(one.batch, one.line, one.custom_id) for one in started if one.batch in taking],
            )
        return taking

    def give_up_started(self) -> int:
        """Finish what an earlier life left started as uncertain; how many lines that are. Only before anything is started by this one."""
        if not self._store.rows("SELECT 1 FROM started LIMIT 1"):
            return 0
        with self._store.transaction() as connection:
            rows = connection.execute("SELECT batch, line, custom_id FROM started").fetchall()
            _finish(connection, [uncertain(*row, message=_ENDED) for row in rows])
        return len(rows)

    def is_finished(self, key: Key) -> bool:
        """Whether a line has its result line."""
        return bool(self._store.rows("SELECT 1 FROM finished WHERE batch = ? AND line = ?", key))

    def finished_of(self, batch: int) -> Callable[[int], bool]:
        """Whether a line of the batch was finished before it is asked about; flat in memory where lines are asked about in order."""
        known: set[int] = set()
        block = -1

        def is_finished(line: int) -> bool:
            nonlocal known, block
            if line // _BLOCK != block:
                block = line // _BLOCK
                rows = self._store.rows(
                    "SELECT line FROM finished WHERE batch = ? AND line >= ? AND line < ?",
                    (batch, block * _BLOCK, (block + 1) * _BLOCK),
                )
                known = {row["line"] for row in rows}
            return line in known

        return is_finished

    def answers(self, batch: int, *, is_success: bool) -> list[int]:
        """The keys of a batch's result lines of one kind, in order of completion; `answer` reads one."""
        rows = self._store.rows(
            "SELECT seq FROM finished WHERE batch = ? AND is_success = ? ORDER BY seq",
            (batch, is_success),
        )
        return [row["seq"] for row in rows]

    def answer(self, key: int) -> bytes:
        """One result line."""
        (row,) = self._store.rows("SELECT answer FROM finished WHERE seq = ?", (key,))
        answer: bytes = row["answer"]
        return answer

    def charges(self) -> Iterator[tuple[str, int]]:
        """How often each custom_id was executed, or may have been, over all batches, in order of first execution."""
        rows = self._store.rows(
            "SELECT custom_id, count(*) AS times FROM finished GROUP BY custom_id ORDER BY min(seq)"
        )
        return ((row["custom_id"], row["times"]) for row in rows)


def uncertain(batch: int, line: int, custom_id: str, *, message: str) -> Finished:
    """A line that was sent, or was about to be, and got no answer: it counts as failed."""
    answer = uncertain_line(custom_id, message, line_id=new_id("batch_req_"))
    return Finished(batch=batch, line=line, custom_id=custom_id, is_success=False, answer=answer)


def _finish(connection: sqlite3.Connection, finished: Collection[Finished]) -> None:
    _insert(
        connection,
        "finished (batch, line, custom_id, is_success, answer)",
        [(one.batch, one.line, one.custom_id, one.is_success, one.answer) for one in finished],
    )
    _forget_started(connection, [(one.batch, one.line) for one in finished])
    counts: dict[int, Counter[str]] = {}
    for one in finished:
        usage = one.usage
        counts.setdefault(one.batch, Counter()).update(
            completed=one.is_success,
            failed=not one.is_success,
            input_tokens=usage.input_tokens,
            cached_tokens=usage.cached_tokens,
            output_tokens=usage.output_tokens,
            reasoning_tokens=usage.reasoning_tokens,
        )
    sets = ", ".join(f"{column} = {column} + ?" for column in _COUNTS)
    connection.executemany(
        f"UPDATE batches SET {sets} WHERE seq = ?",
        ((*(counted[column] for column in _COUNTS), seq) for seq, counted in counts.items()),
    )


def _takes_lines(connection: sqlite3.Connection, seq: int) -> bool:
    row = connection.execute("SELECT status FROM batches WHERE seq = ?", (seq,)).fetchone()
    return bool(row["status"] == Status.IN_PROGRESS)


def _forget_started(connection: sqlite3.Connection, keys: Collection[Key]) -> None:
    for some in _blocks(keys):
        marks = ", ".join(["(?, ?)"] * len(some))
        connection.execute(
            f"DELETE FROM started WHERE (batch, line) IN (VALUES {marks})",
            [value for key in some for value in key],
        )


def _insert(
    connection: sqlite3.Connection, into: str, rows: Collection[tuple[SqlValue, ...]]
) -> None:
    """One statement for many rows: with each, the threads that wait for answers take the interpreter away for a while."""
    for some in _blocks(rows):
        marks = ", ".join(["?"] * len(some[0]))
        values = ", ".join([f"({marks})"] * len(some))
        connection.execute(
            f"INSERT INTO {into} VALUES {values}", [value for row in some for value in row]
        )


def _blocks(rows: Collection[_Row]) -> Iterator[list[_Row]]:
    """At most so many rows at once: SQLite limits the parameters of a statement."""
    left = list(rows)
    while left:
        yield left[:_ROWS_MOST]
        del left[:_ROWS_MOST]
