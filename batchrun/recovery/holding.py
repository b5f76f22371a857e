"""The hold under which nothing is sent while a profile is being recovered, and how far that is.

It is an entry of `holds` that never ends by itself: it stands from before the first thing is changed until a complete listing, read SETTLE
after the first one, showed nothing that the ledger does not know. A batch that was created just before the ledger was lost may be listed
late; without the second look its items would be asked again.
"""

import json
from dataclasses import dataclass
from typing import Final

from batchrun.ledger.connection import Ledger
from batchrun.planning.policy import FOREVER

_KEY: Final = "recover:"
_HELD: Final = (
    "the ledger is being rebuilt, and nothing is sent with profile {0!r} before `batchrun recover` has looked at all that was sent there: "
    "run `batchrun recover FILE... --backend {0}`"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A recovery of one profile that has not ended. `since`: our clock at its first complete listing, `server_since` the service's."""

    since: int | None = None
    server_since: int | None = None


def begin(ledger: Ledger, profile: str) -> None:
    """Hold the profile, inside the caller's transaction; harmless where that was done before."""
    ledger.execute(
        "insert or replace into holds (profile, model, until, refusals, reason) values (?, '', ?, 0, ?)",
        (profile, FOREVER, _HELD.format(profile)),
    )
    ledger.execute("insert or ignore into meta values (?, ?)", (_key(profile), _encoded(Begun())))


def begun(ledger: Ledger, profile: str) -> Begun:
    """How far the recovery of the profile is."""
    return Begun(**json.loads(ledger.meta(_key(profile)) or "{}"))


def note(ledger: Ledger, profile: str, state: Begun) -> None:
    """Remember it, inside the caller's transaction."""
    ledger.execute("insert or replace into meta values (?, ?)", (_key(profile), _encoded(state)))


def end(ledger: Ledger, profile: str) -> None:
    """Everything is known: the profile may send again, inside the caller's transaction."""
    ledger.execute(
        "delete from holds where profile = ? and model = '' and until >= ?", (profile, FOREVER)
    )
    ledger.execute("delete from meta where key = ?", (_key(profile),))


def held(ledger: Ledger) -> tuple[str, ...]:
    """The profiles whose recovery has not come to its end."""
    rows = ledger.rows("select key from meta where key glob ? order by key", (f"{_KEY}*",))
    return tuple(row["key"].removeprefix(_KEY) for row in rows)


def wait_left(state: Begun, *, now: int, server_now: int | None, settle_s: int) -> int:
    """Seconds until a listing may be the last one; the shorter of what both clocks show counts, so that none can shorten the wait."""
    assert state.since is not None
    elapsed = now - state.since
    if server_now is not None and state.server_since is not None:
        elapsed = min(elapsed, server_now - state.server_since)
    return settle_s - max(elapsed, 0)


def _key(profile: str) -> str:
    return f"{_KEY}{profile}"


def _encoded(state: Begun) -> str:
    return json.dumps({"since": state.since, "server_since": state.server_since})
