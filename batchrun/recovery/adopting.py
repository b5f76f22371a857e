"""Batches that were made elsewhere (by another tool, the dashboard, curl) become a job here, and the same collect, outputs and retries follow.

Their input files are read as ready Batch files, all of them before anything is taken. Then batch by batch, in the order in which their
answers came: one transaction makes its items, its request file and its row visible, and what has ended is settled before the next, so that
of several answers to one item the earliest that succeeded counts. While some are still to come, the job sends nothing: another batch may
hold what this one did not answer. Nothing is created, cancelled or deleted at the service.
"""

import contextlib
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from batchrun.backends.base import TERMINAL_STATUSES, Backend, RemoteBatch
from batchrun.config import Config
from batchrun.errors import JobFileError, NotFound, UsageError
from batchrun.jobfile.job import valid_name
from batchrun.ledger.items import counts, open_count
from batchrun.ledger.jobs import adopted_source, is_adopted, owner_problem
from batchrun.ledger.origins import own_ledgers
from batchrun.ledger.states import FINAL_BATCH_STATES, BatchState
from batchrun.ledger.submissions import settings_from_json
from batchrun.model import JOB_KEY, LEDGER_KEY, TOKEN_KEY, JobSettings
from batchrun.recovery.brought import Bringing, Brought
from batchrun.recovery.downloading import downloaded, result_files
from batchrun.recovery.found import Adopted, Became, FoundBatch
from batchrun.recovery.taking import let_go, take_in
from batchrun.recovery.unplaced import custom_ids_in
from batchrun.running.context import PassContext
from batchrun.running.ended import settle_ended
from batchrun.running.performing import write_job_outputs
from batchrun.running.results import never_ran

_DEFAULT_PROFILE: Final = "openai"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptOptions:
    """What the user asked for. `inputs`: the input files of the batches in their order, one for all of them, or none."""

    job: str
    inputs: tuple[Path, ...] = ()
    backend: str | None = None


class Adoption:
    """One call of `adopt`, by a caller who holds the lock."""

    def __init__(self, ctx: PassContext, config: Config, options: AdoptOptions) -> None:
        """Raises UsageError for a name that no job can have, and for a profile that there is not."""
        self._ctx, self._ledger, self._options = ctx, ctx.ledger, options
        name = options.job
        if valid_name(name) != name:
            raise UsageError(
                f"--job {name!r}: a job's name has 1 to 64 letters, digits, '.', '_' or '-'."
            )
        self._profile = options.backend or config.backend or self._known_profile()
        config.profile(self._profile)
        self._limits = config.profile(self._profile).limits
        self._brought = Brought(self._ledger)

    def adopt(self, batch_ids: Sequence[str]) -> Adopted:
        """Take these batches into the job. What cannot be taken is an error, and then none was.

        Raises UsageError, JobFileError, BackendError, LedgerError; what goes wrong after they were taken is in `problems`.
        """
        ids = tuple(dict.fromkeys(batch_ids))
        if len(self._options.inputs) not in (0, 1, len(ids)):
            raise UsageError(
                f"{len(self._options.inputs)} --input for {len(ids)} batches: give one for each, in their order, or one for all."
            )
        backend = self._ctx.backend(self._profile)
        found = [self._known(name) for name in ids]
        with contextlib.ExitStack() as stack:
            remotes = [
                (self._retrieved(backend, name), self._given(n))
                for n, name in enumerate(ids)
                if found[n] is None
            ]
            remotes.sort(key=lambda pair: _order(pair[0]))
            batches = [
                self._bring(stack, backend, n, remote, given)
                for n, (remote, given) in enumerate(remotes)
            ]
            settings = self._checked(backend, batches)
            taken = [batch for batch in found if batch is not None]
            left = list(batches)
            while left and settings is not None:
                taken.append(self._take(left.pop(0), settings, is_last=not left))
                if taken[-1].became is Became.WAITING:
                    break
        return self._result(taken, left)

    # -- before anything is changed -------------------------------------------------------------------------------------------------

    def _known_profile(self) -> str:
        rows = list(
            self._ledger.rows("select profile from jobs where name = ?", (self._options.job,))
        )
        return str(rows[0]["profile"]) if len(rows) == 1 else _DEFAULT_PROFILE

    def _known(self, remote_id: str) -> FoundBatch | None:
        row = self._ledger.row(
            "select b.id, b.remote_status, b.request_count, j.name from batch_rows b join jobs j on j.id = b.job where b.remote_id = ?",
            (remote_id,),
        )
        if row is not None:
            elsewhere = "" if row["name"] == self._options.job else f", in job {row['name']}"
            return self._found(
                remote_id,
                row["remote_status"] or "",
                Became.KNOWN,
                batch=row["id"],
                items=row["request_count"],
                note=f"it is here already{elsewhere}",
            )
        if self._ledger.value("select 1 from strays where remote_id = ?", (remote_id,)):
            note = "it was looked at before, and settles nothing here"
            return self._found(remote_id, "", Became.KNOWN, note=note)
        return None

    def _retrieved(self, backend: Backend, name: str) -> RemoteBatch:
        try:
            remote = backend.retrieve(name)
        except NotFound as exc:
            raise NotFound(
                f"profile {self._profile!r}: the service does not know a batch {name!r} ({exc}). Nothing was adopted. "
                "A batch can be seen with the key of its own project only: --backend names another profile."
            ) from exc
        theirs = remote.metadata.get(LEDGER_KEY)
        token = remote.metadata.get(TOKEN_KEY)
        known = self._ledger.value("select id from batch_rows where token = ?", (token,))
        if known is not None:
            raise UsageError(
                f"batch {remote.id} bears the token of batch {known} of this home, and is not the one that this is. Nothing was adopted. "
                "The next `batchrun tick` settles which of them counts."
            )
        if theirs is not None or token is not None:
            is_ours = theirs in own_ledgers(self._ledger)
            whose = "of this home, whose ledger has lost it" if is_ours else "of another home"
            option = "" if is_ours or theirs is None else f" --ledger {theirs}"
            raise UsageError(
                f"batch {remote.id} was made by batchrun, for job {remote.metadata.get(JOB_KEY)!r} {whose}. Nothing was adopted. "
                f"Bring it back with its job file: batchrun recover FILE{option}"
            )
        if never_ran(remote):
            said = next((str(e.get("message")) for e in remote.errors if e.get("message")), "")
            raise UsageError(
                f"batch {remote.id} failed before any of it ran{': ' if said else ''}{said.rstrip('.')}. There is nothing to adopt. "
                "Submit its input file as a job: batchrun submit FILE"
            )
        return remote

    def _given(self, n: int) -> Path | None:
        inputs = self._options.inputs
        return inputs[n if len(inputs) > 1 else 0] if inputs else None

    def _bring(
        self,
        stack: contextlib.ExitStack,
        backend: Backend,
        n: int,
        remote: RemoteBatch,
        given: Path | None,
    ) -> Bringing:
        if given is not None:
            return Bringing(n=n, remote=remote, input=given, place=str(given), is_given=True)
        sent = stack.enter_context(
            downloaded(backend, self._ledger.home, remote.input_file_id or None)
        )
        if sent is None:
            why = (
                f"the service no longer has its input file ({remote.input_file_id}), which it keeps for 30 days as a rule"
                if remote.input_file_id
                else "the service does not show what it was made of"
            )
            raise UsageError(
                f"batch {remote.id}: {why}. Nothing was adopted. Name your own copy: --input FILE"
            )
        place = f"{remote.input_file_id} (input of {remote.id})"
        return Bringing(n=n, remote=remote, input=sent, place=place, is_given=False)

    def _checked(self, backend: Backend, batches: Sequence[Bringing]) -> JobSettings | None:
        """The settings of the job, after everything was read and agrees; None where there is no batch."""
        job = self._job()
        known = None if job is None else settings_from_json(job["settings"])
        settings = known
        for one in batches:
            read = self._brought.read(one)
            if settings is None:
                settings = replace(
                    read,
                    name=self._options.job,
                    path=adopted_source(self._options.job),
                    missing="keep",
                    window=one.remote.window or read.window,
                )
            if read.endpoint != settings.endpoint or not settings.is_raw:
                raise UsageError(
                    f"batch {one.remote.id} asks {read.endpoint}, and job {settings.name!r} is "
                    f"{f'of {settings.endpoint}' if settings.is_raw else 'no ready Batch file'}. Nothing was adopted. "
                    "Adopt it into a job of its own: --job NAME."
                )
            if one.is_given and not one.runs:
                with result_files(backend, self._ledger.home, one.remote) as files:
                    self._brought.check_answers(one, custom_ids_in(files, read.endpoint))
        if settings is not None and job is not None and batches:
            self._check_owner(job, settings)
        self._brought.check_together(batches, None if job is None else job["id"])
        return settings

    def _check_owner(self, job: sqlite3.Row, settings: JobSettings) -> None:
        """Into a job of a file comes only what that very file asks."""
        inputs = {str(path.resolve()) for path in self._options.inputs}
        if is_adopted(job["source"]) or inputs == {job["source"]}:
            return
        named = replace(settings, path=f"--job {settings.name}")
        problem = owner_problem(self._ledger, named, self._profile)
        assert problem is not None
        fix = "Adopt into another job, or name that file with --input if the batches were made of it. Nothing was adopted."
        raise JobFileError((problem._replace(line=None, fix=fix),))

    # -- one batch after the other ----------------------------------------------------------------------------------------------------

    def _take(self, one: Bringing, settings: JobSettings, *, is_last: bool) -> FoundBatch:
        job = self._job()
        remote = one.remote
        if not self._brought.open_count(one, None if job is None else job["id"]):
            with self._ledger.transaction():
                self._ledger.execute(
                    "insert or replace into strays (remote_id, profile, at) values (?, ?, ?)",
                    (remote.id, self._profile, self._ctx.clock.now()),
                )
                if is_last and job is not None:
                    let_go(self._ledger, job["id"], job["paused"])
            note = "all that it asks was answered before"
            return self._found(remote.id, remote.status, Became.KNOWN, note=note)
        batch, items = take_in(
            self._ctx,
            one,
            settings,
            profile=self._profile,
            limits=self._limits,
            job=job,
            is_last=is_last,
        )
        if remote.status not in TERMINAL_STATUSES:
            return self._found(remote.id, remote.status, Became.IN_FLIGHT, batch=batch, items=items)
        settle_ended(self._ctx, self._row(batch))
        row = self._row(batch)
        is_settled = BatchState(row["state"]) in FINAL_BATCH_STATES
        return self._found(
            remote.id,
            remote.status,
            Became.COLLECTED if is_settled else Became.WAITING,
            batch=batch,
            items=items,
            note=None if is_settled else row["reason"],
        )

    # -- what there is ------------------------------------------------------------------------------------------------------------------

    def _result(self, taken: Sequence[FoundBatch], left: Sequence[Bringing]) -> Adopted:
        job, tally = self._job(), {}
        if job is not None:
            if job["stale"] and not open_count(self._ledger, job["id"]):
                write_job_outputs(self._ctx, job["id"])
            tally = {s.name.lower(): n for s, n in counts(self._ledger, job["id"]).items()}
        return Adopted(
            job=self._options.job,
            profile=self._profile,
            batches=tuple(taken),
            counts=tally,
            left=tuple(one.remote.id for one in left),
            problems=tuple(self._ctx.problems),
        )

    def _job(self) -> sqlite3.Row | None:
        return self._ledger.row(
            "select * from jobs where name = ? and profile = ?", (self._options.job, self._profile)
        )

    def _row(self, batch: int) -> sqlite3.Row:
        row = self._ledger.row("select * from batch_rows where id = ?", (batch,))
        assert row is not None
        return row

    def _found(
        self,
        remote_id: str,
        status: str,
        became: Became,
        *,
        batch: int | None = None,
        items: int = 0,
        note: str | None = None,
    ) -> FoundBatch:
        return FoundBatch(
            remote_id=remote_id,
            profile=self._profile,
            job=self._options.job,
            ledger=None,
            status=status,
            became=became,
            batch=batch,
            items=items,
            note=note,
        )


def _order(remote: RemoteBatch) -> tuple[bool, int, str]:
    """As their answers came: what has ended by its end, then what runs by its beginning."""
    runs = remote.status not in TERMINAL_STATUSES
    since = remote.created_at if runs else remote.ended_at or remote.created_at
    return runs, since, remote.id
