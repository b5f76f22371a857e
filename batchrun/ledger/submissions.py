"""One submit of one job, from its first item to the transaction that makes it visible.

Rows go in groups under a submission in state `preparing`; `plan()` sees none of them until `ready()` commits. A submission that
dies before that is swept by the next holder of the lock, as if it had never been.
"""

import contextlib
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import msgspec

from batchrun.ledger.askings import is_wanted, set_canary
from batchrun.ledger.attachments import drop_attached, sweep_contents, sync_contents
from batchrun.ledger.connection import Ledger
from batchrun.ledger.criteria import drop_unused
from batchrun.ledger.deadlines import set_deadline
from batchrun.ledger.equals import EqualRequests
from batchrun.ledger.held import hand_on
from batchrun.ledger.intake import Intake
from batchrun.ledger.items import count_added, open_count
from batchrun.ledger.jobs import archive_job
from batchrun.ledger.known import KnownItems
from batchrun.ledger.publishing import (
    BadRow,
    apply_revisions,
    drop_bad,
    flag_vanished,
    record_bad,
    record_order,
    requeue_cancelled,
    take_back,
)
from batchrun.ledger.states import ItemEvent, SubmissionState
from batchrun.ledger.tally import Tally
from batchrun.model import JobSettings, JsonObject, Limits

__all__ = ["Submission", "Tally", "settings_from_json", "settings_to_json", "sweep_preparing"]


class Submission:
    """Prepares one submission. Use under the home's lock: `begin`, then `intake` takes the items, then `ready` or `abandon`."""

    intake: Intake

    def __init__(
        self,
        ledger: Ledger,
        settings: JobSettings,
        *,
        profile: str,
        outputs: str,
        limits: Limits,
        at: int,
        is_fresh: bool = False,
        live_twin: str | None = None,
        in_process: frozenset[str] = frozenset(),
        is_shared: bool = False,
        servers: Collection[str] = (),
    ) -> None:
        """`is_fresh`: begin a new job; the one that has the name now is archived when this one is ready. `live_twin`: the profile that answers
        a live canary of it. `in_process`: the profiles whose lines run in our own passes, so that those not begun can be taken back.
        `is_shared`: equal requests are asked once. `servers`: the addresses that the profile stands for, whose answers to earlier jobs may be taken.
        """
        self._ledger, self.settings, self._limits = ledger, settings, limits
        self._is_fresh, self._live_twin = is_fresh, live_twin or profile
        self._in_process, self._is_shared, self._servers = in_process, is_shared, servers
        self._profile, self._outputs, self._at = profile, outputs, at
        self._bad: list[BadRow] = []
        self._canary_items: int | None = None

    def begin(self, *, items_from: str | None) -> None:
        """Insert the `preparing` row, and the job's where it is new."""
        with self._ledger.transaction():
            row = self._ledger.row(
                "select id from jobs where name = ? and profile = ?",
                (self._begun_name, self._profile),
            )
            if row is None:
                cursor = self._ledger.execute(
                    "insert into jobs (name, profile, source, settings, outputs, created_at) values (?, ?, ?, ?, ?, ?)",
                    (
                        self._begun_name,
                        self._profile,
                        self.settings.path,
                        settings_to_json(self.settings),
                        self._outputs,
                        self._at,
                    ),
                )
                self.job = int(cursor.lastrowid or 0)
            else:
                self.job = int(row["id"])
            first = 1 + int(
                self._ledger.value(
                    "select coalesce(max(seq), 0) from sqlite_sequence where name = 'item_rows'"
                )
            )
            cursor = self._ledger.execute(
                "insert into submissions (job, state, at, first_item, items_from) values (?, ?, ?, ?, ?)",
                (self.job, SubmissionState.PREPARING, self._at, first, items_from),
            )
            self.id = int(cursor.lastrowid or 0)
            known = KnownItems(self._ledger, self.job, first)
            if is_wanted(self._ledger, self.job, self.settings):
                assert self.settings.canary is not None
                self._canary_items = self.settings.canary.items
        self.equals = EqualRequests(
            self._ledger,
            self.settings,
            job=self.job,
            submission=self.id,
            first=first,
            profile=self._profile,
            is_shared=self._is_shared,
            servers=self._servers if self.settings.cache and not self._is_fresh else (),
        )
        self.intake = Intake(
            self._ledger,
            job=self.job,
            submission=self.id,
            settings=self.settings,
            limits=self._limits,
            known=known,
            first=first,
            canary_items=self._canary_items,
            hashes=self.equals.hashes,
        )
        if not known.is_empty:
            self._ledger.connection.executescript(
                "create temp table if not exists positions (item integer primary key, position integer) strict;"
                "create temp table if not exists again (item integer primary key) strict;"
                "create temp table if not exists kept (item integer primary key, hash blob, file integer, offset integer) strict;"
                "create temp table if not exists dropped (item integer primary key) strict;"
                "create temp table if not exists renamed (item integer primary key, name text) strict;"
                "delete from positions; delete from kept; delete from again; delete from dropped; delete from renamed;"
            )

    def add_bad(self, rows: Sequence[BadRow]) -> None:
        """Bad items within the job's bad_items: they become failures when the submission is ready."""
        self._bad = list(rows)
        self.intake.tally.bad = len(self._bad)

    def find_vanished(self) -> None:
        """Count the known items that this submission did not bring (after the last one is taken)."""
        self.intake.tally.vanished = sum(1 for _ in self.intake.known.vanished())

    def find_equal(self) -> None:
        """Find and count the requests that need not be asked, since equal ones are or were (after the last item is taken)."""
        intake = self.intake
        intake.flush()
        has_earlier = not intake.known.is_empty
        self.equals.find(intake.files.readable(), intake.tally, has_earlier=has_earlier)

    def foresee_canary(self) -> None:
        """Count what would go first, after the last item is taken: nothing, where that is all there is."""
        tally = self.intake.tally
        queued = tally.asked
        if self._canary_items is None or queued <= self._canary_items:
            return
        written = sum(writer.request_count for writer in self.intake.files.first.values())
        first = written or self._canary_items
        tally.canary = first if first < queued else 0

    def ready(self, *, keep_missing: bool, also: Callable[[], None] = lambda: None) -> None:
        """Make the submission visible, in one transaction, whose last part is `also`."""
        self.intake.close_files()
        if self.settings.attach:
            sync_contents(self._ledger.home)
        ledger, at, job = self._ledger, self._at, self.job
        with ledger.transaction():
            if self._is_fresh:
                hand_on(ledger, name=self.settings.name, profile=self._profile, job=job)
                archive_job(ledger, self.settings.name, self._profile, at)
                ledger.execute("update jobs set name = ? where id = ?", (self.settings.name, job))
            self.intake.files.finish()
            known, tally = self.intake.known, self.intake.tally
            requeued = 0
            drop_bad(ledger, job=job, at=at)
            if not known.is_empty:
                apply_revisions(ledger, job=job, submission=self.id, at=at)
                requeued = requeue_cancelled(ledger, job=job, at=at)
                if not keep_missing:
                    flag_vanished(ledger, known, job=job, at=at)
                take_back(ledger, job=job, profiles=self._in_process)
                record_order(
                    ledger,
                    job=job,
                    is_in_order=self.intake.is_in_order,
                    keep_missing=keep_missing,
                )
            count_added(ledger, job=job, event=ItemEvent.ADDED, n=tally.new, at=at)
            record_bad(ledger, self._bad, job=job, at=at)
            self.equals.follow(tally, at)
            first = [writer.id for writer in self.intake.files.first.values()]
            set_canary(
                ledger,
                self.settings,
                job=job,
                submission=self.id,
                files=first,
                live_twin=self._live_twin,
            )
            set_deadline(
                ledger,
                job=job,
                text=self.settings.deadline,
                at=at,
                asks=bool(tally.new or tally.changed or requeued),
            )
            ledger.execute(
                "update jobs set settings = ?, submission = ?, source = ?, outputs = ?, stale = 1, "
                # Where nothing is asked, the end that was told stays the job's end.
                "reported_at = case when ? then null else reported_at end, "
                "paused = null, pause_told_at = null, releases = 0, request_cap = null where id = ?",
                (
                    settings_to_json(self.settings),
                    self.id,
                    self.settings.path,
                    self._outputs,
                    bool(tally.new or tally.changed or open_count(ledger, job)),
                    job,
                ),
            )
            ledger.execute(
                "update submissions set state = ?, tally = ? where id = ?",
                (SubmissionState.READY, msgspec.json.encode(tally).decode(), self.id),
            )
            also()
        for row in list(
            ledger.rows("select id from submissions where job = ? and id <> ?", (job, self.id))
        ):
            _remove(ledger.home.fields_file(row["id"]))
        if self.settings.attach:
            sweep_contents(
                ledger
            )  # those of unchanged items that need none any more were kept anew

    def abandon(self) -> None:
        """Undo everything of this submission: rows, files, and the job if it began with it."""
        self.intake.abandon()
        self.equals.close()
        sweep_preparing(self._ledger)

    @property
    def _begun_name(self) -> str:
        """The job's name until it is ready: one that starts over has none that a user could have given."""
        return f"{self.settings.name}~fresh" if self._is_fresh else self.settings.name


def sweep_preparing(ledger: Ledger) -> int:
    """Undo every submission that never became ready; only under the home's lock. Returns how many there were."""
    with ledger.transaction():
        dead = list(
            ledger.rows(
                "select id, job, first_item from submissions where state = ?",
                (SubmissionState.PREPARING,),
            )
        )
        files: list[int] = []
        for row in dead:
            # Only the holder of the lock adds items, so everything from first_item on is this submission's.
            ledger.execute(
                "delete from content_items where job = ? and item >= ?",
                (row["job"], row["first_item"]),
            )
            ledger.execute("delete from item_rows where id >= ?", (row["first_item"],))
            ledger.execute(
                "update sqlite_sequence set seq = ? where name = 'item_rows'",
                (row["first_item"] - 1,),
            )
            ledger.execute("delete from revisions where submission = ?", (row["id"],))
            files += [
                int(f["id"])
                for f in ledger.rows(
                    "select id from request_files where submission = ?", (row["id"],)
                )
            ]
            drop_attached(
                ledger,
                "file in (select id from request_files where submission = ?)",
                (row["id"],),
            )
            ledger.execute("delete from request_files where submission = ?", (row["id"],))
            drop_unused(ledger, row["job"])
            ledger.execute("delete from submissions where id = ?", (row["id"],))
            ledger.execute("delete from jobs where id = ? and submission is null", (row["job"],))
        # Files before their rows are gone: whoever dies in between is followed by one who still knows them.
        for file in files:
            _remove(ledger.home.request_file(file))
        for row in dead:
            _remove(ledger.home.fields_file(row["id"]))
    if dead:
        sweep_contents(ledger)
    return len(dead)


def _remove(path: Path) -> None:
    """Give up a file that no row names any more. One that the disk keeps costs space and nothing else: its name is written over."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def settings_to_json(settings: JobSettings) -> str:
    """The settings as they are stored with a job."""
    return msgspec.json.encode(settings).decode()


def settings_from_json(text: str) -> JobSettings:
    """The settings stored with a job."""
    return msgspec.json.decode(text, type=JobSettings)


def submitted_tools(ledger: Ledger, name: str, profile: str) -> tuple[JsonObject, ...]:
    """The functions that a job was submitted with; none of a job that is not there."""
    stored = ledger.value(
        "select settings from jobs where name = ? and profile = ?", (name, profile)
    )
    return () if stored is None else settings_from_json(stored).tools
