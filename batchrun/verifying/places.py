"""The home as a folder: private, and without files that nothing names."""

import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from batchrun.ledger.attachments import CONTENT_NAME, is_known
from batchrun.ledger.connection import Ledger
from batchrun.ledger.spool import TEMP_SUFFIX
from batchrun.ledger.states import FileState, SubmissionState
from batchrun.outputs.indexed import INDEXED
from batchrun.verifying.files import size_of, unreadable

_RESULT_FILE: Final = re.compile(r"(\d{1,18})-(?:output|error)(?:\.suspect)?\.jsonl")
_NUMBERED: Final = re.compile(r"(\d{1,18})\.jsonl")


def private(ledger: Ledger) -> Iterator[str]:
    """Nobody but its owner may look into the home, or change the outputs."""
    for path, mode in _walked(ledger.home.path):
        if mode & 0o077:
            yield f"{path}: others may use it (mode {stat.S_IMODE(mode):04o})"
    for folder in _outputs(ledger, is_written=False):
        try:
            mode = folder.stat().st_mode
        except OSError:
            continue  # written with the first outputs
        if mode & 0o022:
            yield f"{folder}: others may write into it (mode {stat.S_IMODE(mode):04o})"


def no_strays(ledger: Ledger) -> Iterator[str]:
    """Each file of the spool is one that the ledger names; finished outputs that nobody is changing hold no temporary files."""
    home = ledger.home
    known = (
        (home.requests, _NUMBERED, "select 1 from request_files where id = ?"),
        (home.results, _RESULT_FILE, "select 1 from batch_rows where id = ?"),
        (home.fields, _NUMBERED, "select 1 from submissions where id = ?"),
    )
    for folder, pattern, sql in known:
        for name in _names(folder):
            if name.endswith(TEMP_SUFFIX):
                continue  # a leftover: see below
            found = pattern.fullmatch(name)
            if found is None or ledger.value(sql, (int(found[1]),)) is None:
                yield f"{folder / name}: nothing names this file"
    for name in _names(home.attachments):
        if not name.endswith(TEMP_SUFFIX) and CONTENT_NAME.fullmatch(name) is None:
            yield f"{home.attachments / name}: nothing names this file"
    for folder in _outputs(ledger, is_written=True):
        for inner in (folder, *(folder / indexed.name for indexed in INDEXED)):
            for name in _names(inner):
                if name.startswith(".") and name.endswith(TEMP_SUFFIX):
                    yield f"{inner / name}: left by a process that died"


def leftovers(ledger: Ledger) -> tuple[str, ...]:
    """What a process that was ended in the middle left, and the next one clears away: no fault, but good to know."""
    home = ledger.home
    found = [
        str(folder / name)
        for folder in (home.requests, home.results, home.fields, home.attachments)
        for name in _names(folder)
        if name.endswith(TEMP_SUFFIX)
    ]
    found += [
        f"{path}: given up, and still on disk"
        for row in ledger.rows("select id from request_files where state = ?", (FileState.REMOVED,))
        if size_of(path := home.request_file(row["id"])) is not None
    ]
    found += [
        f"{path}: given up, and still on disk"
        for row in ledger.rows("select batch, kind from result_files where removed_at is not null")
        if size_of(path := home.result_file(row["batch"], row["kind"])) is not None
    ]
    found += [
        f"{home.attachments / name}: no request names it, and the next `prune` removes it"
        for name in _names(home.attachments)
        if (content := CONTENT_NAME.fullmatch(name))
        and not is_known(ledger, bytes.fromhex(content[1]))
    ]
    found += [
        f"submission {row['id']}, which never became ready"
        for row in ledger.rows(
            "select id from submissions where state = ? order by id", (SubmissionState.PREPARING,)
        )
    ]
    return tuple(found)


def _outputs(ledger: Ledger, *, is_written: bool) -> list[Path]:
    rows = ledger.rows(
        "select distinct j.outputs from jobs j where not ?1 or "
        "(j.stale = 0 and not exists (select 1 from forgettings f where f.job = j.id and f.done_at is null))",
        (is_written,),
    )
    return [Path(row["outputs"]) for row in rows]


def _names(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as exc:
        raise unreadable(folder, exc) from exc


def _walked(path: Path) -> Iterator[tuple[Path, int]]:
    """(path, mode) of the folder and everything below it; links are not followed, and have no mode of their own."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return  # SQLite's own files come and go with its connections
    except OSError as exc:
        raise unreadable(path, exc) from exc
    if stat.S_ISLNK(mode):
        return
    yield path, mode
    if stat.S_ISDIR(mode):
        for name in _names(path):
            yield from _walked(path / name)
