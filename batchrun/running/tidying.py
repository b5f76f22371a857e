"""House-keeping on the service: files that nothing needs any more.

Uploads whose id was never recorded, because a process died or an answer was lost, cost nothing and expire after 14 days; they are found by
their name, which bears a token or the id of this ledger, and deleted before. With `delete_remote = true` the files of a batch that is settled go too,
input and results alike: what is here is then all there is, and `batchrun recover` cannot bring it back.
"""

import json
import logging
import sqlite3
from collections.abc import Callable, Iterator
from typing import Final

from batchrun.backends.base import Backend, RemoteFile
from batchrun.backends.reading import read_batch
from batchrun.errors import BackendError, NotFound, Refused, UsageError
from batchrun.ledger.attachments import forget_upload, has_uploads
from batchrun.ledger.batches import update_batch
from batchrun.ledger.remotefiles import mark_tidy, tidy_later
from batchrun.ledger.states import BatchState
from batchrun.running.attaching import (
    PURPOSES,
    drop_expired,
    has_needed_uploads,
    is_orphaned_upload,
    unneeded_uploads,
)
from batchrun.running.context import PassContext
from batchrun.running.results import in_spool
from batchrun.windows import DEFAULT_WINDOW, upload_life_s

log = logging.getLogger(__name__)

_PAGE: Final = 1_000
_AGAIN_S: Final = 3_600
_SUFFIX: Final = ".jsonl"
_DAY_S: Final = 86_400


def tidy(ctx: PassContext, profile: str) -> None:
    """Delete what nothing needs. Never fails a pass: what cannot be deleted now is tried later, or left to expire."""
    try:
        backend = ctx.backend(profile)
    except (BackendError, UsageError) as exc:
        # No key, or no such profile any more. Whoever sends with it hears of that; house-keeping is nobody's problem.
        log.info("profile %s: house-keeping put off: %s", profile, exc)
        again_s = _DAY_S
    else:
        waits_s = [_kept_off(profile, lambda: _delete_orphans(ctx, backend))]
        if has_uploads(ctx.ledger):
            waits_s.append(_kept_off(profile, lambda: _delete_orphaned_uploads(ctx, backend)))
        if ctx.deletes_remote(profile):
            waits_s.append(_kept_off(profile, lambda: _delete_settled(ctx, backend, profile)))
            waits_s.append(_kept_off(profile, lambda: _delete_unneeded(ctx, backend, profile)))
        again_s = min(filter(None, waits_s), default=0)
    with ctx.ledger.transaction():
        if again_s:
            tidy_later(ctx.ledger, profile, ctx.clock.now() + again_s)
        else:
            mark_tidy(ctx.ledger, profile)


def _kept_off(profile: str, clean: Callable[[], int]) -> int:
    """Seconds until it is to be done again, 0 for never: what the service refuses for good says nothing about the other half."""
    try:
        return clean()
    except Refused as exc:  # a server without such a call
        log.info("profile %s: no house-keeping: %s", profile, exc)
        return 0
    except BackendError as exc:
        log.info("profile %s: house-keeping put off: %s", profile, exc)
        return _AGAIN_S


def _delete_orphans(ctx: PassContext, backend: Backend) -> int:
    """Delete input files that nothing refers to; returns in how many seconds to look again, 0 where none is left."""
    return _delete_listed(
        ctx, backend, "batch", lambda file: _is_orphan(ctx, file.filename, file.id)
    )


def _delete_orphaned_uploads(ctx: PassContext, backend: Backend) -> int:
    """The same for attachments."""
    drop_expired(ctx)
    waits_s = [
        _delete_listed(ctx, backend, purpose, lambda file: is_orphaned_upload(ctx.ledger, file))
        for purpose in PURPOSES
    ]
    return min(filter(None, waits_s), default=0)


def _delete_unneeded(ctx: PassContext, backend: Backend, profile: str) -> int:
    """Delete attachments that no open item needs; returns in how many seconds to look again, 0 where none is left."""
    for file_id in unneeded_uploads(ctx, profile):
        if _is_deleted(backend, file_id):
            forget_upload(ctx.ledger, file_id)
    if unneeded_uploads(ctx, profile):
        return _AGAIN_S
    return _DAY_S if has_needed_uploads(ctx, profile) else 0


def _delete_listed(
    ctx: PassContext, backend: Backend, purpose: str, is_orphan: Callable[[RemoteFile], bool]
) -> int:
    after: str | None = None
    oldest = ctx.clock.now() - upload_life_s(DEFAULT_WINDOW) - _DAY_S
    again_s = 0
    while True:
        page = backend.list_files(after=after, limit=_PAGE, purpose=purpose)
        for file in page.files:
            if is_orphan(file):
                log.info("deleting %s (%s), which nothing refers to", file.id, file.filename)
                again_s = again_s if _is_deleted(backend, file.id) else _AGAIN_S
        if not page.has_more or not page.files or page.files[-1].created_at < oldest:
            return again_s
        if page.files[-1].id == after:
            return again_s  # a server that ignores `after`
        after = page.files[-1].id


def _is_orphan(ctx: PassContext, name: str, file_id: str) -> bool:
    """Whether a file bears a token of this ledger, and is certainly not the one that its batch was made of."""
    if not name.endswith(_SUFFIX):
        return False
    row = ctx.ledger.row(
        "select state, remote_id, remote, input_file_id from batch_rows where token = ?",
        (name.removesuffix(_SUFFIX),),
    )
    if row is None or row["state"] == BatchState.CREATING:
        return False
    if row["input_file_id"] is None and (
        row["remote_id"] is not None or row["state"] == BatchState.LOST
    ):
        return False  # created of one of these files; found by its token, where the service does not show of which
    return file_id not in _input_files(row)


def _delete_settled(ctx: PassContext, backend: Backend, profile: str) -> int:
    """Delete the files of settled batches; returns in how many seconds to look again, 0 where none is left.

    Left for later are those under audit, those whose deletion the service did not confirm, and those of another place than the profile
    means now: its 404 says nothing about them.
    """
    waits_s: set[int] = set()
    for row in list(
        ctx.ledger.rows(
            "select * from batch_rows where profile = ? and state in (?, ?) and cleaned_at is null and uploads > 0 order by id",
            (profile, BatchState.COLLECTED, BatchState.REJECTED),
        )
    ):
        if not ctx.is_account_of(row):
            waits_s.add(_DAY_S)
        elif (row["audit_until"] or 0) > ctx.clock.now() or [
            file_id for file_id in _files_of(ctx, row) if not _is_deleted(backend, file_id)
        ]:
            waits_s.add(_AGAIN_S)
        else:
            with ctx.ledger.transaction():
                update_batch(ctx.ledger, row["id"], cleaned_at=ctx.clock.now())
    return min(waits_s, default=0)


def _input_files(row: sqlite3.Row) -> Iterator[str]:
    """Ids of the files that the batch may have been made of: our upload, and the other one with which it was found."""
    if row["input_file_id"] is not None:
        yield row["input_file_id"]
    if row["remote"] is not None:
        theirs = read_batch(json.loads(row["remote"])).input_file_id
        if theirs is not None and theirs != row["input_file_id"]:
            yield theirs


def _files_of(ctx: PassContext, row: sqlite3.Row) -> Iterator[str]:
    """Ids of a batch's files on the service; of result files only where we have them."""
    yield from _input_files(row)
    if row["remote"] is None:
        return
    remote = read_batch(json.loads(row["remote"]))
    kinds = {kind for kind, _ in in_spool(ctx, row)}
    for kind, file_id in enumerate((remote.output_file_id, remote.error_file_id)):
        if file_id is not None and kind in kinds:
            yield file_id


def _is_deleted(backend: Backend, file_id: str) -> bool:
    """Delete a file; whether the service says that it is gone."""
    try:
        return backend.delete_file(file_id)
    except NotFound:
        log.debug("%s is gone already", file_id)
        return True
