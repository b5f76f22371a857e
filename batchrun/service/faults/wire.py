"""A fault script on the wire: one layer of the server, between the check of the key and the service.

For every call of the API the first fault of the wire whose turn it is decides; all others pass. Calls that are no places of a script
(`/v1/models`, the synchronous endpoints, `/truth`) pass always.
"""

import asyncio
import re
from typing import Final

import msgspec

from batchrun.model import Json
from batchrun.service.faults.connections import Connections
from batchrun.service.faults.exchange import App, Exchange, Receive, Scope, Send
from batchrun.service.faults.fault import Fault
from batchrun.service.faults.kinds import WIRE
from batchrun.service.faults.matching import Call
from batchrun.service.faults.refusing import REFUSING
from batchrun.service.faults.service import FaultyService
from batchrun.service.faults.spoiling import SPOILING
from batchrun.service.faults.words import CALLS, Moment, Place

_PATHS: Final = [
    (
        place,
        place.partition(" ")[0],
        re.compile("/v1" + place.partition(" ")[2].replace("{id}", "([^/]+)")),
    )
    for place in CALLS
]


class FaultyWire:
    """An ASGI application around another one."""

    def __init__(self, app: App, service: FaultyService, connections: Connections) -> None:
        self._app = app
        self._service = service
        self._connections = connections
        self._asks_metadata = any(
            fault.metadata and Place.CREATE in fault.places and fault.what in WIRE
            for fault in service.decider.script.named.values()
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one call."""
        place, object_id = place_of(scope["method"], scope["path"])
        if place is None:
            await self._app(scope, receive, send)
            return
        exchange = Exchange(
            self._app,
            scope,
            receive,
            send,
            place=place,
            object_id=object_id,
            transport=self._connections.of(scope["client"]),
            clock=self._service.clock,
        )
        body = b""
        if place is Place.CREATE and self._asks_metadata:
            body = await exchange.body()
        key = _key_of(dict(scope["headers"]))
        fault = await asyncio.to_thread(self._fault, place, object_id, key, body)
        if fault is None:
            await exchange.through()
        elif fault.what in SPOILING:
            await SPOILING[fault.what](exchange, fault, await exchange.effect())
        else:
            answer = await exchange.effect() if fault.happens is Moment.AFTER else None
            await REFUSING[fault.what](exchange, fault, answer, self._service.clock)

    def _fault(self, place: Place, object_id: str, key: str | None, body: bytes) -> Fault | None:
        call = Call(
            place=place,
            key=key,
            filename=self._service.filename_of(object_id) if "/files/{id}" in place else None,
            metadata=self._metadata(place, object_id, body),
        )
        return next(iter(self._service.decider.hits(call, WIRE, most=1)), None)

    def _metadata(self, place: Place, object_id: str, body: bytes) -> dict[str, str] | None:
        if "/batches/{id}" in place:
            return self._service.metadata_of(object_id)
        if place is not Place.CREATE or not body:
            return None
        try:
            asked: Json = msgspec.json.decode(body)
        except msgspec.DecodeError:
            return None
        metadata = asked.get("metadata") if isinstance(asked, dict) else None
        return metadata if isinstance(metadata, dict) else {}


def place_of(method: str, path: str) -> tuple[Place | None, str]:
    """The place of a script that a call is, and the id in its path; None for any other call."""
    for place, place_method, pattern in _PATHS:
        if method == place_method and (found := pattern.fullmatch(path)) is not None:
            return place, found[1] if found.groups() else ""
    return None, ""


def _key_of(headers: dict[bytes, bytes]) -> str | None:
    scheme, _, key = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    return key if scheme == "Bearer" else None
