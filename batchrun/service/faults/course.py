"""A batch's own course, disturbed: validation refuses, a status lasts, a line is answered by the script, a result file is spoiled."""

from collections.abc import Callable, Iterator

import msgspec

from batchrun.clock import Clock
from batchrun.model import JsonObject
from batchrun.service.batches import Batch
from batchrun.service.course import Course
from batchrun.service.faults.deciding import Decider
from batchrun.service.faults.fault import Fault
from batchrun.service.faults.kinds import EXECUTION
from batchrun.service.faults.matching import Call
from batchrun.service.faults.resultlines import spoiled
from batchrun.service.faults.words import Moment, Place, What
from batchrun.service.lifecycle import Status
from batchrun.service.refusals import error_body
from batchrun.service.responders.base import Reply
from batchrun.service.validation import problem

_STALLS = {
    Status.VALIDATING: Place.VALIDATION,
    Status.IN_PROGRESS: Place.EXPIRY,
    Status.FINALIZING: Place.FINALIZING,
    Status.CANCELLING: Place.CANCELLING,
}
_FILES = {"output": Place.OUTPUT, "error": Place.ERROR}
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class FaultyCourse(Course):
    """The course of batches under a script."""

    def __init__(self, decider: Decider, clock: Clock) -> None:
        self._decider = decider
        self._clock = clock

    def stall_s(self, batch: Batch) -> int:
        """The longest of all stalls of this status; in_progress lasts longer where the expiry is late."""
        faults = self._decider.of_batch(_STALLS[batch.status], batch, metadata_of(batch))
        return max((f.seconds or 0 for f in faults if f.what is What.STALL), default=0)

    def refusal(self, batch: Batch) -> list[JsonObject] | None:
        """The errors of the first `fail` that hits the batch."""
        for fault in self._decider.of_batch(Place.VALIDATION, batch, metadata_of(batch)):
            if fault.what is What.FAIL:
                if fault.code is None:
                    return []
                message = fault.message or f"The script refuses this batch: {fault.code}."
                return [problem(fault.code, message)]
        return None

    def answered(self, batch: Batch, custom_id: str, ask: Callable[[], Reply]) -> Reply:
        """The model's answer, unless the script has one of its own."""
        call = Call(place=Place.EXECUTION, metadata=metadata_of(batch), custom_id=custom_id)
        faults = self._decider.hits(call, EXECUTION)
        for fault in faults:
            if fault.what is What.DELAY:
                self._clock.sleep_until(self._clock.now() + (fault.seconds or 0))
        refused = next((fault for fault in faults if fault.what is What.STATUS), None)
        if refused is None:
            return ask()
        if refused.happens is Moment.AFTER:
            ask()
        return Reply(status_code=refused.status or 500, body=refusal_of(refused))

    def lines(self, batch: Batch, kind: str, lines: Iterator[bytes]) -> Iterator[bytes]:
        """The lines of a result file as the script spoils them."""
        decider = self._decider.of_file(_FILES[kind], metadata_of(batch))
        return lines if decider is None else spoiled(lines, decider)


def metadata_of(batch: Batch) -> dict[str, str]:
    """The pairs of a batch; none where it has none."""
    pairs: dict[str, str] = {} if batch.metadata is None else msgspec.json.decode(batch.metadata)
    return pairs


def refusal_of(fault: Fault) -> JsonObject:
    """The error object of a `status` fault, on the wire and in a result line."""
    status = fault.status or 500
    default = "server_error" if status >= 500 else "invalid_request_error"
    return error_body(
        fault.message or f"The fault script answers HTTP {status} here.",
        type=fault.type or _TYPES.get(status, default),
        code=fault.code,
    )
