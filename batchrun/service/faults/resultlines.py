"""Result lines as a bad service writes them: left out, twice, of strangers, or no JSON. Pure but for the clock-free ids it makes up.

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
    """The lines with the faults that hit them; several faults of one line apply one after the other."""
    for number, line in enumerate(lines, 1):
        written = [line]
        for fault in decider.hits(number, msgspec.json.decode(line)["custom_id"]):
            # Each fault takes the line itself, not what an earlier one has added to it.
            written = [*LINE_FAULTS[fault.what](line, fault), *written[1:]] if written else []
        yield from written


def _missing(_line: bytes, _fault: Fault) -> list[bytes]:
    return []


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


def _edited(line: bytes, **changes: object) -> bytes:
    read: JsonObject = msgspec.json.decode(line)
    return msgspec.json.encode({**read, **changes}) + b"\n"


LINE_FAULTS: dict[What, Callable[[bytes, Fault], list[bytes]]] = {
    What.MISSING: _missing,
    What.DUPLICATE: _duplicate,
    What.CONTRADICT: _contradict,
    What.UNKNOWN: _unknown,
    What.GARBAGE: _garbage,
    What.BOTH: _both,
    What.NEITHER: _neither,
}
