"""Request files: whole, unchanged, and what items and batches say of them is what stands in them.

This is the proof of what was sent. An item points to the bytes of its request; their hash is the one that decides whether it is ever asked
again; and the file of a batch holds exactly the requests that were in flight with it.
"""

import os
import re
from collections.abc import Iterator
from typing import Final

from batchrun.customids import custom_id, line_prefix
from batchrun.ledger.connection import Ledger
from batchrun.ledger.requestfiles import read_tail
from batchrun.ledger.skeletons import Skeletons
from batchrun.ledger.states import IS_OPEN_BATCH, FileState, ItemState
from batchrun.verifying.files import OpenSpool, is_unchanged, size_of, unreadable
from batchrun.verifying.visible import end_item

_PREFIX: Final = re.compile(rb'\{"custom_id":"(\d{1,19})-(\d{1,19})-[0-9a-f]{12}",\Z')
_PREFIX_MOST: Final = (
    80  # bytes: two numbers of 19 digits, twelve more, and what stands around them
)
_BLOCK_BYTES: Final = 1 << 20
_IS_KEPT: Final = f"state in ({int(FileState.FRESH)}, {int(FileState.USED)})"


def request_files_whole(ledger: Ledger) -> Iterator[str]:
    """Every request file that is not given up has its recorded size; every open batch names one as it was recorded."""
    for row in ledger.rows(f"select id, bytes from request_files where {_IS_KEPT} order by id"):
        size = size_of(ledger.home.request_file(row["id"]))
        if size is None:
            yield f"spool/requests/{row['id']}.jsonl is not there"
        elif size != row["bytes"]:
            yield f"spool/requests/{row['id']}.jsonl has {size:,} bytes instead of {row['bytes']:,}"
    for row in ledger.rows(
        "select b.id, b.request_file as file, f.state as file_state, b.checksum is f.checksum and b.input_bytes = f.bytes "
        "and b.request_count = f.request_count as is_same from batch_rows b join request_files f on f.id = b.request_file "
        # Of a batch that `recover` found without its input file, or after its end, no request was ever here.
        f"where b.{IS_OPEN_BATCH} and b.checksum <> '' order by b.id"
    ):
        if not row["is_same"]:
            yield f"batch {row['id']} was made of another request file than {row['file']} is recorded as"
        if row["file_state"] == FileState.REMOVED:
            yield f"batch {row['id']} is open, but its request file {row['file']} was given up"


def requests_unchanged(ledger: Ledger) -> Iterator[str]:
    """Every request file has the checksum with which it was written, and as many lines as requests."""
    for row in ledger.rows(
        f"select id, checksum, request_count from request_files where {_IS_KEPT} order by id"
    ):
        path = ledger.home.request_file(row["id"])
        if size_of(path) is None or row["checksum"] is None:
            continue  # request-files-whole tells; and one that `forget` is at work on has no checksum until that is done
        if not is_unchanged(path, row["checksum"]):
            yield f"spool/requests/{row['id']}.jsonl is not what was written: its content has changed"
            continue
        try:
            with path.open("rb", buffering=0) as file:
                lines = sum(
                    block.count(b"\n") for block in iter(lambda: file.read(_BLOCK_BYTES), b"")
                )
        except OSError as exc:
            raise unreadable(path, exc) from exc
        if lines != row["request_count"]:
            yield f"spool/requests/{row['id']}.jsonl has {lines:,} lines, and is recorded with {row['request_count']:,} requests"


def pointers_hit(ledger: Ledger) -> Iterator[str]:
    """Every item points to its own request: behind a custom_id of its own, and with the hash that is stored."""
    skeletons = Skeletons()
    with OpenSpool() as spool:
        for row in ledger.rows(
            "select i.id, i.key, i.hash, i.file, i.offset, i.state, f.state as file_state from item_rows i "
            "left join request_files f on f.id = i.file where i.file is not null and i.id < ? order by i.id",
            (end_item(ledger),),
        ):
            item, place = row["id"], f"spool/requests/{row['file']}.jsonl, byte {row['offset']}"
            if row["file_state"] == FileState.REMOVED:
                # An answer does not need its question any more; anything else may still be sent.
                if row["state"] != ItemState.SUCCEEDED:
                    yield f"item {item} points to {place}, which was given up"
                continue
            descriptor = spool.descriptor(ledger.home.request_file(row["file"]))
            if descriptor is None:
                continue  # request-files-whole tells
            found = _request_at(descriptor, row["offset"])
            if found is None:
                yield f"item {item} points to {place}, where no request begins"
                continue
            owner, send, tail = found
            if owner != item or not _is_prefixed(descriptor, row["offset"], item, send, row["key"]):
                yield f"item {item} points to {place}, which is a request of item {owner}, or of another id"
            elif not skeletons.is_hash_of(tail, row["hash"]):
                yield f"item {item} points to {place}, where another request stands than the one whose hash is stored"


def batches_sent_as_recorded(ledger: Ledger) -> Iterator[str]:
    """Each line of a batch's file is a sending that the ledger knows: in flight in this batch, or settled by it."""
    for batch in ledger.rows(_SENT):
        shown = f"spool/requests/{batch['file']}.jsonl"
        lines = 0
        try:
            with ledger.home.request_file(batch["file"]).open("rb") as file:
                for lines, line in enumerate(file, start=1):
                    if line.isspace():
                        continue  # of an item that was forgotten
                    found = _PREFIX.fullmatch(line[: line.find(b",") + 1])
                    if found is None:
                        yield f"batch {batch['id']}: line {lines} of {shown} bears no custom_id of ours"
                        continue
                    item, send = int(found[1]), int(found[2])
                    known = ledger.connection.execute(_SENDING, (item, batch["id"], send))
                    if known.fetchone() is None:
                        yield f"batch {batch['id']}: line {lines} of {shown} asks item {item} (sending {send}), of which the ledger knows nothing"
        except FileNotFoundError:
            continue  # request-files-whole tells
        except OSError as exc:
            raise unreadable(ledger.home.request_file(batch["file"]), exc) from exc
        if lines != batch["n"]:
            yield f"batch {batch['id']} is recorded with {batch['n']:,} requests, and {shown} holds {lines:,}"


# Batches that were recovered bear the custom_ids of the ledger that made them.
_SENT: Final = f"""
select b.id, b.request_file as file, b.request_count as n from batch_rows b join request_files f on f.id = b.request_file
where f.state <> {int(FileState.REMOVED)} and b.id not in (select batch from asked_as)
  and b.id not in (select batch from strays where batch is not null) order by b.id
"""
_SENDING: Final = f"""
select 1 from item_rows where id = ?1 and batch = ?2 and sends = ?3 and state = {int(ItemState.IN_FLIGHT)}
union all select 1 from result_rows where item = ?1 and batch = ?2 and send = ?3
union all select 1 from history where item = ?1 and batch = ?2 and send = ?3
"""


def _request_at(descriptor: int, offset: int) -> tuple[int, int, bytes] | None:
    """(item, send, tail) of the request whose tail begins at `offset`; None where none does."""
    start = max(0, offset - _PREFIX_MOST)
    before = os.pread(descriptor, offset - start, start)
    head = before[before.rfind(b"\n") + 1 :]
    found = _PREFIX.fullmatch(head)
    if found is None or (len(head) == len(before) and start > 0):
        return None
    tail = read_tail(descriptor, offset)
    return None if tail is None else (int(found[1]), int(found[2]), tail)


def _is_prefixed(descriptor: int, offset: int, item: int, send: int, key: str | None) -> bool:
    wanted = line_prefix(custom_id(item, send, key))
    return (
        offset >= len(wanted) and os.pread(descriptor, len(wanted), offset - len(wanted)) == wanted
    )
