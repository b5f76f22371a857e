"""House-keeping on the service: files that nothing needs any more.

Uploads whose id was never recorded, because a process died or an answer was lost, cost nothing and expire after 14 days; they are found by
their name, which is a token of this ledger, and deleted before. With `delete_remote = true` the files of a batch that is settled go too,
input and results alike: what is here is then all there is, and `batchrun recover` cannot bring it back.
"""

import json
import logging
import sqlite3
from collections.abc import Iterator
from typing import Final

from batchrun.backends.base import Backend
from batchrun.backends.reading import read_batch
from batchrun.errors import BackendError, NotFound, Refused
from batchrun.ledger.batches import update_batch
from batchrun.ledger.remotefiles import mark_tidy, tidy_later
from batchrun.ledger.states import BatchState
from batchrun.running.context import PassContext
from batchrun.running.results import in_spool
from batchrun.running.send import INPUT_FILE_EXPIRES_S

log = logging.getLogger(__name__)

_PAGE: Final = 1_000
_AGAIN_S: Final = 3_600
_SUFFIX: Final = ".jsonl"
_DAY_S: Final = 86_400


def tidy(ctx: PassContext, profile: str) -> None:
    """Delete what nothing needs. Never fails a pass: what cannot be deleted now is tried later, or left to expire."""
    backend = ctx.backend(profile)
    now = ctx.clock.now()
    try:
        _delete_orphans(ctx, backend, now)
        left = _delete_settled(ctx, backend, profile) if ctx.deletes_remote(profile) else 0
    except Refused as exc:
        log.info(
            "profile %s: no house-keeping: %s", profile, exc
        )  # a server without such a listing
        left = 0
    except BackendError as exc:
        log.info("profile %s: house-keeping put off: %s", profile, exc)
        left = 1
    with ctx.ledger.transaction():
        if left:
            tidy_later(ctx.ledger, profile, now + _AGAIN_S)
        else:
            mark_tidy(ctx.ledger, profile)


def _delete_orphans(ctx: PassContext, backend: Backend, now: int) -> None:
    after: str | None = None
    oldest = now - INPUT_FILE_EXPIRES_S - _DAY_S
    while True:
        page = backend.list_files(after=after, limit=_PAGE)
        for file in page.files:
            if _is_orphan(ctx, file.filename, file.id):
                log.info("deleting %s (%s), which nothing refers to", file.id, file.filename)
                _delete(backend, file.id)
        if not page.has_more or not page.files or page.files[-1].created_at < oldest:
            return
        if page.files[-1].id == after:
            return  # a server that ignores `after`
        after = page.files[-1].id


def _is_orphan(ctx: PassContext, name: str, file_id: str) -> bool:
    """Whether a file bears a token of this ledger, and is not the one that its batch was made of."""
    if not name.endswith(_SUFFIX):
        return False
    row = ctx.ledger.row(
        "select input_file_id from batch_rows where token = ? and state <> ?",
        (name.removesuffix(_SUFFIX), BatchState.CREATING),
    )
    return row is not None and row["input_file_id"] != file_id


def _delete_settled(ctx: PassContext, backend: Backend, profile: str) -> int:
    """Delete the files of settled batches; returns of how many that must wait until their audit is over."""
    left = 0
    for row in list(
        ctx.ledger.rows(
            "select * from batch_rows where profile = ? and state in (?, ?) and cleaned_at is null and uploads > 0 order by id",
            (profile, BatchState.COLLECTED, BatchState.REJECTED),
        )
    ):
        if row["audit_until"] is not None and row["audit_until"] > ctx.clock.now():
            left += 1
            continue
        for file_id in _files_of(ctx, row):
            _delete(backend, file_id)
        with ctx.ledger.transaction():
            update_batch(ctx.ledger, row["id"], cleaned_at=ctx.clock.now())
    return left


def _files_of(ctx: PassContext, row: sqlite3.Row) -> Iterator[str]:
    """Ids of a batch's files on the service; of result files only where we have them."""
    if row["input_file_id"] is not None:
        yield row["input_file_id"]
    if row["remote"] is None:
        return
    remote = read_batch(json.loads(row["remote"]))
    kinds = {kind for kind, _ in in_spool(ctx, row)}
    for kind, file_id in enumerate((remote.output_file_id, remote.error_file_id)):
        if file_id is not None and kind in kinds:
            yield file_id


def _delete(backend: Backend, file_id: str) -> None:
    try:
        backend.delete_file(file_id)
    except NotFound:
        log.debug("%s is gone already", file_id)
