"""The ledger's own leftovers: SQLite keeps deleted rows in free pages and in the WAL, and a copy is made before each migration."""

from typing import Final

from batchrun.errors import LedgerError
from batchrun.ledger.connection import Ledger
from batchrun.ledger.home import Home
from batchrun.ledger.spool import disk_error, fsync_folder

_COPIES: Final = "batchrun-before-*.db*"


def remove_copies(home: Home) -> int:
    """Remove the copies of the ledger that were made before migrations: they hold every row there was then. Returns how many files."""
    count = 0
    for path in sorted(home.path.glob(_COPIES)):
        try:
            path.unlink(missing_ok=True)
        except OSError as exc:
            raise disk_error(path, exc) from exc
        count += 1
    if count:
        fsync_folder(home.path)
    return count


def wipe_free_space(ledger: Ledger) -> None:
    """Write the ledger anew without its free pages, and empty the WAL. Needs as much free disk space as the ledger has bytes, twice.

    Raises LedgerError for a full disk, and while another process reads an older state of the ledger: that state is in the WAL until it ends.
    """
    with ledger.translated():
        ledger.connection.execute("vacuum")
        busy = ledger.connection.execute("pragma wal_checkpoint(truncate)").fetchone()[0]
    if busy:
        raise LedgerError(
            f"{ledger.home.database}-wal: still holds what was forgotten, because another process reads the ledger. "
            "End it (Datasette, sqlite3, a `batchrun results` that is waited for), then go on with `batchrun forget`."
        )
