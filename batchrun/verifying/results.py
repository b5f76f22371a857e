"""Result files: whole, unchanged, and every settled attempt leads back to the line that settled it, byte for byte as the service sent it."""

import os
import sqlite3
from collections.abc import Iterator
from typing import Final

from batchrun.customids import custom_id
from batchrun.ledger.connection import Ledger
from batchrun.ledger.states import BatchState
from batchrun.ledger.usage import ATTEMPTS_SQL, FIGURES, USAGE_DIFFERS, taken_by
from batchrun.money.billed import differences, service_usage
from batchrun.verifying.files import OpenSpool, is_unchanged, size_of

_SETTLED: Final = (
    "select r.item, r.send, r.batch, r.kind, r.offset, r.length, i.key, a.custom_id, f.batch as recorded, f.removed_at from {} r "
    "join item_rows i on i.id = r.item left join result_files f on f.batch = r.batch and f.kind = r.kind "
    "left join asked_as a on a.batch = r.batch and a.item = r.item where r.kind is not null order by r.item"
)
_NOTHING: Final = (0,) * len(FIGURES)


def result_files_whole(ledger: Ledger) -> Iterator[str]:
    """Every result file that was recorded is there, with its recorded size."""
    for row in ledger.rows(
        "select batch, kind, bytes from result_files where removed_at is null order by batch, kind"
    ):
        path = ledger.home.result_file(row["batch"], row["kind"])
        size = size_of(path)
        if size is None:
            yield f"spool/results/{path.name} is not there"
        elif size != row["bytes"]:
            yield f"spool/results/{path.name} has {size:,} bytes instead of {row['bytes']:,}"


def results_unchanged(ledger: Ledger) -> Iterator[str]:
    """Every result file has the checksum that was recorded when it came, or when `forget` had blanked lines of it."""
    for row in ledger.rows(
        "select batch, kind, checksum from result_files where removed_at is null order by batch, kind"
    ):
        path = ledger.home.result_file(row["batch"], row["kind"])
        if size_of(path) is None or row["checksum"] is None:
            continue  # result-files-whole tells; and one that `forget` is at work on has no checksum until that is done
        if not is_unchanged(path, row["checksum"]):
            yield f"spool/results/{path.name} is not what came from the service: its content has changed"


def answers_in_spool(ledger: Ledger) -> Iterator[str]:
    """Where a result says that a line settled it, that line is there, is one whole line, and bears its custom_id."""
    with OpenSpool() as spool:
        for table in ("result_rows", "history"):
            for row in ledger.rows(_SETTLED.format(table)):
                path = ledger.home.result_file(row["batch"], row["kind"])
                if row["recorded"] is None:
                    yield f"item {row['item']} was settled from spool/results/{path.name}, which was never recorded"
                    continue
                descriptor = None if row["removed_at"] else spool.descriptor(path)
                if descriptor is None:
                    continue  # pruned, or lost: that, result-files-whole tells
                offset, length = row["offset"], row["length"]
                line = _line_at(descriptor, offset, length)
                sent_as = row["custom_id"] or custom_id(row["item"], row["send"], row["key"])
                if line is None:
                    yield f"item {row['item']}: spool/results/{path.name} has no line of {length:,} bytes at byte {offset}"
                elif b'"%b"' % sent_as.encode() not in line:
                    yield f"item {row['item']}: the line at byte {offset} of spool/results/{path.name} is not its own"


def _line_at(descriptor: int, offset: int, length: int) -> bytes | None:
    """The line of exactly `length` bytes that begins at `offset`; None where no line does, or where it is longer or shorter."""
    start = max(0, offset - 1)
    found = os.pread(descriptor, length + 2, start)
    before, line, after = (
        found[: offset - start],
        found[offset - start :][:length],
        found[offset - start + length :][:1],
    )
    is_line = len(line) == length and b"\n" not in line
    return line if is_line and before in (b"", b"\n") and after in (b"", b"\n") else None


def usage_adds_up(ledger: Ledger) -> Iterator[str]:
    """Tokens of the items against the sum that the service gave for their batch.

    Only of batches that completed with an answer to every request, and no line too many: elsewhere the difference is told already.
    """
    for row in ledger.rows(
        "select b.id, b.remote from batch_rows b where b.state = ? and b.remote_status = 'completed' "
        "and not exists (select 1 from incidents where batch = b.id and kind <> ?) "
        "and (select sum(requests) from batch_usage where batch = b.id) = b.request_count",
        (BatchState.COLLECTED, USAGE_DIFFERS),
    ):
        taken = taken_by(ledger, row["id"])
        for name, found, said in differences(taken, service_usage(row["remote"])):
            yield f"batch {row['id']}: the service counts {said:,} {name}, and its answers add up to {found:,}"


def usage_as_settled(ledger: Ledger) -> Iterator[str]:
    """What is kept of each batch's usage against the sums of its attempts; where some were forgotten, these took the rest of it."""
    kept = {
        (row["batch"], row["size"]): (row["job"], _figures(row))
        for row in ledger.rows(
            "select u.*, b.job from batch_usage u join batch_rows b on b.id = u.batch"
        )
    }
    forgotten = {row["job"] for row in ledger.rows("select distinct job from forgettings")}
    found = {(row["batch"], row["size"]): _figures(row) for row in ledger.rows(ATTEMPTS_SQL)}
    for batch, size in sorted(kept.keys() | found.keys()):
        job, figures = kept.get((batch, size), (None, _NOTHING))
        summed = found.get((batch, size), _NOTHING)
        if job in forgotten and all(a <= b for a, b in zip(summed, figures, strict=True)):
            continue
        for name, n, sum_n in zip(FIGURES, figures, summed, strict=True):
            if n != sum_n:
                yield f"batch {batch}: {n:,} {name.replace('_', ' ')} are kept, and its attempts add up to {sum_n:,}"


def _figures(row: sqlite3.Row) -> tuple[int, ...]:
    return tuple(row[name] for name in FIGURES)
