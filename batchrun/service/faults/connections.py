"""The open connections of the server, by the client's address: faults that no HTTP library would make are made on them directly."""

from asyncio import Transport
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

Address = tuple[str, int]


class Connections:
    """Kept by a protocol class of the HTTP server, which `protocol` makes; only the server's own thread may use it."""

    def __init__(self) -> None:
        self._open: dict[Address, Transport] = {}

    def of(self, client: Address) -> Transport:
        """The connection on which this client (`scope["client"]`) is calling."""
        return self._open[tuple(client)]  # type: ignore[index]  # a pair, whatever sequence it comes as

    def protocol(self) -> "type[asyncio.Protocol]":
        """The server's own protocol, telling us when a connection comes and goes."""
        from uvicorn.protocols.http.h11_impl import H11Protocol

        opened = self._open

        class Watched(H11Protocol):
            def connection_made(self, transport: Any) -> None:
                opened[_address(transport)] = transport
                super().connection_made(transport)

            def connection_lost(self, exc: Exception | None) -> None:
                opened.pop(_address(self.transport), None)
                super().connection_lost(exc)

        return Watched


def _address(transport: Transport) -> Address:
    host, port = transport.get_extra_info("peername")[:2]
    return str(host), int(port)
