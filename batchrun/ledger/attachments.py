"""The contents that requests name: kept once each under their SHA-256, for as long as a request file that may be sent names them.

A content is durable before a row names it, and its file goes after its rows are gone: whoever dies in between leaves a file that the
next sweep finds by its name. Nothing is opened at the place where the user had it once it is here.
"""

import contextlib
import hashlib
import os
import re
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from batchrun.attachments.kinds import Content, digest_in
from batchrun.attachments.pixels import Pixels
from batchrun.errors import LedgerError
from batchrun.ledger.connection import Ledger
from batchrun.ledger.home import Home
from batchrun.ledger.spool import TEMP_SUFFIX, disk_error, fsync_folder, written

CONTENT_NAME: Final = re.compile(r"([0-9a-f]{64})\.[a-z0-9]{1,8}")
_RESTORE: Final = (
    "Restore it from a backup, or submit the job again while the file is where it was."
)


def keep_content(home: Home, content: Content, data: bytes) -> None:
    """Keep the bytes under their digest, where they are not there already, unharmed; durable after `sync_contents`. Raises LedgerError."""
    path = home.attachment_file(content.digest, content.form)
    with contextlib.suppress(OSError):
        if _bytes_at(path) == data:
            return
    with written(path, syncs_name=False) as file:
        file.write(data)


def sync_contents(home: Home) -> None:
    """Make the names of all contents durable, before a row that names one is seen. Raises LedgerError."""
    try:
        fsync_folder(home.attachments)
    except OSError as exc:
        raise disk_error(home.attachments, exc) from exc


def content_at(home: Home, digest: bytes, form: str) -> bytes:
    """The bytes of a content. Raises LedgerError where they are gone, or are not those that were kept."""
    path = home.attachment_file(digest, form)
    try:
        data = _bytes_at(path)
    except OSError as exc:
        raise LedgerError(
            f"{path}: cannot be read: {exc.strerror}. It is attached to requests that are still to be sent. {_RESTORE}"
        ) from exc
    if hashlib.sha256(data).digest() != digest:
        raise LedgerError(
            f"{path}: not the file that was attached: its content has changed since. Nothing of it was sent. {_RESTORE}"
        )
    return data


def _bytes_at(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        return file.read()


def record_attached(ledger: Ledger, *, file: int, item: int, contents: Iterable[Content]) -> None:
    """Note what the item's request in this request file names; inside the caller's transaction."""
    for content in contents:
        ledger.execute(
            "insert or ignore into attachments (digest, bytes, form, width, height) values (?, ?, ?, ?, ?)",
            (content.digest, content.size, content.form, *(content.pixels or (None, None))),
        )
        ledger.execute(
            "insert or ignore into attached (file, item, digest) values (?, ?, ?)",
            (file, item, content.digest),
        )


def has_attached(ledger: Ledger, file: int) -> bool:
    """Whether requests in this request file name contents, and so cannot be sent as they stand."""
    return bool(ledger.value("select 1 from attached where file = ? limit 1", (file,)))


def job_attaches(ledger: Ledger, job: int) -> bool:
    """Whether any request of the job names a content."""
    return bool(
        ledger.value(
            "select 1 from request_files f where f.job = ? and exists (select 1 from attached a where a.file = f.id) limit 1",
            (job,),
        )
    )


def contents_of(ledger: Ledger, file: int, item: int) -> dict[bytes, str]:
    """The contents that an item's request in this request file names: form by digest."""
    rows = ledger.rows(
        "select c.digest, c.form from attached a join attachments c on c.digest = a.digest where a.file = ? and a.item = ?",
        (file, item),
    )
    return {row["digest"]: row["form"] for row in rows}


def pixels_named(ledger: Ledger, name: str) -> Pixels | None:
    """The size of an image that a request names: by its hash as long as it is stored, by the id of an uploaded file where it was sent."""
    digest = digest_in(name)
    if digest is None:
        digest = ledger.value("select digest from attachment_uploads where file_id = ?", (name,))
    row = ledger.row(
        "select width, height from attachments where digest = ? and width is not null", (digest,)
    )
    return None if row is None else (row["width"], row["height"])


def drop_attached(ledger: Ledger, where: str, parameters: tuple[object, ...] = ()) -> None:
    """Let go of what these requests name (`where` is a condition on `attached`), and of contents that no other names; inside the caller's transaction.

    The bytes go with the next `sweep_contents`.
    """
    if ledger.value("select 1 from attachments limit 1") is None:
        return
    ledger.execute(f"delete from attached where {where}", parameters)
    ledger.execute("delete from attachments where digest not in (select digest from attached)")


def sweep_contents(ledger: Ledger) -> int:
    """Remove the files of contents that no row names; only under the home's lock. Returns how many bytes that frees.

    One that the disk will not let go costs space, and is tried again.
    """
    home, freed = ledger.home, 0
    for path in _files(home):
        found = CONTENT_NAME.fullmatch(path.name)
        if found is not None and not is_known(ledger, bytes.fromhex(found[1])):
            with contextlib.suppress(OSError):
                size = path.stat().st_size
                path.unlink()
                freed += size
    if freed:
        fsync_folder(home.attachments)
    return freed


def is_known(ledger: Ledger, digest: bytes) -> bool:
    """Whether a row names this content."""
    return bool(ledger.value("select 1 from attachments where digest = ?", (digest,)))


def kept_contents(ledger: Ledger) -> Iterable[sqlite3.Row]:
    """digest, bytes and form of every content that has to be in the spool."""
    return ledger.rows("select digest, bytes, form from attachments order by digest")


def has_uploads(ledger: Ledger) -> bool:
    """Whether this home attaches, or did: something of it may be on a service."""
    return bool(
        ledger.value(
            "select 1 where exists (select 1 from attachments) or exists (select 1 from attachment_uploads)"
        )
    )


def forget_upload(ledger: Ledger, file_id: str) -> None:
    """An upload is not there any more."""
    with ledger.transaction():
        ledger.execute("delete from attachment_uploads where file_id = ?", (file_id,))


def _files(home: Home) -> list[Path]:
    if not home.attachments.is_dir():
        return []
    return [path for path in home.attachments.iterdir() if not path.name.endswith(TEMP_SUFFIX)]
