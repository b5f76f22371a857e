"""The Batch service under a fault script: it executes, keeps and charges as ever, and shows its clients something else.

What is wrong on the wire (`kinds.WIRE`) is not met here: `wire.py` puts it between the service and its clients. A call that is lost or
given up is a ServiceError 504 here, whether or not it takes effect later.
"""

import contextlib
from pathlib import Path
from typing import BinaryIO

from batchrun.clock import Clock
from batchrun.model import JsonObject, Limits
from batchrun.service import checks
from batchrun.service.faults.course import FaultyCourse
from batchrun.service.faults.deciding import Decider
from batchrun.service.faults.fault import Fault
from batchrun.service.faults.kinds import SERVICE
from batchrun.service.faults.matching import Call
from batchrun.service.faults.memory import FaultMemory
from batchrun.service.faults.script import FaultScript
from batchrun.service.faults.showing import is_hidden, listed, shown
from batchrun.service.faults.words import Place, What
from batchrun.service.options import Options
from batchrun.service.refusals import ServiceError
from batchrun.service.responders.base import Responder
from batchrun.service.service import BatchService
from batchrun.service.store import Store

_PAGE = 100


class FaultyService(BatchService):
    """`BatchService` with the faults of `script`; what they have done so far stays in `data`."""

    def __init__(
        self,
        data: Path,
        responder: Responder,
        clock: Clock,
        *,
        script: FaultScript,
        limits: Limits | None = None,
        options: Options | None = None,
    ) -> None:
        self._fault_store = Store(data)
        self._memory = FaultMemory(self._fault_store, clock)
        self.decider = Decider(script, self._memory)
        course = FaultyCourse(self.decider, clock)
        super().__init__(data, responder, clock, limits=limits, options=options, course=course)

    def create_batch(self, params: JsonObject) -> JsonObject:
        """A late one is given up with a 504, and made later, if it still can be then."""
        self.deliver()
        metadata = checks.metadata_of(params) or {}
        faults = self._hits(Call(place=Place.CREATE, metadata=metadata))
        if (late := _late(faults)) is not None:
            self._memory.postpone("create", params, seconds=late)
            raise ServiceError(status=504, message="The request was given up.", type="server_error")
        return shown(super().create_batch(params), faults)

    def get_batch(self, batch_id: str) -> JsonObject:
        """As the script shows it: other values, or a 404."""
        self.deliver()
        batch = super().get_batch(batch_id)
        faults = self._hits(Call(place=Place.GET_BATCH, metadata=batch["metadata"]))
        self._hide(batch, faults, "Batch")
        return shown(batch, faults)

    def cancel_batch(self, batch_id: str) -> JsonObject:
        """A late one is answered with the batch as it is."""
        self.deliver()
        batch = super().get_batch(batch_id)
        faults = self._hits(Call(place=Place.CANCEL, metadata=batch["metadata"]))
        self._hide(batch, faults, "Batch")
        if (late := _late(faults)) is None:
            return shown(super().cancel_batch(batch_id), faults)
        self._memory.postpone("cancel", {"id": batch_id}, seconds=late)
        return shown(batch, faults)

    def list_batches(self, *, after: str | None = None, limit: int = 20) -> JsonObject:
        """The page that the script makes of all batches."""
        self.deliver()
        faults = self._hits(Call(place=Place.LIST))
        if not faults:
            return super().list_batches(after=after, limit=limit)
        checks.whole_number(limit, "limit", low=1, high=_PAGE)
        batches = list(reversed(self.truth()["batches"]))
        return listed(batches, faults, after=after, limit=limit, now=self.clock.now())

    def get_file(self, file_id: str) -> JsonObject:
        """A file that is too young or has vanished is a 404."""
        self.deliver()
        file = super().get_file(file_id)
        self._hide(file, self._hits_file(Place.GET_FILE, file), "File")
        return file

    def open_content(self, file_id: str) -> BinaryIO:
        """As `get_file`, with faults of its own."""
        self.deliver()
        file = super().get_file(file_id)
        self._hide(file, self._hits_file(Place.CONTENT, file), "File")
        return super().open_content(file_id)

    def delete_file(self, file_id: str) -> JsonObject:
        """A late one is confirmed, and bites later: until then the file is there."""
        self.deliver()
        file = super().get_file(file_id)
        if (late := _late(self._hits_file(Place.DELETE_FILE, file))) is None:
            return super().delete_file(file_id)
        self._memory.postpone("delete", {"id": file_id}, seconds=late)
        return {"id": file_id, "object": "file", "deleted": True}

    def work(
        self,
        seconds: float,
        *,
        resting: frozenset[str] = frozenset(),
        goes_on: bool = False,
    ) -> bool:
        """As ever, with the late calls that are due by now first."""
        self.deliver()
        return super().work(seconds, resting=resting, goes_on=goes_on)

    def deliver(self) -> None:
        """Let every call take effect that is due by now; one that cannot any more is refused to nobody."""
        while (late := self._memory.take_due()) is not None:
            with contextlib.suppress(ServiceError):
                match late.call:
                    case "create":
                        super().create_batch(late.arguments)
                    case "cancel":
                        super().cancel_batch(late.arguments["id"])
                    case _:
                        super().delete_file(late.arguments["id"])

    def truth(self) -> JsonObject:
        """As ever, and `faults`: what each of the script is about, and how many calls it hit (batches and lines are not counted)."""
        fired = self._memory.fired()
        faults = [
            {"at": fault.at, "what": fault.what.value, "fired": fired.get(name, 0)}
            for name, fault in self.decider.script.named.items()
        ]
        return {**super().truth(), "faults": faults}

    def filename_of(self, file_id: str) -> str | None:
        """The name of a file, for conditions about it; None for one that is not there."""
        try:
            name: str = super().get_file(file_id)["filename"]
        except ServiceError:
            return None
        return name

    def metadata_of(self, batch_id: str) -> dict[str, str] | None:
        """The pairs of a batch, for conditions about it; None for one that is not there."""
        try:
            pairs: dict[str, str] | None = super().get_batch(batch_id)["metadata"]
        except ServiceError:
            return None
        return pairs or {}

    def close(self) -> None:
        """As ever."""
        super().close()
        self._fault_store.close()

    def _hits(self, call: Call) -> tuple[Fault, ...]:
        return self.decider.hits(call, SERVICE)

    def _hits_file(self, place: Place, file: JsonObject) -> tuple[Fault, ...]:
        return self._hits(Call(place=place, filename=file["filename"]))

    def _hide(self, thing: JsonObject, faults: tuple[Fault, ...], kind: str) -> None:
        if is_hidden(thing, faults, now=self.clock.now()):
            raise ServiceError(
                status=404, message=f"No such {kind} object: {thing['id']}", param="id"
            )


def _late(faults: tuple[Fault, ...]) -> int | None:
    """The delay of the first late effect among these."""
    return next((fault.seconds or 0 for fault in faults if fault.what is What.LATE), None)


def open_service(
    data: Path,
    responder: Responder,
    clock: Clock,
    *,
    script: FaultScript | None,
    limits: Limits | None = None,
    options: Options | None = None,
) -> BatchService:
    """The service over a folder, with faults where there is a script for them."""
    if script is None:
        return BatchService(data, responder, clock, limits=limits, options=options)
    return FaultyService(data, responder, clock, script=script, limits=limits, options=options)
