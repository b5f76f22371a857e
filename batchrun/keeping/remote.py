"""Files at the service that hold what was forgotten: noted with the rows, deleted when the service can be reached, remembered until then.

A file holds the requests or answers of a whole batch. All of those were collected, so the ledger has them; what is given up is that
`recover` could rebuild them from the service. An upload that was replaced by another is not known by its id any more: it expires by itself.
"""

import json
import sqlite3
from dataclasses import dataclass
from typing import Final

from batchrun.backends.accounts import DIRECT_PREFIX
from batchrun.backends.base import Backend
from batchrun.backends.embedded import BASE_URL as EMBEDDED
from batchrun.backends.opening import service_folders
from batchrun.errors import BackendError, BatchrunError, LedgerError, NotFound, WrongAccount
from batchrun.ledger.connection import Ledger, is_copied
from batchrun.ledger.states import BatchState
from batchrun.model import Account
from batchrun.running.context import OpenBackend

# Files of batches, and uploaded attachments, that hold what was forgotten.
_LEFT: Final = """
select l.file_id, l.batch, b.profile, b.base_url, b.organization, b.project, b.fingerprint
from remote_leftovers l join batch_rows b on b.id = l.batch
union all select file_id, 0, profile, base_url, organization, project, fingerprint from attachment_uploads where is_forgotten
"""
# Batches of the services in the home itself.
_IS_HERE: Final = f"(b.base_url = '{EMBEDDED}' or b.base_url like '{DIRECT_PREFIX}%')"
_SETTLED: Final = frozenset({BatchState.COLLECTED, BatchState.REJECTED})


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteDeletion:
    """What became of the files at services: how many are gone now, how many are left, and why."""

    deleted: int
    left: int
    problems: tuple[BatchrunError, ...]


def remote_files(ledger: Ledger, batches: str) -> list[tuple[str, int]]:
    """(file id, batch) of all files at services that these batches (a select of ids) are known to have."""
    found: dict[str, int] = {}
    for row in ledger.rows(
        f"select id, state, input_file_id, remote from batch_rows where id in ({batches}) order by id"
    ):
        remote = json.loads(row["remote"] or "{}")
        ids = [row["input_file_id"], remote.get("input_file_id")]
        if row["state"] in _SETTLED:  # the result files of a lost one may still be collected
            ids += [remote.get("output_file_id"), remote.get("error_file_id")]
        found |= {file_id: row["id"] for file_id in ids if isinstance(file_id, str) and file_id}
    return list(found.items())


def note_remote_files(ledger: Ledger, batches: str) -> None:
    """Remember the files of these batches, inside the caller's transaction; before anything is scrubbed."""
    ledger.executemany(
        "insert or ignore into remote_leftovers (file_id, batch) values (?, ?)",
        remote_files(ledger, batches),
    )


def leftover_count(ledger: Ledger) -> int:
    """How many files are still to be deleted at services."""
    return int(ledger.value(f"select count(*) from ({_LEFT})"))


def forget_embedded(ledger: Ledger) -> None:
    """Take the noted batches out of the services that live in this home, files and rows; no backend is opened."""
    folders = list(service_folders(ledger.home.path))
    batches = ledger.connection.execute(
        f"select distinct b.id, b.remote_id, b.token from batch_rows b join remote_leftovers l on l.batch = b.id where {_IS_HERE}"
    ).fetchall()
    if not folders or not batches:
        return
    from batchrun.service.erasing import erase

    files = ledger.connection.execute(
        f"select l.file_id from remote_leftovers l join batch_rows b on b.id = l.batch where {_IS_HERE}"
    ).fetchall()
    for folder in folders:
        erase(
            folder,
            batch_ids=[remote_id for _, remote_id, _ in batches if remote_id is not None],
            file_ids=[file_id for (file_id,) in files],
            file_names=[f"{token}.jsonl" for _, _, token in batches],
        )
    with ledger.transaction():
        ledger.executemany(
            "delete from remote_leftovers where batch = ?", ((b[0],) for b in batches)
        )


def delete_remote_files(ledger: Ledger, open_backend: OpenBackend) -> RemoteDeletion:
    """Delete what can be deleted at services now. Raises nothing of a backend: that is in `problems`, and the files stay noted."""
    before = leftover_count(ledger)
    problems: list[BatchrunError] = []
    if before and (reason := is_copied(ledger)) is not None:
        problems.append(
            LedgerError(
                f"{ledger.home.path}: {before:,} files at the service were not deleted, because this home is a copy ({reason}) and "
                "the original may still need them. Forget there, or take over with `batchrun recover --take-over`."
            )
        )
        return RemoteDeletion(deleted=0, left=before, problems=tuple(problems))
    for (profile,) in ledger.connection.execute(
        f"select distinct profile from ({_LEFT}) order by 1"
    ).fetchall():
        try:
            backend = open_backend(profile)
        except BatchrunError as exc:
            problems.append(exc)
            continue
        try:
            problems += _delete_of(ledger, profile, backend)
        finally:
            backend.close()
    left = leftover_count(ledger)
    return RemoteDeletion(deleted=before - left, left=left, problems=tuple(problems))


def _delete_of(ledger: Ledger, profile: str, backend: Backend) -> list[BatchrunError]:
    problems: list[BatchrunError] = []
    rows = list(
        ledger.rows(
            f"select * from ({_LEFT}) where profile = ? order by batch, file_id",
            (profile,),
        )
    )
    try:
        account = backend.account(bytes.fromhex(ledger.meta("salt") or ""))
        for row in rows:
            _delete(ledger, backend, account, row)
    except BackendError as exc:
        # What is wrong with one call is wrong with the next: a key, the network, a server that is away.
        problems.append(exc)
    return problems


def _delete(ledger: Ledger, backend: Backend, account: Account, row: sqlite3.Row) -> None:
    """Delete one file. Raises BackendError where that did not work, or where it cannot be known."""
    file_id = row["file_id"]
    if (row["base_url"], row["organization"], row["project"]) != (
        account.base_url,
        account.organization,
        account.project,
    ):
        raise WrongAccount(
            f"file {file_id} belongs to {row['base_url']}, where its profile does not point any more. "
            "Restore the old settings, then go on with `batchrun forget`."
        )
    try:
        is_gone = backend.delete_file(file_id)
    except NotFound:
        if row["fingerprint"] != account.fingerprint and not _is_proven(ledger, account):
            raise WrongAccount(
                f"file {file_id}: the API key has changed, and the new one cannot see it. "
                "Use a key of the same project, then go on with `batchrun forget`."
            ) from None
        is_gone = True  # deleted before, or expired
    if not is_gone:
        raise BackendError(f"file {file_id}: the service did not confirm that it is deleted.")
    with ledger.transaction():
        for table in ("remote_leftovers", "attachment_uploads"):
            ledger.execute(f"delete from {table} where file_id = ?", (file_id,))


def _is_proven(ledger: Ledger, account: Account) -> bool:
    return bool(
        ledger.value(
            "select 1 from accounts where base_url = ? and organization = ? and project = ? and fingerprint = ?",
            (account.base_url, account.organization, account.project, account.fingerprint),
        )
    )
