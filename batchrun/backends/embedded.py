"""The backend without a network: the Batch service in this very process, durable in a folder of the home.

It starts no daemon. `create` only queues; lines are executed inside `work`, which the runner calls in each pass. Nothing can be
ambiguous here: a call either committed or raised, unless a fault script says otherwise.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from batchrun.backends.accounts import EMBEDDED_URL
from batchrun.backends.base import (
    LOCAL_TRAITS,
    BatchPage,
    FilePage,
    RemoteBatch,
    RemoteFile,
    Traits,
)
from batchrun.backends.reading import read_batch, read_deleted, read_file, read_file_page, read_page
from batchrun.clock import Clock
from batchrun.errors import Ambiguous, AuthError, LedgerError, NotFound, Refused, Transient
from batchrun.model import Account, JsonObject, Limits
from batchrun.service.faults.script import FaultScript
from batchrun.service.faults.service import open_service
from batchrun.service.options import Options
from batchrun.service.refusals import ServiceError
from batchrun.service.responders.base import Reply, Responder
from batchrun.service.service import BatchService

BASE_URL = EMBEDDED_URL
_COPY_BYTES = 1 << 20


class EmbeddedBackend:
    """`Backend` over a BatchService in `data`; neither it nor the responder is made before it is needed.

    `script`: its faults. `account`: whose the lines are, from the salt of fingerprints; None where they go nowhere.
    """

    def __init__(
        self,
        data: Path,
        responder_factory: Callable[[], Responder],
        clock: Clock,
        *,
        limits: Limits | None = None,
        options: Options | None = None,
        script: FaultScript | None = None,
        account: Callable[[bytes], Account] | None = None,
        traits: Traits = LOCAL_TRAITS,
    ) -> None:
        self._data = data
        self._responder_factory = responder_factory
        self._clock = clock
        self._limits = limits or Limits()
        # Who looks after the lines is ourselves: any window that some server takes will do.
        self._options = options or Options(windows=None)
        self._script = script
        self._account = account
        self._traits = traits
        self._opened: BatchService | None = None

    @property
    def traits(self) -> Traits:
        """No lag, nothing to settle, and lines that only run while we work."""
        return self._traits

    @property
    def limits(self) -> Limits:
        """Those of OpenAI, unless the constructor was given others."""
        return self._limits

    def account(self, salt: bytes) -> Account:
        """The one account of this folder, or that of the server which answers the lines. Raises AuthError where that needs a key and has none."""
        return Account(base_url=BASE_URL) if self._account is None else self._account(salt)

    @property
    def service(self) -> BatchService:
        """The service itself, opened by the first use. Raises LedgerError where its folder cannot be used."""
        if self._opened is None:
            self._opened = open_service(
                self._data,
                _LazyResponder(self._responder_factory),
                self._clock,
                script=self._script,
                limits=self._limits,
                options=self._options,
            )
        return self._opened

    def upload(
        self, path: Path, *, name: str, expires_after_s: int | None, purpose: str = "batch"
    ) -> RemoteFile:
        """Copy a file into the service."""
        policy = None
        if expires_after_s is not None:
            policy = {"anchor": "created_at", "seconds": expires_after_s}
        try:
            source = path.open("rb")
        except OSError as error:
            raise LedgerError(f"{path}: cannot be read for upload: {error.strerror}.") from error
        with source, _translated():
            return read_file(
                self.service.create_file(
                    source, filename=name, purpose=purpose, expires_after=policy
                )
            )

    def get_file(self, file_id: str) -> RemoteFile:
        """The file's size and time."""
        with _translated():
            return read_file(self.service.get_file(file_id))

    def delete_file(self, file_id: str) -> bool:
        """Delete a file."""
        with _translated():
            return read_deleted(self.service.delete_file(file_id))

    def list_files(self, *, after: str | None, limit: int, purpose: str = "batch") -> FilePage:
        """One page of what was uploaded, newest first."""
        with _translated():
            page = self.service.list_files(after=after, limit=limit, purpose=purpose)
            return read_file_page(page, limit=limit)

    def download(self, file_id: str, path: Path) -> int:
        """Copy a file out of the service; what a dead process left at `path` is replaced."""
        with _translated():
            source = self.service.open_content(file_id)
        with source:
            try:
                path.unlink(missing_ok=True)
                descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
                with os.fdopen(descriptor, "wb") as target:
                    size = 0
                    while chunk := source.read(_COPY_BYTES):
                        size += target.write(chunk)
                    target.flush()
                    os.fsync(target.fileno())
            except OSError as error:
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
                raise LedgerError(f"{path}: cannot be written: {error.strerror}.") from error
        return size

    def create(
        self, *, input_file_id: str, endpoint: str, window: str, metadata: dict[str, str]
    ) -> RemoteBatch:
        """Queue a batch; nothing is executed yet."""
        params: JsonObject = {
            "input_file_id": input_file_id,
            "endpoint": endpoint,
            "completion_window": window,
            "metadata": metadata,
        }
        try:
            with _translated():
                return read_batch(self.service.create_batch(params))
        except Transient as error:
            if error.status == 504:  # a fault script: given up, and perhaps made later
                raise Ambiguous(error.message, status=504) from error
            raise

    def retrieve(self, batch_id: str) -> RemoteBatch:
        """The batch as it stands."""
        with _translated():
            return read_batch(self.service.get_batch(batch_id))

    def cancel(self, batch_id: str) -> RemoteBatch:
        """Cancel a batch; one that has ended is returned as it is."""
        with _translated():
            try:
                return read_batch(self.service.cancel_batch(batch_id))
            except ServiceError as refusal:
                if refusal.status != 409:
                    raise
                return read_batch(self.service.get_batch(batch_id))

    def list_batches(self, *, after: str | None, limit: int) -> BatchPage:
        """One page, newest first; the service's clock is ours."""
        with _translated():
            page = self.service.list_batches(after=after, limit=limit)
            return read_page(page, limit=limit, server_time=self._clock.now())

    def work(
        self, seconds: float, *, resting: frozenset[str] = frozenset(), goes_on: bool = False
    ) -> int | None:
        """Execute lines for at most `seconds`, none of batches in `resting`; where it `goes_on`, some may be under way afterwards.

        Raises what the responder raises when it cannot answer at all.
        """
        with _translated():
            if not self.service.work(seconds, resting=resting, goes_on=goes_on):
                return None
            return self.service.rests_until or self._clock.now()

    def close(self) -> None:
        """Close the service, and with it the responder."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """The service's refusals as the errors of base.py."""
    try:
        yield
    except ServiceError as refusal:
        raise _error_of(refusal) from refusal


def _error_of(refusal: ServiceError) -> Refused | AuthError | Transient:
    match refusal.status:
        case 404:
            kind: type[Refused | AuthError | Transient] = NotFound
        case 401 | 403:
            kind = AuthError
        case 408 | 409 | 429:
            kind = Transient
        case status if status >= 500:
            kind = Transient
        case _:
            kind = Refused
    return kind(refusal.message, status=refusal.status, code=refusal.code, param=refusal.param)


class _LazyResponder(Responder):
    """Makes the responder when the first question comes: `submit` must not load a model."""

    def __init__(self, factory: Callable[[], Responder]) -> None:
        self._factory = factory
        self._made: Responder | None = None

    @property
    def _responder(self) -> Responder:
        if self._made is None:
            self._made = self._factory()
        return self._made

    @property
    def concurrency(self) -> int:
        return self._responder.concurrency

    @property
    def is_billed(self) -> bool:
        return self._responder.is_billed

    def wait_s(self) -> float:
        return self._responder.wait_s()

    def respond(self, url: str, body: JsonObject, *, custom_id: str | None) -> Reply:
        return self._responder.respond(url, body, custom_id=custom_id)

    def models(self) -> list[str]:
        return self._responder.models()

    def close(self) -> None:
        if self._made is not None:
            self._made.close()
            self._made = None
