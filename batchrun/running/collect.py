"""COLLECT: the result files of a batch become settled attempts. Streams from the spool; no network.

A result settles its item by (our batch row, custom_id) and by nothing else. The first line of an attempt wins; later ones, unknown ids and
lines that cannot be read are incidents (`strays.py`). An item without a line is settled by how its batch ended.
"""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from batchrun.backends.base import Traits
from batchrun.backends.reading import printable
from batchrun.endpoints.answer import Finish, Reading
from batchrun.endpoints.reading import make_reader
from batchrun.ledger.batches import move_batch
from batchrun.ledger.billing import settle_billing
from batchrun.ledger.connection import Ledger
from batchrun.ledger.criteria import judging
from batchrun.ledger.deadlines import BY_CHANGE, BY_DEADLINE, BY_PERSON
from batchrun.ledger.resultlines import result_lines
from batchrun.ledger.settling import RESULT_OUTCOMES, Answer, Prior, Settling
from batchrun.ledger.sharing import share_answers
from batchrun.ledger.states import BatchEvent, BatchState, ItemEvent
from batchrun.ledger.submissions import settings_from_json
from batchrun.ledger.turns import add_turn
from batchrun.memory import without_cycle_collection
from batchrun.model import JobSettings
from batchrun.planning.classify import Outcome
from batchrun.planning.policy import RUNS_PER_ATTEMPT, is_suspicious, retry_delay_s, settle
from batchrun.running.following import follow, uncalled
from batchrun.running.gone import asked_again_if_gone
from batchrun.running.reconciling import reconcile
from batchrun.running.strays import Strays

_encode: Final = msgspec.json.Encoder().encode
_STOP: Final = Finish.STOP
_FIRST_SEND: Final = 1
_BUFFER_BYTES: Final = 1 << 18
# Answers held before a run is sorted and inserted: the bound on memory. A full batch of answers of 600 bytes is one run, so that rows
# are appended and never squeezed in between others.
_HELD_BYTES: Final = 56_000_000
_ROW_BYTES: Final = 400  # what a row costs beside its text, roughly
_TAKEN_BACK: Final = (BY_DEADLINE, BY_CHANGE)
_RETRY_DELAYS_S: Final = Traits().retry_delays_s
_NOTHING: Final = Reading(
    None, Outcome.FAILED, None, None, None, None, Finish.NONE, 0, 0, None, 0, 0, None, None
)


@dataclass
class UnreadableResults(Exception):
    """More than 1 % of the lines of a result file cannot be read: it is damaged, or something else. Nothing was changed."""

    kind: int
    path: Path
    unreadable: int
    lines: int


# Outcome, cause and message for items without a line.
Missing = tuple[Outcome, str, str]
Doubt = Callable[[int, int], Missing | None]


def nobody_doubts(came_back: int, never_ran: int) -> Missing | None:  # noqa: ARG001 - the shape of a doubt
    """What is said of the missing lines is true, whatever came back."""
    return None


class Settled(NamedTuple):
    """How many items moved by which event, and how many lines were not ours to place."""

    moved: dict[ItemEvent, int]
    incident_count: int


def collect(
    ledger: Ledger,
    batch: sqlite3.Row,
    files: list[tuple[int, Path]],
    *,
    missing: Missing,
    doubt: Doubt = nobody_doubts,
    event: BatchEvent,
    at: int,
    failed: Mapping[int, str] | None = None,
    retry_delays_s: Sequence[int] = _RETRY_DELAYS_S,
    **columns: object,
) -> Settled:
    """Settle every attempt of `batch` and move it by `event` (COLLECTED, LOST or REJECTED), in one transaction.

    `files`: (kind, spool path) of those that exist, output first. `missing`: outcome, cause and message for items without any line;
    `doubt`: asked with how many lines came back, and how many of these say that nothing ran, before that is taken for true.
    `failed`: messages for single items that the service's validator named. `columns` are set on the batch row.
    `retry_delays_s`: those of the service (`backends/base.py`).
    Raises LedgerError, and UnreadableResults where the batch is not marked to be settled all the same; then nothing has changed, and the
    same call can be made again.
    """
    settings = settings_from_json(
        ledger.value("select settings from jobs where id = ?", (batch["job"],))
    )
    with without_cycle_collection(), ledger.transaction():
        settling = Settling(ledger, batch, at)
        lines = _Lines(
            ledger,
            settling,
            batch,
            settings,
            at,
            # A batch that was rejected never ran, and one that a submit took back says nothing of what was not sent: being in it does
            # not count against its items.
            has_run=event != BatchEvent.REJECTED and batch["cancel_requested"] != BY_CHANGE,
            retry_delays_s=retry_delays_s,
        )
        for kind, path in files:
            lines.take(kind, path)
        lines.settle_named(failed or {})
        lines.settle_missing(missing, doubt)
        moved = settling.finish()
        share_answers(
            ledger,
            job=batch["job"],
            at=at,
            batch=(batch["first_item"], batch["last_item"], batch["id"]),
        )
        lines.strays.record(at)
        if event == BatchEvent.COLLECTED:
            reconcile(ledger, batch, at)
        move_batch(
            ledger,
            batch["id"],
            before=BatchState(batch["state"]),
            event=event,
            at=at,
            detail={str(event): n for event, n in moved.items() if n},
            collected_at=at,
            **columns,
        )
        settle_billing(ledger, batch["id"], at)
        progressed = sum(n for e, n in moved.items() if e != ItemEvent.RELEASED)
        # What a deadline or a submit takes back goes on elsewhere, or otherwise: it says nothing against sending it.
        is_release = any(moved.values()) and batch["cancel_requested"] not in _TAKEN_BACK
        ledger.execute(
            "update jobs set stale = 1, releases = case when ? then 0 else releases + ? end where id = ?",
            (progressed, is_release, batch["job"]),
        )
    return Settled(moved, lines.strays.count)


class _Lines:
    """Reads lines and hands rows to the settling; `_expected` holds the attempts still open, custom_id -> item."""

    def __init__(
        self,
        ledger: Ledger,
        settling: Settling,
        batch: sqlite3.Row,
        settings: JobSettings,
        at: int,
        *,
        has_run: bool,
        retry_delays_s: Sequence[int],
    ) -> None:
        self._ledger, self._settling, self._batch, self._at = ledger, settling, batch, at
        self._has_run, self._retry_delays_s = has_run, retry_delays_s
        # The job may have other labels, another schema or another endpoint since these requests were made.
        asked = judging(ledger, settings, batch["request_file"])
        self._read = make_reader(replace(asked, endpoint=batch["endpoint"]))
        self._settings = replace(settings, endpoint=batch["endpoint"])
        self._is_cancelled = batch["cancel_requested"] == BY_PERSON
        self._expected = settling.open_attempts()
        self._asked_count, self._unrun_count = len(self._expected), 0
        self._prior: Prior = settling.prior(runs_from=RUNS_PER_ATTEMPT * settings.attempts)
        # Answers that call functions are none of the plain ones.
        self._is_plain = not any(self._prior) and not self._is_cancelled and settings.rounds is None
        self._rows: list[tuple[object, ...]] = []
        self._answers: list[Answer] = []
        self._held = 0
        self.strays = Strays(ledger, batch, held=(self._rows, self._answers))

    def take(self, kind: int, path: Path) -> None:
        """Every line of one file; they end at newlines only, since text may hold any other separator."""
        read, still_open = self._read, self._expected.pop
        first_sends = f"-{_FIRST_SEND}-"
        last_model, last_model_id = None, None
        answers, is_plain = self._answers, self._is_plain
        is_foreign = self._settling.is_named_elsewhere
        before = self._seen()
        end = 0
        with path.open("rb", buffering=_BUFFER_BYTES) as file:
            for line in result_lines(file):
                offset, end = end, end + len(line)
                reading = read(line)
                custom_id = reading.custom_id
                item = None if custom_id is None else still_open(custom_id, None)
                if item is None or custom_id is None:
                    if line.strip():
                        self.strays.note(kind, offset, reading)
                    continue
                if reading.model != last_model:
                    last_model = reading.model
                    last_model_id = self._settling.model_id(last_model)
                length = end - offset - line.endswith(b"\n")
                output = reading.output
                if is_plain and output is not None and (is_foreign or first_sends in custom_id):
                    finish = reading.finish
                    answers.append(
                        (
                            item, output, "stop" if finish is _STOP else finish.value, reading.input_tokens,
                            reading.cached_tokens, reading.cache_write_tokens, reading.output_tokens, reading.reasoning_tokens,
                            last_model_id, offset, length, reading.extras,
                        )
                    )  # fmt: skip
                    self._held += len(output) + len(reading.extras or b"") + _ROW_BYTES
                else:
                    place = (kind, offset, length)
                    self._settle(item, custom_id, reading, last_model_id, place, line=line)
                if self._held > _HELD_BYTES:
                    self._store(kind)
        lines, unreadable = (now - then for now, then in zip(self._seen(), before, strict=True))
        if is_suspicious(unreadable, lines) and not self._batch["takes_unreadable"]:
            raise UnreadableResults(kind, path, unreadable, lines)
        self._store(kind)

    def _seen(self) -> tuple[int, int]:
        """Lines so far, but for the first of them a constant: those that settled an item and those that did not; unreadable ones."""
        return self.strays.count - len(self._expected), self.strays.unreadable_count

    def settle_named(self, failed: Mapping[int, str]) -> None:
        """Items whose request the service refused by line number: nothing ran, and the same request would be refused again."""
        if not failed:
            return
        for custom_id, item in list(self._expected.items()):
            if (message := failed.get(item)) is not None:
                del self._expected[custom_id]
                refused = msgspec.structs.replace(
                    _NOTHING, cause="rejected", message=printable(message)
                )
                self._settle(item, custom_id, refused, None, (None, None, None))

    def settle_missing(self, missing: Missing, doubt: Doubt) -> None:
        """Items that no line spoke of."""
        if not self._expected:
            self._store()
            return
        came_back = self._asked_count - len(self._expected)
        outcome, cause, message = doubt(came_back, self._unrun_count) or missing
        # One text of the service for all of them: cut short once, since every row keeps a copy.
        nothing = msgspec.structs.replace(
            _NOTHING, outcome=outcome, cause=cause, message=printable(message)
        )
        for custom_id, item in self._expected.items():
            self._settle(item, custom_id, nothing, None, (None, None, None))
        self._expected = {}
        self._store()

    def _settle(
        self,
        item: int,
        custom_id: str,
        reading: Reading,
        model: int | None,
        place: tuple[int | None, int | None, int | None],
        *,
        line: bytes = b"",
    ) -> None:
        self._unrun_count += reading.outcome == Outcome.RELEASED
        # Of a batch that others made, custom_ids may be any text, and count nothing: see `Settling.finish`.
        is_foreign = self._settling.is_named_elsewhere
        sends = _FIRST_SEND if is_foreign else int(custom_id.split("-")[1])
        reading = asked_again_if_gone(self._ledger, self._batch["profile"], item, reading)
        if reading.cause == "uncertain" and self._settings.uncertain == "retry":
            reading = msgspec.structs.replace(reading, outcome=Outcome.RETRY)
        reading, turn, goes_on = follow(self._ledger, self._settings, item, reading, line)
        event, attempts = settle(
            reading.outcome,
            attempts=self._prior.attempts.get(item, 0),
            # The limit is for what goes wrong on the way; answers that were repaired have a limit of their own.
            attempts_limit=self._settings.attempts + self._prior.turns.get(item, 0),
            runs=self._prior.runs.get(item, 0) + self._has_run,
            is_cancelled=item in self._prior.vanished
            or (self._is_cancelled and item not in self._prior.wanted),
            is_superseded=item in self._prior.superseded,
            goes_on=goes_on,
        )
        if turn is not None and event == goes_on:
            add_turn(self._ledger, item=item, turn=turn)
        elif goes_on == ItemEvent.CALLED and event == ItemEvent.CANCELLED:
            reading = uncalled(reading)
        output = reading.output
        if output is None and reading.partial is not None:
            text: str | None = _encode(reading.partial).decode()
        else:
            text = None if output is None else output.decode()
        extras = None if reading.extras is None else reading.extras.decode()
        self._rows.append(
            (
                item, self._batch["id"], sends, attempts, self._at, RESULT_OUTCOMES[event], reading.cause,
                reading.message, text, reading.finish.value, reading.input_tokens, reading.cached_tokens,
                reading.cache_write_tokens, reading.output_tokens, reading.reasoning_tokens, model, *place, extras,
            )
        )  # fmt: skip
        self._held += len(text or "") + len(reading.message or "") + len(extras or "") + _ROW_BYTES
        if event != ItemEvent.SUCCEEDED:
            is_retry = event == ItemEvent.RETRY
            delay_s = retry_delay_s(attempts, self._retry_delays_s) if is_retry else 0
            not_before = self._at + delay_s
            self._settling.except_for(((item, event, not_before),))

    def _store(self, kind: int | None = None) -> None:
        """Hand over what is held; `kind` is the file that the held answers came from."""
        if self._answers:
            assert kind is not None
            self._settling.store_answers(self._answers, send=_FIRST_SEND, kind=kind)
            self._answers.clear()
        if self._rows:
            self._settling.store(self._rows)
            self._rows.clear()
        self._held = 0
