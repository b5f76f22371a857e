"""The life of one item: what was asked, in which batches, what came back, and what it cost."""

import dataclasses
import difflib
from dataclasses import dataclass
from typing import Final

import msgspec

from batchrun.clock import rfc3339
from batchrun.errors import UsageError
from batchrun.ledger.connection import Ledger
from batchrun.ledger.states import BatchEvent, BatchState, ItemState
from batchrun.ledger.toolcalls import calls_of
from batchrun.ledger.turns import turns_of
from batchrun.model import Json, JsonObject, Usage
from batchrun.outputs.evidence import (
    is_request_pruned,
    is_result_pruned,
    json_value,
    raw_line,
    request_at,
    sent_custom_id,
)
from batchrun.outputs.rows import JobView, job_view, snapshot
from batchrun.outputs.sharing import answered_with, waits_for

OUTCOMES: Final = (
    "succeeded",
    "failed",
    "retry",
    "released",
    "cancelled",
    "superseded",
    "repair",
    "called",
)
SHARED: Final = "shared"  # the outcome of what was not asked: another asked the same
_NEIGHBOURS: Final = 50  # ids looked at on either side of one that does not exist
_NEAR: Final = 3
_BATCH_EVENTS: Final = frozenset(event.value for event in BatchEvent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One request of the item. `outcome` is `open` while it is on its way, and `shared` where an equal request was asked in its place, by another item; `send` counts sendings, as in the custom_id.

    `raw` is the result line as received; None where there was none, or where it was pruned (`raw_pruned`).
    """

    batch: int
    remote_id: str | None
    remote_status: str | None
    send: int | None
    custom_id: str | None
    outcome: str
    at: int | None
    cause: str | None
    message: str | None
    finish: str | None
    usage: Usage
    model: str | None
    raw: str | None
    raw_pruned: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of a function, in the answer to attempt `send`. `output` is what the model was told; None while it waits."""

    send: int
    call_id: str
    name: str
    arguments: str
    output: str | None
    is_error: bool
    at: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One event of a batch that carried the item; `before` and `after` are states of the batch, or of `count` items moved together."""

    at: int
    batch: int
    event: str
    before: str | None
    after: str | None
    count: int
    detail: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Everything the ledger and the spool know of one item. `request` is None for an item that could not be rendered, or whose
    request was pruned (`request_pruned`).

    `waiting_request`: what the item became while it was in flight; it goes out when the open attempt is settled. `not_before`: when a
    pending item may go again, unix seconds. `output` is there when `state` is succeeded; `extras`: what came beside the last answer, by name.
    `waits_for`: the item whose answer it waits for, since that asks the same; `answered_with`: the item whose answer it has.
    `request` is what is asked now, with the conversation so far; `calls` are the functions that were called in it.
    """

    job: str
    profile: str
    id: str
    state: str
    is_vanished: bool
    request: Json
    request_pruned: bool
    waiting_request: Json
    not_before: int | None
    output: Json
    extras: JsonObject
    cause: str | None
    message: str | None
    attempts: tuple[Attempt, ...]
    steps: tuple[Step, ...]
    calls: tuple[Call, ...] = ()
    waits_for: str | None = None
    answered_with: str | None = None

    def to_json(self) -> JsonObject:
        """As `batchrun explain --json` prints it: keys as the fields, times RFC 3339."""
        shown: JsonObject = msgspec.to_builtins(
            dataclasses.replace(self, attempts=(), steps=(), calls=())
        )
        shown["not_before"] = _time(self.not_before)
        shown["attempts"] = [msgspec.to_builtins(a) | {"at": _time(a.at)} for a in self.attempts]
        shown["calls"] = [msgspec.to_builtins(c) | {"at": _time(c.at)} for c in self.calls]
        shown["steps"] = [msgspec.to_builtins(s) | {"at": _time(s.at)} for s in self.steps]
        return shown


def explain(ledger: Ledger, job_id: int, item_id: str) -> Explanation:
    """The life of the item with this id (of an item without one: its name, `<file>:<line>`), rather of one that did not vanish.

    Raises UsageError naming the nearest ids where there is none, LedgerError.
    """
    with snapshot(ledger):
        job = job_view(ledger, job_id)
        row = ledger.row(
            "select id, key, name, state, sends, file, offset, batch, vanished from item_rows "
            "where job = ?1 and (key = ?2 or (key is null and name = ?2)) order by vanished, key is null, id desc",
            (job_id, item_id),
        )
        if row is None:
            raise UsageError(_unknown(ledger, job, item_id))
        item, state = int(row["id"]), ItemState(row["state"])
        attempts = _settled(ledger, item, row["key"])
        if state is ItemState.IN_FLIGHT and row["batch"] is not None:
            attempts.append(_open(ledger, item, row["batch"]))
        batches = sorted({a.batch for a in attempts} | ({row["batch"]} - {None}))
        deferred = ledger.row(
            "select file, offset from revisions where item = ? and deferred = 1 order by submission desc",
            (item,),
        )
        last = ledger.row(
            "select outcome, cause, message, cast(output as blob) as output, cast(extras as blob) as extras from result_rows where item = ?",
            (item,),
        )
        bad = ledger.row("select cause, message from bad_items where item = ?", (item,))
        why = bad if bad is not None else last if last is not None and last["outcome"] else None
        # A failed item's last row may still be an older answer.
        shown = None
        if last is not None and (state is ItemState.SUCCEEDED or last["outcome"]):
            shown = last["extras"]
        return Explanation(
            job=job.name,
            profile=job.profile,
            id=row["key"] if row["key"] is not None else row["name"],
            state=state.name.lower(),
            is_vanished=bool(row["vanished"]),
            request=request_at(ledger, row["file"], row["offset"], turns_of(ledger, item)),
            request_pruned=is_request_pruned(ledger, row["file"]),
            waiting_request=None
            if deferred is None
            else request_at(ledger, deferred["file"], deferred["offset"]),
            not_before=ledger.value(
                "select nullif(not_before, 0) from queue where item = ?", (item,)
            ),
            output=json_value(last["output"])
            if state is ItemState.SUCCEEDED and last is not None
            else None,
            extras=json_value(shown) or {},
            cause=None if why is None or state is ItemState.SUCCEEDED else why["cause"],
            message=None if why is None or state is ItemState.SUCCEEDED else why["message"],
            attempts=tuple(attempts),
            steps=_steps(ledger, batches),
            calls=_calls(ledger, item),
            waits_for=waits_for(ledger, item),
            answered_with=answered_with(ledger, item),
        )


def _calls(ledger: Ledger, item: int) -> tuple[Call, ...]:
    return tuple(
        Call(
            send=row["send"],
            call_id=row["call_id"],
            name=row["name"],
            arguments=row["arguments"],
            output=row["output"],
            is_error=bool(row["is_error"]),
            at=row["at"],
        )
        for row in calls_of(ledger, item)
    )


def _settled(ledger: Ledger, item: int, key: str | None) -> list[Attempt]:
    from batchrun.customids import custom_id

    columns = (
        "r.batch, r.send, r.at, r.outcome, r.cause, r.message, r.finish, r.input_tokens, r.cached_tokens, r.cache_write_tokens, r.output_tokens, "
        "r.reasoning_tokens, r.kind, r.offset, r.length, m.name as model, b.remote_id, b.remote_status, a.custom_id as sent_as"
    )
    joins = (
        "left join models m on m.id = r.model left join batch_rows b on b.id = r.batch "
        "left join asked_as a on a.batch = r.batch and a.item = r.item where r.item = ?1"
    )
    return [
        Attempt(
            batch=row["batch"],
            remote_id=row["remote_id"],
            remote_status=row["remote_status"],
            send=row["send"] or None,
            custom_id=row["sent_as"]
            or (custom_id(item, row["send"], key) if row["send"] else None),
            outcome=OUTCOMES[row["outcome"]] if row["send"] else SHARED,
            at=row["at"],
            cause=row["cause"],
            message=row["message"],
            finish=None if row["finish"] == "none" else row["finish"],
            usage=Usage(
                input_tokens=row["input_tokens"] or 0,
                cached_tokens=row["cached_tokens"] or 0,
                cache_write_tokens=row["cache_write_tokens"],
                output_tokens=row["output_tokens"] or 0,
                reasoning_tokens=row["reasoning_tokens"] or 0,
            ),
            model=row["model"],
            raw=raw_line(ledger, row["batch"], row["kind"], row["offset"], row["length"]),
            raw_pruned=is_result_pruned(ledger, row["batch"], row["kind"]),
        )
        for row in ledger.rows(
            f"select {columns}, 0 as is_last, r.id as place from history r {joins} "
            f"union all select {columns}, 1, 0 from result_rows r {joins} order by is_last, place",
            (item,),
        )
    ]


def _open(ledger: Ledger, item: int, batch: int) -> Attempt:
    row = ledger.row(
        "select b.remote_id, b.remote_status, b.request_file, a.custom_id from batch_rows b "
        "left join asked_as a on a.batch = b.id and a.item = ? where b.id = ?",
        (item, batch),
    )
    sent = None
    if row is not None:
        # A recovered batch asks under the number that the item had in the ledger that made it.
        file = ledger.home.request_file(row["request_file"])
        sent = row["custom_id"] or sent_custom_id(file, item)
    return Attempt(
        batch=batch,
        remote_id=row["remote_id"] if row is not None else None,
        remote_status=row["remote_status"] if row is not None else None,
        send=None if sent is None else int(sent.split("-")[1]),
        custom_id=sent,
        outcome="open",
        at=None,
        cause=None,
        message=None,
        finish=None,
        usage=Usage(),
        model=None,
        raw=None,
    )


def _steps(ledger: Ledger, batches: list[int]) -> tuple[Step, ...]:
    marks = ",".join("?" * len(batches))
    rows = ledger.rows(
        f"select at, batch, event, before, after, n, detail from events where batch in ({marks}) order by id",
        batches,
    )
    return tuple(
        Step(
            at=row["at"],
            batch=row["batch"],
            event=row["event"],
            before=_state_name(row["event"], row["before"]),
            after=_state_name(row["event"], row["after"]),
            count=row["n"],
            detail=row["detail"],
        )
        for row in rows
    )


def _state_name(event: str, state: int | None) -> str | None:
    if state is None:
        return None
    return (BatchState(state) if event in _BATCH_EVENTS else ItemState(state)).name.lower()


def _unknown(ledger: Ledger, job: JobView, item_id: str) -> str:
    """What to say of an id that the job does not have: the ones most like it, else where ids come from."""
    near = [
        row["key"]
        for sql in (
            "select key from item_rows where job = ? and key >= ? order by key limit ?",
            "select key from item_rows where job = ? and key < ? order by key desc limit ?",
        )
        for row in ledger.rows(sql, (job.id, item_id, _NEIGHBOURS))
    ]
    near += [
        row["name"]
        for row in ledger.rows(
            "select name from item_rows where job = ? and key is null and name is not null order by abs(length(name) - length(?)), id limit ?",
            (job.id, item_id, _NEIGHBOURS),
        )
    ]
    text = f"job {job.name!r} has no item {item_id!r}."
    if not near:
        return f"{text} It has no items at all."
    close = difflib.get_close_matches(item_id, near, n=_NEAR)
    told = "Did you mean" if close else "Its items have ids like"
    names = ", ".join(map(repr, close or sorted(near)[:_NEAR]))
    return f"{text} {told} {names}{'?' if close else '.'} `batchrun results {job.name}` lists all."


def _time(at: int | None) -> str | None:
    return None if at is None else rfc3339(at)
