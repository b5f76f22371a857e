"""Settling a batch: every attempt of it, in one transaction.

Rows go in as they are read (the ledger is never asked about an item twice), sorted in runs of bounded size; the common event, success,
moves its items with one statement at the end. Only what did not succeed is looked at item by item.
"""

import sqlite3
from collections.abc import Iterable
from itertools import chain
from operator import itemgetter
from typing import Final, NamedTuple, TypeAlias

from batchrun.customids import custom_ids
from batchrun.ledger.connection import Ledger
from batchrun.ledger.deadlines import BY_CHANGE
from batchrun.ledger.history import STILL_TRIED, keep_history
from batchrun.ledger.items import move_items
from batchrun.ledger.opencalls import no_open_call
from batchrun.ledger.origins import custom_ids_of
from batchrun.ledger.states import BatchState, ItemEvent, ItemState
from batchrun.ledger.turns import drop_turns, turn_counts
from batchrun.ledger.usage import UsageCount

RESULT_OUTCOMES: Final = {
    ItemEvent.SUCCEEDED: 0,
    ItemEvent.GAVE_UP: 1,
    ItemEvent.RETRY: 2,
    ItemEvent.RELEASED: 3,
    ItemEvent.CANCELLED: 4,
    ItemEvent.SUPERSEDED: 5,
    ItemEvent.REPAIR: 6,
    ItemEvent.CALLED: 7,
}
# Events after which the item is sent again.
_AGAIN: Final = (
    *(ItemEvent.RETRY, ItemEvent.REPAIR, ItemEvent.CALLED),
    *(ItemEvent.RELEASED, ItemEvent.SUPERSEDED),
)
_INSERT: Final = (
    "insert into result_rows (item, batch, send, attempts, at, outcome, cause, message, output, finish, input_tokens, "
    "cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens, model, kind, offset, length, extras) "
    "values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


_INSERT_ANSWERS: Final = (
    "insert into result_rows (item, batch, send, attempts, at, outcome, output, finish, input_tokens, "
    "cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens, model, kind, offset, length, extras) values "
)
_ROWS_A_STATEMENT: Final = 100  # starting a statement costs as much as a row
_TOKENS_OF_ANSWERS: Final = (3, 4, 5, 6, 7)  # in Answer
_TOKENS: Final = itemgetter(10, 11, 12, 13, 14)  # in rows for _INSERT
_OUTPUT, _MODEL = 8, 15

# The items in flight in a batch: its first and last item, and its number.
_MINE: Final = f"id between ? and ? and batch = ? and state = {int(ItemState.IN_FLIGHT)}"
# Batches that were collected or lost may have run; those that were rejected did not, and those that a submit took back do not count.
# What settled an item for good began its count anew.
_RUNS: Final = f"""
select h.item, count(*) from history h join batch_rows b on b.id = h.batch
where h.item in (select id from item_rows where {_MINE} and sends >= ?)
  and b.state in ({int(BatchState.COLLECTED)}, {int(BatchState.LOST)}) and b.cancel_requested <> {BY_CHANGE} and h.id > coalesce(
    (select max(d.id) from history d where d.item = h.item and d.outcome not in {STILL_TRIED}), 0)
group by h.item
"""

# (item, output, finish, input, cached, cache write, output and reasoning tokens, model, offset, length, extras)
Answer: TypeAlias = tuple[
    int, bytes, str, int, int, int | None, int, int, int | None, int, int, bytes | None
]


class Prior(NamedTuple):
    """What came before, of the items that it concerns.

    `attempts` spent (absent: none), `runs`: batches that may have run them since they were last asked for (looked up only of items that
    were sent often), `turns` of the conversation so far (absent: none); items that a waiting revision supersedes, that have vanished, and
    that were wanted again after their job was cancelled.
    """

    attempts: dict[int, int]
    runs: dict[int, int]
    turns: dict[int, int]
    superseded: set[int]
    vanished: set[int]
    wanted: set[int]


class Settling:
    """The transaction of one batch. Use inside `ledger.transaction()`: `open_attempts`, `prior`, `store`…, `except_for`…, `finish`."""

    def __init__(self, ledger: Ledger, batch: sqlite3.Row, at: int) -> None:
        self._ledger, self._batch, self._at = ledger, batch, at
        self._mine = (batch["first_item"], batch["last_item"], batch["id"])
        self._has_vanished = False
        self._usage = UsageCount()
        self.is_named_elsewhere = False  # its custom_ids are not those of this ledger
        self._models: dict[str, int] = {
            row["name"]: row["id"] for row in ledger.rows("select id, name from models")
        }
        ledger.connection.execute(
            "create temp table if not exists settled (item integer primary key, event text, not_before integer) strict"
        )
        ledger.execute("delete from settled")

    def open_attempts(self) -> dict[str, int]:
        """custom_id -> item, of every item in flight in this batch, by id."""
        rows = self._ledger.connection.execute(
            f"select id, sends, key from item_rows where {_MINE} order by id",
            self._mine,
        ).fetchall()
        if not rows:
            return {}
        items, sends, keys = zip(*rows, strict=True)
        identifiers = custom_ids(items, sends, keys)
        if recorded := custom_ids_of(self._ledger, self._batch["id"]):
            self.is_named_elsewhere = True
            identifiers = list(map(recorded.get, items, identifiers))
        return dict(zip(identifiers, items, strict=True))

    def prior(self, *, runs_from: int) -> Prior:
        """What must be known of the few; then earlier results make room, since `result_rows` holds an item's last one only.

        `runs_from`: how often an item must have been sent for its runs to matter.
        """
        execute = self._ledger.connection.execute
        mine = f"select id from item_rows where {_MINE}"
        sends, vanished = execute(
            f"select max(sends), max(vanished) from item_rows where {_MINE}",
            self._mine,
        ).fetchone()
        prior = Prior({}, {}, {}, set(), set(), set())
        if sends is not None and sends > 1:
            again = f"{mine} and sends > 1"
            prior.attempts.update(
                execute(
                    f"select item, attempts from result_rows where item in ({again})", self._mine
                )
            )
            prior.turns.update(turn_counts(self._ledger, again, self._mine))
            keep_history(self._ledger, again, self._mine)
            if sends >= runs_from:
                prior.runs.update(execute(_RUNS, (*self._mine, runs_from)))
        if vanished:
            self._has_vanished = True
            prior.vanished.update(row[0] for row in execute(f"{mine} and vanished = 1", self._mine))
        if self._ledger.value("select exists (select 1 from revisions where deferred = 1)"):
            deferred = (
                "select r.item, r.hash is i.hash from revisions r join item_rows i on i.id = r.item "
                f"where r.deferred = 1 and r.item in ({mine})"
            )
            for item, is_same in execute(deferred, self._mine):
                (prior.wanted if is_same else prior.superseded).add(item)
            if prior.wanted:
                # A wish to be asked again if this batch brings no answer, which it is about to say.
                execute(
                    "delete from revisions as r where deferred = 1 and hash is (select hash from item_rows where id = r.item) "
                    f"and item in ({mine})",
                    self._mine,
                )
        return prior

    def model_id(self, name: str | None) -> int | None:
        """The number of a model's name."""
        if name is None:
            return None
        found = self._models.get(name)
        if found is None:
            self._ledger.execute("insert or ignore into models (name) values (?)", (name,))
            found = int(self._ledger.value("select id from models where name = ?", (name,)))
            self._models[name] = found
        return found

    def store(self, rows: list[tuple[object, ...]]) -> None:
        """Insert result rows, in the order of their items; see `_INSERT` for the columns."""
        rows.sort(key=_by_item)
        self._ledger.executemany(_INSERT, rows)
        for row in rows:
            is_answered = row[_OUTPUT] is not None or row[_MODEL] is not None
            self._usage.add(*_TOKENS(row), is_answered=is_answered)

    def store_answers(self, answers: list[Answer], *, send: int, kind: int) -> None:
        """The same for answers to first attempts, which nearly all are: a hundred rows a statement, constants in its text."""
        answers.sort(key=itemgetter(0))
        # As bytes, an answer is neither decoded here nor encoded again by the binding; it is UTF-8 from our own encoder.
        row = f"(?, {self._batch['id']}, {send}, 1, {self._at}, 0, cast(? as text), ?, ?, ?, ?, ?, ?, ?, {kind}, ?, ?, cast(? as text))"
        whole = len(answers) - len(answers) % _ROWS_A_STATEMENT
        groups = (
            list(chain.from_iterable(answers[start : start + _ROWS_A_STATEMENT]))
            for start in range(0, whole, _ROWS_A_STATEMENT)
        )
        self._ledger.executemany(_INSERT_ANSWERS + ",".join([row] * _ROWS_A_STATEMENT), groups)
        if rest := answers[whole:]:
            self._ledger.execute(
                _INSERT_ANSWERS + ",".join([row] * len(rest)), list(chain.from_iterable(rest))
            )
        self._usage.add_answers(answers, _TOKENS_OF_ANSWERS)

    def except_for(self, rows: Iterable[tuple[int, ItemEvent, int]]) -> None:
        """Items whose event is not SUCCEEDED, as (item, event, not before)."""
        self._ledger.executemany("insert into settled values (?, ?, ?)", rows)

    def finish(self) -> dict[ItemEvent, int]:
        """Move every item of the batch; returns how many by event. All that is in flight still has succeeded."""
        ledger, job, at, batch = self._ledger, self._batch["job"], self._at, self._batch["id"]
        if self.is_named_elsewhere:
            # The custom_ids count the sendings of another ledger, or nothing; results count ours.
            ledger.execute(
                "update result_rows set send = i.sends from item_rows i where i.id = result_rows.item "
                "and result_rows.item between ? and ? and result_rows.batch = ? and i.batch = result_rows.batch",
                self._mine,
            )
        self._revise_superseded()
        moved: dict[ItemEvent, int] = {}
        for (name,) in ledger.connection.execute("select distinct event from settled").fetchall():
            event = ItemEvent(name)
            again = event in _AGAIN
            moved[event] = move_items(
                ledger,
                job=job,
                event=event,
                where="id in (select item from settled where event = ?)",
                parameters=(name,),
                at=at,
                batch=batch,
                sets="batch = null" if again else "",
            )
        ledger.execute(
            "insert or replace into queue (item, job, not_before) select item, ?, not_before from settled "
            f"where event in ({', '.join(repr(str(event)) for event in _AGAIN)}) and {no_open_call('settled.item')}",
            (job,),
        )
        moved[ItemEvent.SUCCEEDED] = move_items(
            ledger,
            job=job,
            event=ItemEvent.SUCCEEDED,
            where="id between ? and ? and batch = ?",
            parameters=self._mine,
            at=at,
            batch=batch,
            among=None if self._has_vanished else ((ItemState.IN_FLIGHT, 0),),
        )
        self._usage.store(ledger, batch)
        return moved

    def _revise_superseded(self) -> None:
        ledger = self._ledger
        chosen = "select item from settled where event = 'superseded'"
        if not ledger.value(f"select exists ({chosen})"):
            return
        # The answer to the old question is kept, but it is not the item's answer.
        keep_history(ledger, chosen, ())
        ledger.execute(
            "update item_rows set hash = r.hash, file = r.file, offset = r.offset "
            f"from revisions r where r.item = item_rows.id and r.deferred = 1 and item_rows.id in ({chosen})"
        )
        ledger.execute(f"delete from revisions where deferred = 1 and item in ({chosen})")
        drop_turns(ledger, chosen)


def _by_item(row: tuple[object, ...]) -> int:
    item = row[0]
    assert isinstance(item, int)
    return item
