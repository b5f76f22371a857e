"""What a script has done so far, in the service's own database: a killed server goes on with its night where it was.

Three things are kept: when the script was first played here, how many calls fitted each fault and how many of them it hit, and the calls
that take effect later.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from batchrun.clock import Clock
from batchrun.model import JsonObject
from batchrun.service.store import Store

# Of the fitting calls so far, this one included, and of the hits before it: is it hit?
Turn = Callable[[str, int, int], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Postponed:
    """A call that was given up or confirmed, and bites now."""

    call: str
    arguments: JsonObject


class FaultMemory:
    """Usable from several threads and processes, as the store is."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def elapsed_s(self) -> int:
        """Seconds of the service's clock since the first call of this method in this folder."""
        now = self._clock.now()
        with self._store.transaction() as connection:
            connection.execute(
                "INSERT INTO fault_night SELECT ? WHERE NOT EXISTS (SELECT 1 FROM fault_night)",
                (now,),
            )
            (began_at,) = connection.execute("SELECT began_at FROM fault_night").fetchone()
        return now - int(began_at)

    def count(self, names: Sequence[str], turn: Turn, *, most: int) -> list[str]:
        """Count one more call for each of these faults, and return those whose turn it is, at most so many: the first ones."""
        hit: list[str] = []
        with self._store.transaction() as connection:
            for name in names:
                connection.execute("INSERT OR IGNORE INTO fault_counts VALUES (?, 0, 0)", (name,))
                matched, fired = connection.execute(
                    "UPDATE fault_counts SET matched = matched + 1 WHERE fault = ? RETURNING matched, fired",
                    (name,),
                ).fetchone()
                if len(hit) < most and turn(name, matched, fired):
                    hit.append(name)
                    connection.execute(
                        "UPDATE fault_counts SET fired = fired + 1 WHERE fault = ?", (name,)
                    )
        return hit

    def fired(self) -> dict[str, int]:
        """How often each fault has hit a call; none that never had one to count."""
        rows = self._store.rows("SELECT fault, fired FROM fault_counts")
        return {row["fault"]: row["fired"] for row in rows}

    def postpone(self, call: str, arguments: JsonObject, *, seconds: int) -> None:
        """Let a call take effect that many seconds from now."""
        with self._store.transaction() as connection:
            connection.execute(
                "INSERT INTO postponed (due_at, call, arguments) VALUES (?, ?, ?)",
                (self._clock.now() + seconds, call, msgspec.json.encode(arguments).decode()),
            )

    def take_due(self) -> Postponed | None:
        """The earliest call that is due by now, which is then nobody else's; killed after this, the server never makes it."""
        now = self._clock.now()
        if not self._store.rows("SELECT 1 FROM postponed WHERE due_at <= ? LIMIT 1", (now,)):
            return None
        with self._store.transaction() as connection:
            row = connection.execute(
                "DELETE FROM postponed WHERE seq = "
                "(SELECT seq FROM postponed WHERE due_at <= ? ORDER BY due_at, seq LIMIT 1) RETURNING call, arguments",
                (now,),
            ).fetchone()
        if row is None:
            return None
        return Postponed(call=row["call"], arguments=msgspec.json.decode(row["arguments"]))
