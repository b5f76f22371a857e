"""What the queues of tokens take to be kept: requests counted, batches cut to fit, and what the service's refusals teach.

Counted is only where a limit is known: who has none pays nothing for this.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from batchrun.ledger.batches import update_batch
from batchrun.ledger.connection import Ledger
from batchrun.ledger.queues import (
    bytes_per_token,
    learned_of,
    queue_facts,
    remember,
    standing,
    uncounted,
)
from batchrun.ledger.requestfiles import FileKind
from batchrun.ledger.states import FileState
from batchrun.model import Limits
from batchrun.money.counting import CHUNK, RequestCounter
from batchrun.planning.classify import Outcome
from batchrun.planning.facts import Snapshot
from batchrun.planning.plan import waits_for_room
from batchrun.planning.queue import accepted, refused, stated_limit
from batchrun.planning.queuefacts import Queue, QueueFacts, QueueKey
from batchrun.running.context import PassContext
from batchrun.running.refusing import cut_smaller, reject, remove_cut_file

_BYTES_PER_TOKEN: Final = 4  # of what cannot be counted: about English prose
_CHUNK_BYTES: Final = 1 << 22
_FILLED: Final = 0.97  # of a piece: requests differ in how many bytes a token has


def count(ctx: PassContext, row: sqlite3.Row) -> None:
    """Count the input tokens of a batch."""
    tokens_of(ctx.ledger, row["request_file"])


def tokens_of(ledger: Ledger, file: int) -> int:
    """Input tokens of a request file, counted the first time; at least one a request. What the model reads besides is not in it."""
    row = ledger.row("select * from request_files where id = ?", (file,))
    assert row is not None
    if row["tokens"] is not None:
        return int(row["tokens"])
    counted = _counted(ledger.home.request_file(file), row["endpoint"])
    tokens = row["bytes"] // _BYTES_PER_TOKEN if counted is None else counted
    tokens = max(int(tokens), int(row["request_count"]))
    with ledger.transaction():
        ledger.execute("update request_files set tokens = ? where id = ?", (tokens, file))
    return tokens


def _counted(path: Path, endpoint: str) -> int | None:
    """None where the file cannot be read as what was written: that is told when it is sent."""
    counter = RequestCounter(endpoint)
    try:
        with path.open("rb") as file:
            for lines in _chunks(file):
                counter.take(lines)
    except (OSError, msgspec.MsgspecError):
        return None
    return sum(counted.sums.input for counted in counter.own.values())


def _chunks(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Lines in lists that are neither long nor large."""
    chunk: list[bytes] = []
    size = 0
    for line in lines:
        chunk.append(line)
        size += len(line)
        if len(chunk) >= CHUNK or size >= _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def limits_of_file(
    ctx: PassContext, profile: str, file: int, limits: Limits | None
) -> Limits | None:
    """What a batch of this fresh file may hold, if not anything: nothing where the file is too large for its queue, so that it is cut."""
    row = ctx.ledger.row("select * from request_files where id = ?", (file,))
    assert row is not None
    facts = queue_facts(ctx.ledger, ctx.queue_of(profile, row["model"]))
    if facts is None or facts.piece is None or row["request_count"] < 2:
        return limits
    if not facts.is_too_large(tokens_of(ctx.ledger, file), row["request_count"]):
        return limits
    return replace(limits or Limits(), input_bytes=0)


def limits_by_model(
    ctx: PassContext, profile: str, job: int, limits: Limits
) -> Callable[[str], Limits]:
    """What a cut batch of a job's requests to a model may hold: as many bytes as have the tokens that a piece of its queue may have."""

    def fitting(model: str) -> Limits:
        facts = queue_facts(ctx.ledger, ctx.queue_of(profile, model))
        if facts is None or facts.piece is None:
            return limits
        size = int(facts.piece * _density(ctx.ledger, job, model) * _FILLED)
        return replace(limits, input_bytes=min(limits.input_bytes, max(size, 1)))

    return fitting


def _density(ledger: Ledger, job: int, model: str) -> float:
    """Bytes a token of a job's requests; one file of them is counted where none was."""
    found = bytes_per_token(ledger, job, model)
    if found is None:
        file = ledger.value(
            "select min(id) from request_files where job = ? and model = ? and state in (?, ?)",
            (job, model, FileState.FRESH, FileState.USED),
        )
        if file is not None:
            tokens_of(ledger, file)
        found = bytes_per_token(ledger, job, model)
    return found or _BYTES_PER_TOKEN


def recut(ctx: PassContext, row: sqlite3.Row) -> None:
    """Give back the items of a batch that is too large for its queue: they are cut anew, to fit. It was not sent, and nothing is spent."""
    message = f"too large for the queue of {row['model']}: it is cut smaller"
    is_copy = ctx.ledger.value(
        "select kind = ? from request_files where id = ?", (FileKind.CUT, row["request_file"])
    )
    if is_copy:
        # It was cut to fit, or before there was a limit: should its requests differ too much, it gets smaller each time.
        cut_smaller(ctx, row, message)
    else:
        reject(ctx, row, message, outcome=Outcome.RELEASED)
        remove_cut_file(ctx, row)
    with ctx.ledger.transaction():
        ctx.ledger.execute("update jobs set releases = 0 where id = ?", (row["job"],))
        ctx.ledger.execute(
            "update queue set not_before = 0 where job = ? and item in (select item from result_rows where batch = ?)",
            (row["job"], row["id"]),
        )


class Refusal(NamedTuple):
    """What the refusal of a batch means: how many there were in a row (`times`), whether nothing else of ours is in the queue (`is_alone`), and whether
    the batch is so small beside the limit that others must be filling it.
    """

    times: int
    is_alone: bool
    is_small: bool


def learn_refusal(ctx: PassContext, row: sqlite3.Row, said: str) -> Refusal:
    """A batch did not fit the service's queue of tokens, which `said` so: learn from that."""
    ledger, now = ctx.ledger, ctx.clock.now()
    queue = _queue(ctx, row)
    # Seen only now, it was refused before: what has ended since then may have been in its way.
    since = row["created_at"]
    for file in uncounted(ledger, queue.key, ctx.queue_of, since=since):
        tokens_of(ledger, file)
    tokens = tokens_of(ledger, row["request_file"])
    with ledger.transaction():
        others = standing(ledger, queue.key, ctx.queue_of, besides=row["id"], since=since)
        learned = refused(
            learned_of(ledger, queue.key),
            configured=queue.configured,
            stated=stated_limit(said),
            held=others.tokens,
            proven=others.proven,
            tokens=tokens,
            now=now,
        )
        remember(ledger, queue.key, learned)
    facts = QueueFacts(key=queue.key, configured=queue.configured, learned=learned)
    return Refusal(learned.refusals, others.batches == 0, facts.is_small(tokens))


def forget_refusals(ctx: PassContext, row: sqlite3.Row) -> None:
    """What is sent now in place of a batch is something else: refusals are counted from the first again. Inside the caller's transaction."""
    key = _queue(ctx, row).key
    learned = learned_of(ctx.ledger, key)
    if learned is not None:
        remember(ctx.ledger, key, replace(learned, refusals=0))


def learn_acceptance(ctx: PassContext, row: sqlite3.Row) -> None:
    """The service's queue had room for a batch. Inside the caller's transaction."""
    key = _queue(ctx, row).key
    before = learned_of(ctx.ledger, key)
    if before is None:
        return
    others = standing(ctx.ledger, key, ctx.queue_of, besides=row["id"])
    own = ctx.ledger.value("select tokens from request_files where id = ?", (row["request_file"],))
    learned = accepted(before, others.proven + int(own or 0))
    if learned != before:
        remember(ctx.ledger, key, learned)


def tell_waits(ctx: PassContext, snapshot: Snapshot, now: int) -> None:
    """Write beside each batch that waits for room in a queue what it waits for."""
    for batch, why in waits_for_room(snapshot, now):
        if ctx.ledger.value("select reason from batch_rows where id = ?", (batch,)) != why:
            with ctx.ledger.transaction():
                update_batch(ctx.ledger, batch, reason=why)


def _queue(ctx: PassContext, row: sqlite3.Row) -> Queue:
    """The queue of a batch; one of its own where its profile is in no settings any more, or should have none."""
    own = Queue(QueueKey(row["profile"], row["model"]))
    return ctx.queue_of(row["profile"], row["model"]) or own
