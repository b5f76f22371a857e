"""One batch of the service after the other: known, brought here and settled, or left as what it is.

Everything asks the same of a batch: may its items be asked again? Only when it is settled, never ran, or holds no item of ours. What cannot be
told yet is WAITING, and keeps the profile on hold.
"""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from batchrun.backends.base import TERMINAL_STATUSES, Backend, RemoteBatch
from batchrun.customids import parts_of
from batchrun.ledger.attachments import job_attaches
from batchrun.ledger.home import Home
from batchrun.ledger.origins import former_ledgers
from batchrun.ledger.spool import publish
from batchrun.ledger.states import FINAL_BATCH_STATES, BatchState
from batchrun.ledger.submissions import settings_from_json
from batchrun.model import JOB_KEY, LEDGER_KEY, REQUESTS_KEY, TOKEN_KEY
from batchrun.planning.classify import Outcome
from batchrun.recovery.downloading import downloaded, result_files
from batchrun.recovery.found import Became, FoundBatch
from batchrun.recovery.importing import Origin, bring_to_service, end_batch, import_batch
from batchrun.recovery.matching import Matched, Matcher
from batchrun.recovery.putback import is_missed, put_back
from batchrun.recovery.sentlines import SentRequest, read_requests
from batchrun.recovery.unclaimed import Unclaimed
from batchrun.recovery.unplaced import custom_ids_in
from batchrun.running.context import PassContext
from batchrun.running.ended import settle_ended
from batchrun.running.refusing import reject, remove_cut_file
from batchrun.running.results import never_ran

_NOT_CREATED: Final = (BatchState.PLANNED, BatchState.UPLOADED)
_UNPROVEN: Final = (
    "what it asked is not proven to be what the job asks now: `recover --by-id` gives its answers to {0:,} items "
    "by their ids alone"
)
_ASKED_ELSEWHERE: Final = "its requests were sent in other batches, which the service has"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """The recovery of one profile. `jobs`: job rows by the name in the metadata of their batches; `ours`: ids of ledgers; `chosen`: of
    several batches with one token the one that counts, by token; `takes_unproven`: where only ids are left to tell whose an answer is, they do.
    """

    ctx: PassContext
    profile: str
    matcher: Matcher
    jobs: Mapping[str, sqlite3.Row]
    ours: frozenset[str]
    chosen: Mapping[str, RemoteBatch]
    takes_unproven: bool

    def settle(self, remote: RemoteBatch) -> FoundBatch:
        """Do what is to be done with a batch; the caller brings them in the order of their creation. Raises BackendError, LedgerError."""
        row = self._row_of(remote)
        if row is not None and row["remote_id"] in {None, remote.id}:
            return self._advance(row, remote)
        if row is None and remote.metadata.get(LEDGER_KEY) not in self.ours:
            return FoundBatch.of(remote, self.profile, Became.FOREIGN)
        if never_ran(remote):
            self._unclaimed.note(remote, None)
            return FoundBatch.of(remote, self.profile, Became.NEVER_RAN)
        token = remote.metadata.get(TOKEN_KEY, "")
        if row is not None or self.chosen[token].id != remote.id:
            return self._unclaimed.whole(remote, note="a second batch of one intent")
        job = self.jobs.get(remote.metadata.get(JOB_KEY, ""))
        if job is None:
            return self._unclaimed.whole(remote, note="its job is in none of the job files")
        return self._bring(remote, job)

    # -- batches that the ledger knows ----------------------------------------------------------------------------------------

    def _row_of(self, remote: RemoteBatch) -> sqlite3.Row | None:
        ledger = self.ctx.ledger
        return ledger.row(
            "select * from batch_rows where remote_id = ?", (remote.id,)
        ) or ledger.row(
            "select * from batch_rows where token = ?1 or (remote_id is null and input_file_id = ?2)",
            (remote.metadata.get(TOKEN_KEY), remote.input_file_id),
        )

    def _advance(self, row: sqlite3.Row, remote: RemoteBatch) -> FoundBatch:
        state, at = BatchState(row["state"]), self.ctx.clock.now()
        if is_missed(self.ctx.ledger, row["job"], row["request_file"]):
            with downloaded(self._backend, self._home, remote.input_file_id) as sent:
                if sent is not None:
                    put_back(self.ctx.ledger, row["job"], sent)
        if state in FINAL_BATCH_STATES:
            return self._unclaimed.part_of(row, remote, Became.KNOWN)
        has_ended = remote.status in TERMINAL_STATUSES
        if state in {*_NOT_CREATED, BatchState.CREATING}:
            if never_ran(remote):
                return FoundBatch.of(remote, self.profile, Became.NEVER_RAN, batch=row["id"])
            with self.ctx.ledger.transaction():
                bring_to_service(
                    self.ctx.ledger, row["id"], remote, self._origin(remote), state=state, at=at
                )
        elif state is BatchState.CREATED and has_ended:
            with self.ctx.ledger.transaction():
                end_batch(self.ctx.ledger, row["id"], remote, at)
        return self._settle_row(row["id"], remote, items=row["request_count"])

    def _settle_row(self, batch: int, remote: RemoteBatch, *, items: int) -> FoundBatch:
        """Collect a batch row that has ended; one that runs on is left to the passes to come."""
        row = self._row(batch)
        if row["state"] == BatchState.CREATED:
            return FoundBatch.of(remote, self.profile, Became.IN_FLIGHT, batch=batch, items=items)
        settle_ended(self.ctx, row)
        row = self._row(batch)
        if BatchState(row["state"]) not in FINAL_BATCH_STATES:
            return FoundBatch.of(
                remote, self.profile, Became.WAITING, batch=batch, items=items, note=row["reason"]
            )
        return self._unclaimed.part_of(row, remote, Became.COLLECTED, items=items)

    # -- batches that it does not know ----------------------------------------------------------------------------------------

    def _bring(self, remote: RemoteBatch, job: sqlite3.Row) -> FoundBatch:
        ended = remote.status in TERMINAL_STATUSES
        with downloaded(self._backend, self._home, remote.input_file_id) as sent:
            if sent is not None:
                put_back(self.ctx.ledger, job["id"], sent)
                self.matcher.load(read_requests(sent))
                matched = self._matched(remote, job, sent)
                if not matched.items:
                    return self._unclaimed.whole(
                        remote, note="its job asks none of its requests now"
                    )
                if not (matched.is_proven or self.takes_unproven):
                    return self._unclaimed.whole(remote, note=_UNPROVEN.format(matched.items))
                batch = self._import(remote, job, matched, sent)
            elif not ended:
                note = "it runs, and its input file is gone: which items it asks is known when it has ended"
                return FoundBatch.of(remote, self.profile, Became.WAITING, note=note)
            else:
                return self._bring_by_answers(remote, job)
        return self._settle_row(batch, remote, items=matched.items)

    def _matched(self, remote: RemoteBatch, row: sqlite3.Row, sent: Path) -> Matched:
        """Match the loaded requests of a batch, whose input file is `sent`, with the items of a job, by its row."""
        job, ours = row["id"], self._is_of_this_ledger(remote)
        states = self._unsent(remote)
        if not job_attaches(self.ctx.ledger, job):
            wanted = settings_from_json(row["settings"]).repair
            self.matcher.recall(job, sent, numbers_are_ours=ours)
            self._release(self.matcher.overlapping(job, sent, wanted, states=states))
            matched = self.matcher.match(job)
            if not matched.others:
                return matched
            return self.matcher.match_follow_ups(job, sent, wanted, at=self.ctx.clock.now())
        # What was sent has data or file ids where the stored requests name contents: the hash of all of them is the proof.
        proof = remote.metadata.get(REQUESTS_KEY)
        self._release(
            self.matcher.overlapping_ids(job, proof, numbers_are_ours=ours, states=states)
        )
        return self.matcher.match_ids(
            job, proof, numbers_are_ours=ours, sent=sent, at=self.ctx.clock.now()
        )

    def _bring_by_answers(self, remote: RemoteBatch, job: sqlite3.Row) -> FoundBatch:
        """The input file is gone: the answers' own custom_ids tell whose they are."""
        with result_files(self._backend, self._home, remote) as files:
            if not files:
                return self._unclaimed.nothing_left(remote)
            ids = custom_ids_in(files, remote.endpoint or "")
            self.matcher.load(
                SentRequest(identifier, *parts, None)
                for identifier in ids
                if (parts := parts_of(identifier)) is not None
            )
            matched = self.matcher.match_ids(
                job["id"],
                remote.metadata.get(REQUESTS_KEY),
                numbers_are_ours=self._is_of_this_ledger(remote),
                sent=None,
                at=self.ctx.clock.now(),
            )
            if not matched.items:
                return self._unclaimed.whole(
                    remote, note="its input file is gone, and no answer is any item's by its id"
                )
            if not (matched.is_proven or self.takes_unproven):
                return self._unclaimed.whole(remote, note=_UNPROVEN.format(matched.items))
            batch = self._import(remote, job, matched, None)
            for kind, path in files:
                publish(path, self._home.result_file(batch, kind))
        return self._settle_row(batch, remote, items=matched.items)

    def _import(
        self, remote: RemoteBatch, job: sqlite3.Row, matched: Matched, sent: Path | None
    ) -> int:
        return import_batch(
            self.ctx.ledger,
            remote,
            self._origin(remote),
            job=job,
            sent=sent,
            stray_count=matched.others,
            at=self.ctx.clock.now(),
        )

    def _unsent(self, remote: RemoteBatch) -> tuple[BatchState, ...]:
        """States in which an older ledger still means to send a batch that this one may overlap."""
        if self._is_of_this_ledger(remote):
            # It is this ledger's own later life that found the creation dead; another ledger knows nothing of it.
            return (*_NOT_CREATED, BatchState.CREATING)
        return _NOT_CREATED

    def _release(self, overlapping: list[sqlite3.Row]) -> None:
        """Release batches that an older ledger still means to send, of items that were sent in another one since."""
        for row in overlapping:
            if row["token"] not in self.chosen:
                reject(self.ctx, row, _ASKED_ELSEWHERE, outcome=Outcome.RELEASED, cause="rejected")
                remove_cut_file(self.ctx, row)

    def _is_of_this_ledger(self, remote: RemoteBatch) -> bool:
        """Whether this ledger sent it, in an earlier or a later life, and not another one that it stands in for."""
        return remote.metadata.get(LEDGER_KEY) in former_ledgers(self.ctx.ledger)

    # -- the service ------------------------------------------------------------------------------------------------------------

    @property
    def _backend(self) -> Backend:
        return self.ctx.backend(self.profile)

    def _origin(self, remote: RemoteBatch) -> Origin:
        traits = self._backend.traits
        return Origin(
            profile=self.profile,
            account=self.ctx.accounts[self.profile],
            token=remote.metadata.get(TOKEN_KEY, ""),
            input_file_created_at=remote.created_at,
            audit_until=self.ctx.clock.now() + 2 * (traits.settle_s + traits.second_settle_s),
        )

    # -- the ledger -------------------------------------------------------------------------------------------------------------

    @property
    def _unclaimed(self) -> Unclaimed:
        return Unclaimed(ctx=self.ctx, profile=self.profile)

    @property
    def _home(self) -> Home:
        return self.ctx.ledger.home

    def _row(self, batch: int) -> sqlite3.Row:
        row = self.ctx.ledger.row("select * from batch_rows where id = ?", (batch,))
        assert row is not None
        return row
