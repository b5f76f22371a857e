"""The service as a running server: HTTP in one thread, the executor in another, both ended cleanly.

`running` is a context for tests and for other programs; `serve` blocks until the process is told to stop.
"""

import contextlib
import ipaddress
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from batchrun.clock import Clock, SystemClock
from batchrun.errors import BatchrunError, LedgerError, UsageError
from batchrun.service.faults.connections import Connections
from batchrun.service.faults.script import FaultScript
from batchrun.service.faults.service import FaultyService, open_service
from batchrun.service.faults.wire import FaultyWire
from batchrun.service.options import Options
from batchrun.service.responders.base import Responder
from batchrun.service.service import BatchService
from batchrun.service.serving import serving

if TYPE_CHECKING:
    import asyncio

    from starlette.types import ASGIApp

logger = logging.getLogger(__name__)

_SLICE_S = 1.0  # of work between two looks at whether to stop
_BUSY_WAIT_S = 0.2  # while a batch waits for its time
_IDLE_WAIT_S = 5.0  # another process may put work into the folder


@contextlib.contextmanager
def running(
    service: BatchService,
    *,
    api_key: str,
    host: str = "127.0.0.1",
    port: int = 0,
    works: bool = True,
) -> Iterator[str]:
    """Serve on `host` and `port` (0: a free one) for as long as the context lasts; yields the base_url, which ends in `/v1`.

    `works=False` leaves calling `service.work` to the caller. The service stays open. Raises UsageError where the address cannot be
    used.
    """
    app, protocol = _front(service, api_key)
    stopping = threading.Event()
    worker = threading.Thread(
        target=_work_until, args=(service, stopping), name="batchrun-executor"
    )
    with serving(app, host=host, port=port, protocol=protocol) as url:
        if works:
            worker.start()
        try:
            yield f"{url}/v1"
        finally:
            stopping.set()
            service.wake()
            if works:
                worker.join()


def serve(
    *,
    host: str,
    port: int,
    data: Path,
    responder: Responder,
    api_key: str,
    allow_remote: bool = False,
    clock: Clock | None = None,
    options: Options | None = None,
    script: FaultScript | None = None,
    announce: Callable[[str], None] = logger.info,
) -> None:
    """Serve from the main thread until SIGINT or SIGTERM, then end what is in flight; `announce` is told the base_url.

    `script`: what goes wrong on purpose.

    Raises UsageError for a host that other machines can reach, unless `allow_remote`, for an empty key, and for a folder that is served already.
    """
    if not api_key:
        raise UsageError("the service needs a key. Set one that its clients will send.")
    if not allow_remote and not _is_loopback(host):
        raise UsageError(
            f"host {host!r} can be reached from other machines. Give --allow-remote if that is meant, or serve on 127.0.0.1."
        )
    with _only_server(data):
        service = open_service(
            data, responder, clock or SystemClock(), script=script, options=options
        )
        stopping = threading.Event()
        previous = signal.signal(signal.SIGTERM, lambda _number, _frame: stopping.set())
        try:
            with running(service, api_key=api_key, host=host, port=port) as base_url:
                announce(base_url)
                with contextlib.suppress(KeyboardInterrupt):
                    stopping.wait()
        finally:
            signal.signal(signal.SIGTERM, previous)
            service.close()


@contextlib.contextmanager
def _only_server(data: Path) -> Iterator[None]:
    """Keep other servers out of the folder: two would tell their clients of one another's batches, and answer each by its own script and faults."""
    from filelock import FileLock, Timeout

    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        # A hard lock or none: a soft one would survive its holder's death.
        lock = FileLock(str(data / "serve.lock"), mode=0o600, fallback_to_soft=False)
        lock.acquire(timeout=0)
    except Timeout as exc:
        raise UsageError(
            f"{data}: another `batchrun serve` is serving this folder. Point the clients at that one, end it first, or give this one a folder of "
            "its own with --data."
        ) from exc
    except (OSError, NotImplementedError) as exc:
        raise LedgerError(
            f"{data}: no folder that can be locked: {exc}. Name one on a local disk with --data."
        ) from exc
    try:
        yield
    finally:
        lock.release()


def _front(service: BatchService, api_key: str) -> "tuple[ASGIApp, type[asyncio.Protocol] | str]":
    """The application, and the HTTP server's protocol under it: a fault script has a hand in both."""
    from batchrun.service.http import create_app

    if not isinstance(service, FaultyService):
        return create_app(service, api_key), "auto"
    connections = Connections()
    app = create_app(
        service,
        api_key,
        more_keys=service.decider.script.keys,
        layer=lambda app: FaultyWire(app, service, connections),
    )
    return app, connections.protocol()


def _work_until(service: BatchService, stopping: threading.Event) -> None:
    while not stopping.is_set():
        try:
            is_left = service.work(_SLICE_S)
        except BatchrunError as error:
            # A model that cannot be loaded, a full disk: what is queued stays queued, and is tried again.
            logger.error("%s", error)  # noqa: TRY400 - an expected error has no stack trace
            service.wait_for_change(_IDLE_WAIT_S)
        else:
            service.wait_for_change(_BUSY_WAIT_S if is_left else _IDLE_WAIT_S)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
