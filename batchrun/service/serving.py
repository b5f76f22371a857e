"""An ASGI application on a socket of this machine, in a thread of its own, for as long as a block lasts."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from batchrun.errors import UsageError

if TYPE_CHECKING:
    import asyncio

    from starlette.types import ASGIApp

_GRACE_S: Final = 5  # for requests under way at the end


@contextlib.contextmanager
def serving(
    app: "ASGIApp", *, host: str, port: int, protocol: "type[asyncio.Protocol] | str" = "auto"
) -> Iterator[str]:
    """Serve on `host` and `port` (0: a free one); yields the URL, without a path. Raises UsageError where the address cannot be used."""
    import uvicorn

    with _listening(host, port) as listener:
        config = uvicorn.Config(
            app,
            http=protocol,
            log_config=None,
            access_log=False,
            date_header=False,  # an application tells its own clock
            server_header=False,
            lifespan="off",
            timeout_graceful_shutdown=_GRACE_S,
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(
            target=server.run, kwargs={"sockets": [listener]}, name="batchrun-http"
        )
        thread.start()
        try:
            yield _url(listener)
        finally:
            server.should_exit = True
            thread.join()


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that accepts connections from now on: nobody has to wait for the server to be up."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise UsageError(
                f"cannot listen on {host} port {port}: {error.strerror or error}. Choose another --host or --port."
            ) from error
        listener.listen(128)
        yield listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
