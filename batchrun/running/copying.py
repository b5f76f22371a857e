"""Copying requests out of the files that they were written to once, for their next attempt.

What an attempt asks is never rendered again: the bytes of the first request, carried on by the turns since (`following.py`), with its attachments
filled in (`attaching.py`), under the custom_id of this attempt.
"""

import json
import os
from collections.abc import Iterable, Mapping

from batchrun.customids import custom_id, line_prefix
from batchrun.errors import LedgerError
from batchrun.ledger.connection import Ledger
from batchrun.ledger.requestfiles import RequestFileWriter, read_tail
from batchrun.running.attaching import fill
from batchrun.running.following import request_now


def copy_requests(
    ledger: Ledger,
    items: Iterable[tuple[int, str | None, int, int, int, int, int]],
    writer: RequestFileWriter,
    ids: Mapping[bytes, str],
) -> int:
    """Copy requests in the order of their files, carried on where there are turns and with their attachments, until one does not fit; returns how many were taken."""
    taken = 0
    source_id, descriptor = -1, -1
    try:
        for item, key, sends, file, offset, goes_on, attaches in items:
            if file != source_id:
                if descriptor >= 0:
                    os.close(descriptor)
                path = ledger.home.request_file(file)
                try:
                    descriptor = os.open(path, os.O_RDONLY)
                except OSError as exc:
                    raise LedgerError(
                        f"{path}: cannot be read: {exc.strerror}. It holds requests that are still to be sent: "
                        "restore it from a backup, or submit the job again with --fresh."
                    ) from exc
                source_id = file
            tail = read_tail(descriptor, offset)
            if tail is None:
                raise LedgerError(
                    f"{ledger.home.request_file(file)}: shorter than recorded. Restore it from a backup."
                )
            if goes_on:
                tail = request_now(ledger, item, tail)
            if attaches:
                tail = fill(ledger, file, item, tail, ids)
            line = line_prefix(custom_id(item, sends + 1, key)) + tail + b"\n"
            inputs = _inputs(tail)
            if taken and not writer.has_room(size=len(line), inputs=inputs):
                break
            writer.append(line, count=1, inputs=inputs, first_item=item, last_item=item)
            taken += 1
    finally:
        if descriptor >= 0:
            os.close(descriptor)
    return taken


def _inputs(tail: bytes) -> int:
    """Embedding inputs of a copied request; only embeddings have more than one."""
    if b'"/v1/embeddings"' not in tail[:64]:
        return 1
    from batchrun.endpoints import endpoint_of

    body = json.loads(b"{" + tail)["body"]
    return endpoint_of("/v1/embeddings").input_count(body)
