"""Result lines as a bad service writes them: left out, twice, of strangers, or no JSON. Pure.

The file itself is consistent: its size is counted, its bytes are what every download gets.
"""

from collections.abc import Callable, Iterator

import msgspec

from batchrun.model import JsonObject
from batchrun.service.faults.deciding import LineDecider
from batchrun.service.faults.fault import Fault
from batchrun.service.faults.words import What

_GARBAGE = "<html><h1>502 Bad Gateway</h1></html>"
_ERROR = {"code": "server_error", "message": "The service lost this answer."}


def spoiled(lines: Iterator[bytes], decider: LineDecider) -> Iterator[bytes]:
    """The lines with the faults that hit them. Of a line that is missing nothing is written, whatever else hits it."""
    for number, line in enumerate(lines, 1):
        faults = decider.hits(number, msgspec.json.decode(line)["custom_id"])
        if any(fault.what is What.MISSING for fault in faults):
            continue
        first, more = line, list[bytes]()
        # Garbage comes last: the others edit JSON.
        for fault in sorted(faults, key=lambda fault: fault.what is What.GARBAGE):
            first, *added = LINE_FAULTS[fault.what](first, fault)
            more += added
        yield from (first, *more)


def _duplicate(line: bytes, _fault: Fault) -> list[bytes]:
    return [line, line]


def _contradict(line: bytes, _fault: Fault) -> list[bytes]:
    refusal = {"error": {"message": "Contradiction.", "type": "server_error", "code": None}}
    answer = {"status_code": 500, "request_id": "req_contradiction", "body": refusal}
    return [line, _edited(line, response=answer, error=None)]


def _unknown(line: bytes, _fault: Fault) -> list[bytes]:
    custom_id = msgspec.json.decode(line)["custom_id"]
    return [line, _edited(line, custom_id=f"stranger-{custom_id}")]


def _garbage(_line: bytes, fault: Fault) -> list[bytes]:
    text = (fault.text if fault.text is not None else _GARBAGE).encode("utf-8", "surrogatepass")
    wanted = fault.bytes or len(text)
    return [(text * (wanted // max(1, len(text)) + 1))[:wanted] + b"\n"]


def _both(line: bytes, _fault: Fault) -> list[bytes]:
    return [_edited(line, error=_ERROR)]


def _neither(line: bytes, _fault: Fault) -> list[bytes]:
    return [_edited(line, response=None, error=None)]


def _show(line: bytes, fault: Fault) -> list[bytes]:
    return [_edited(line, **fault.set, **dict.fromkeys(fault.nulls))]


def _edited(line: bytes, **changes: object) -> bytes:
    read: JsonObject = msgspec.json.decode(line)
    return msgspec.json.encode({**read, **changes}) + b"\n"


# Each gives what stands instead of the line, and what follows it. A missing line has neither.
LINE_FAULTS: dict[What, Callable[[bytes, Fault], list[bytes]]] = {
    What.DUPLICATE: _duplicate,
    What.CONTRADICT: _contradict,
    What.UNKNOWN: _unknown,
    What.GARBAGE: _garbage,
    What.SHOW: _show,
    What.BOTH: _both,
    What.NEITHER: _neither,
}
