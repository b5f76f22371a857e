"""A home that was moved, or copied, takes the paths in its ledger along: what lay beside it lies beside it still.

Paths are stored whole, so that `tick` needs no job file. Those below the folder that held the home are rewritten when the ledger is opened
somewhere else for the first time, unless what they name stayed behind; all others stay. What a copy would write or remove is its own, never the
original's. A copy stays a copy: it is told by machine and inode, not by its path.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from batchrun.ledger.connection import Ledger


def has_moved(ledger: "Ledger") -> bool:
    """Whether the paths in this ledger are those of another place."""
    # SQLite reads the JSON: `status` asks this, and loads no parser.
    stored = ledger.value("select value ->> '$.path' from meta where key = 'home'")
    return stored is not None and stored != str(ledger.home.path.resolve())


def follow_move(ledger: "Ledger", *, is_copy: bool) -> None:
    """Rewrite outputs, job files and databases of all jobs, in one transaction of its own; harmless where nothing moved."""
    import json

    with ledger.transaction():
        known = json.loads(ledger.meta("home") or "{}")
        now = str(ledger.home.path.resolve())
        if known.get("path") in (None, now):
            return
        before, after = Path(known["path"]).parent, Path(now).parent

        def there(path: str, *, is_ours: bool) -> str:
            old = Path(path)
            if not old.is_relative_to(before):
                return path
            new = after / old.relative_to(before)
            return str(new) if (is_copy and is_ours) or new.exists() or not old.exists() else path

        for row in list(ledger.rows("select id, source, outputs, settings from jobs")):
            settings = json.loads(row["settings"])
            if settings.get("path"):
                settings["path"] = there(settings["path"], is_ours=False)
            if table := (settings.get("output") or {}).get("sqlite"):
                table["path"] = there(table["path"], is_ours=True)
            ledger.execute(
                "update jobs set source = ?, outputs = ?, settings = ? where id = ?",
                (
                    there(row["source"], is_ours=False),
                    there(row["outputs"], is_ours=True) if row["outputs"] else "",
                    json.dumps(settings, ensure_ascii=False),
                    row["id"],
                ),
            )
        ledger.execute(
            "update meta set value = ? where key = 'home'",
            (json.dumps({**known, "path": now}, sort_keys=True),),
        )
