"""What is known of our files on a service: which profiles have some that may be deleted, and from when on to look after that."""

from batchrun.ledger.connection import Ledger

_KEY = "tidy:"


def mark_untidy(ledger: Ledger, profile: str, at: int) -> None:
    """A file is about to be uploaded: if this process dies, nobody knows its id. Inside the caller's transaction."""
    ledger.execute("insert or ignore into meta values (?, ?)", (f"{_KEY}{profile}", str(at)))


def tidy_later(ledger: Ledger, profile: str, at: int) -> None:
    """Something is left, and looked after from `at` on. Inside the caller's transaction."""
    ledger.execute("insert or replace into meta values (?, ?)", (f"{_KEY}{profile}", str(at)))


def mark_tidy(ledger: Ledger, profile: str) -> None:
    """Nothing is left, inside the caller's transaction."""
    ledger.execute("delete from meta where key = ?", (f"{_KEY}{profile}",))


def untidy(ledger: Ledger) -> tuple[tuple[str, int], ...]:
    """(profile, from when on) of all that are not tidy."""
    rows = ledger.rows("select key, value from meta where key glob ? order by key", (f"{_KEY}*",))
    return tuple((row["key"].removeprefix(_KEY), int(row["value"])) for row in rows)
