"""A backend that fails on purpose, for tests: the errors of a script, before or after the effect of the call, by name and number."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

from batchrun.backends.base import Backend, BatchPage, FilePage, RemoteBatch, RemoteFile, Traits
from batchrun.errors import BackendError
from batchrun.model import Account, Limits

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Raise `error` in the `number`-th (from 1) call named `call`, or in each one where `number` is None.

    `when`: `before`, and the service never hears of the call; `after`, and it has taken effect, but nobody learns the answer.
    An `error` that is no Exception (KeyboardInterrupt, a crash) stands for the death of the process.
    """

    call: str
    error: BaseException
    number: int | None = 1
    when: Literal["before", "after"] = "before"


class FaultyBackend:
    """`Backend` around `inner` with a script of faults. `calls` lists the names of all calls so far, failed ones included."""

    def __init__(self, inner: Backend, script: Iterable[Fault] = ()) -> None:
        self._inner = inner
        self._script = list(script)
        self._numbers: Counter[str] = Counter()
        self.calls: list[str] = []

    def add(self, fault: Fault) -> None:
        """Add a fault; numbers count from the first call ever, not from now."""
        self._script.append(fault)

    @property
    def traits(self) -> Traits:
        """As `inner` says."""
        return self._inner.traits

    @property
    def limits(self) -> Limits:
        """As `inner` says."""
        return self._inner.limits

    def account(self, salt: bytes) -> Account:
        """As `inner` says, unless the script has a fault for it."""
        return self._run("account", partial(self._inner.account, salt))

    def upload(
        self, path: Path, *, name: str, expires_after_s: int | None, purpose: str = "batch"
    ) -> RemoteFile:
        """As `inner`, or a fault."""
        return self._run(
            "upload",
            partial(
                self._inner.upload,
                path,
                name=name,
                expires_after_s=expires_after_s,
                purpose=purpose,
            ),
        )

    def get_file(self, file_id: str) -> RemoteFile:
        """As `inner`, or a fault."""
        return self._run("get_file", partial(self._inner.get_file, file_id))

    def delete_file(self, file_id: str) -> bool:
        """As `inner`, or a fault."""
        return self._run("delete_file", partial(self._inner.delete_file, file_id))

    def list_files(self, *, after: str | None, limit: int, purpose: str = "batch") -> FilePage:
        """As `inner`, or a fault."""
        call = partial(self._inner.list_files, after=after, limit=limit, purpose=purpose)
        return self._run("list_files", call)

    def download(self, file_id: str, path: Path) -> int:
        """As `inner`, or a fault; after an error of the service no file is left, as the contract says, after a crash it is."""
        try:
            return self._run("download", partial(self._inner.download, file_id, path))
        except BackendError:
            path.unlink(missing_ok=True)
            raise

    def create(
        self, *, input_file_id: str, endpoint: str, window: str, metadata: dict[str, str]
    ) -> RemoteBatch:
        """As `inner`, or a fault."""
        return self._run(
            "create",
            partial(
                self._inner.create,
                input_file_id=input_file_id,
                endpoint=endpoint,
                window=window,
                metadata=metadata,
            ),
        )

    def retrieve(self, batch_id: str) -> RemoteBatch:
        """As `inner`, or a fault."""
        return self._run("retrieve", partial(self._inner.retrieve, batch_id))

    def cancel(self, batch_id: str) -> RemoteBatch:
        """As `inner`, or a fault."""
        return self._run("cancel", partial(self._inner.cancel, batch_id))

    def list_batches(self, *, after: str | None, limit: int) -> BatchPage:
        """As `inner`, or a fault."""
        return self._run(
            "list_batches", partial(self._inner.list_batches, after=after, limit=limit)
        )

    def work(
        self, seconds: float, *, resting: frozenset[str] = frozenset(), goes_on: bool = False
    ) -> int | None:
        """As `inner`, or a fault."""
        return self._run(
            "work", partial(self._inner.work, seconds, resting=resting, goes_on=goes_on)
        )

    def close(self) -> None:
        """Close `inner`; never fails."""
        self._inner.close()

    def _run(self, name: str, call: Callable[[], _Answer]) -> _Answer:
        self.calls.append(name)
        self._numbers[name] += 1
        fault = self._due(name)
        if fault is not None and fault.when == "before":
            raise fault.error
        answer = call()
        if fault is not None:
            raise fault.error
        return answer

    def _due(self, name: str) -> Fault | None:
        number = self._numbers[name]
        for fault in self._script:
            if fault.call == name and fault.number in {None, number}:
                return fault
        return None
