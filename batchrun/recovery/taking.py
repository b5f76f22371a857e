"""One batch of another program, taken in: its requests as items of a job, and its row, all in one transaction.

The items point into a request file of ours, as those of a submitted ready Batch file do, so submitting that file finds them unchanged. The
row of the batch has a second one, with the unanswered requests under the custom_ids that they bear at the service: what goes again, should
the service refuse the batch yet.
"""

import sqlite3
from collections.abc import Sequence
from typing import Final

from batchrun.customids import foreign_prefix
from batchrun.jobfile import Problems, read_items
from batchrun.ledger.batches import new_token
from batchrun.ledger.connection import Ledger
from batchrun.ledger.requestfiles import FileKind, RequestFileWriter
from batchrun.ledger.states import FileState, ItemState
from batchrun.ledger.submissions import Submission, settings_to_json
from batchrun.model import JOB_KEY, LEDGER_KEY, TOKEN_KEY, JobSettings, Limits
from batchrun.recovery.brought import Bringing, as_settings
from batchrun.recovery.importing import MATCHED_TABLE, Copied, Origin, insert_imported
from batchrun.requests import Request, RequestBuilder
from batchrun.running.context import PassContext

_UNFINISHED: Final = (
    "`batchrun adopt` has not come to its end, and what these batches left open may be answered in the next one: "
    "run it again with the same batches, or let the job go as it is with `batchrun resume`"
)
_TABLES: Final = f"""
{MATCHED_TABLE}
create temp table if not exists passed (item integer primary key, custom_id text);
delete from matched;
delete from passed;
"""
_NOTE: Final = {
    "matched": "insert into matched (item, custom_id, number, send, is_first) values (?, ?, 0, 1, 1)",
    "passed": "insert into passed (item, custom_id) values (?, ?)",
}


def take_in(
    ctx: PassContext,
    one: Bringing,
    settings: JobSettings,
    *,
    profile: str,
    limits: Limits,
    job: sqlite3.Row | None,
    is_last: bool,
) -> tuple[int, int]:
    """The number of the batch's row, CREATED or ENDED, and how many items are in flight with it. `job`: its row, where there is one.

    The job sends nothing until the one that `is_last` is in. Raises LedgerError; then nothing of the batch is here.
    """
    ledger, at = ctx.ledger, ctx.clock.now()
    suffix = "" if profile == settings.profile else f"@{profile}"
    submission = Submission(
        ledger,
        as_settings(settings, one),
        profile=profile,
        outputs=str(ledger.home.outputs / f"{settings.name}{suffix}")
        if job is None
        else job["outputs"],
        limits=limits,
        at=at,
    )
    submission.begin(items_from=None)
    batch = 0

    def also() -> None:
        nonlocal batch
        done = writer.finish(FileState.USED)
        before = None if job is None else job["paused"]
        ledger.execute(
            "update jobs set source = ?, settings = ?, reported_at = null, paused = ? where id = ?",
            (
                settings.path if job is None else job["source"],
                settings_to_json(settings),
                before or _UNFINISHED,
                submission.job,
            ),
        )
        row = ledger.row("select * from jobs where id = ?", (submission.job,))
        assert row is not None
        # Another program made its input file: what this ledger knows of the service does not reach up to it.
        origin = Origin(
            profile=profile,
            account=ctx.accounts[profile],
            token=new_token(),
            input_file_created_at=None,
            audit_until=None,
        )
        batch = insert_imported(
            ledger,
            one.remote,
            origin,
            job=row,
            file=Copied(done.id, done.bytes, done.checksum),
            at=at,
            metadata={
                TOKEN_KEY: origin.token,
                LEDGER_KEY: ledger.meta("ledger") or "",
                JOB_KEY: settings.name,
            },
        )
        ledger.execute(
            "insert into asked_as (batch, item, custom_id) select ?, item, custom_id from passed",
            (batch,),
        )
        if is_last:
            let_go(ledger, submission.job, before)

    try:
        writer = _copy(ledger, submission)
        submission.ready(keep_missing=True, also=also)
    except BaseException:
        submission.abandon()
        raise
    return batch, writer.request_count


def let_go(ledger: Ledger, job: int, before: str | None) -> None:
    """The last batch is here: what is unanswered may be sent, unless the job was paused `before`. Inside the caller's transaction."""
    reason = None if before == _UNFINISHED else before
    ledger.execute("update jobs set paused = ? where id = ?", (reason, job))


def _copy(ledger: Ledger, submission: Submission) -> RequestFileWriter:
    """Take the requests of a batch as items; those without an answer are `matched`, and in the file of this writer, the others have `passed`."""
    intake, settings = submission.intake, submission.settings
    builder, problems = RequestBuilder(settings), Problems()
    ledger.connection.executescript(_TABLES)
    writer: RequestFileWriter | None = None
    try:
        for block in read_items(settings, problems):
            requests = [request for _, request in builder.build_all(block.fields, _refuse)]
            answered = _answered(submission, requests)
            items = intake.add(list(enumerate(requests)), str)
            if not ledger.connection.in_transaction:
                ledger.execute("begin immediate")
            if writer is None:
                writer = RequestFileWriter(
                    ledger,
                    job=submission.job,
                    submission=submission.id,
                    criteria=None,
                    kind=FileKind.CUT,
                    endpoint=settings.endpoint,
                    model=requests[0].model,
                )
            for request, item in zip(requests, items, strict=True):
                # Everything was read before, and was sound: each has an id of its own.
                assert request.key is not None
                assert item is not None
                if request.key in answered:
                    ledger.execute(_NOTE["passed"], (item, request.key))
                    continue
                ledger.execute(_NOTE["matched"], (item, request.key))
                line = foreign_prefix(request.key) + request.tail + b"\n"
                writer.append(line, count=1, inputs=request.inputs, first_item=item, last_item=item)
        intake.flush()
        assert writer is not None
        writer.close()
    except BaseException:
        if writer is not None:
            writer.abandon()
        raise
    return writer


def _answered(submission: Submission, requests: Sequence[Request]) -> frozenset[str]:
    keys = [request.key for request in requests if request.key is not None]
    known = submission.intake.known.by_key(keys)
    return frozenset(key for key, item in known.items() if item.state == ItemState.SUCCEEDED)


def _refuse(_index: int, error: Exception) -> None:
    raise error
