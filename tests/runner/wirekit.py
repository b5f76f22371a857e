"""The wire to a distant service: batchrun's own Batch service with OpenAI's manners, where answers get lost and calls arrive late."""

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from batchrun.backends.base import Backend, BatchPage, FilePage, RemoteBatch, RemoteFile, Traits
from batchrun.backends.embedded import EmbeddedBackend
from batchrun.errors import Ambiguous, BackendError
from batchrun.model import Account, JsonObject, Limits
from batchrun.testing import ManualClock

OPENAI: Final = Traits()


@dataclass
class Wire(Backend):
    """`Backend` around the embedded service that behaves like a distant one. Its state is in a file: it outlives processes.

    `delays`: seconds by which the n-th create (from 0) arrives late; it is answered with a timeout. None: it never arrives. `lag_s`: how
    old a batch must be to be listed. `delete_lag_s`: how long a file can still be used after its deletion was confirmed. `page`: edits a
    page of a listing. `edit`: edits every batch that is shown. `lost`: file ids that answer 404.
    """

    inner: EmbeddedBackend
    clock: ManualClock
    state: Path
    _traits: Traits = OPENAI
    identity: Account = field(
        default_factory=lambda: Account(base_url="https://far.example/v1", fingerprint="f1")
    )
    delays: tuple[int | None, ...] = ()
    lag_s: int = 0
    delete_lag_s: int = 0
    page: Callable[[BatchPage], BatchPage] = lambda page: page
    edit: Callable[[RemoteBatch], RemoteBatch] = lambda batch: batch
    page_size: int = 100
    content: Callable[[str, bytes], bytes] | None = None

    @property
    def traits(self) -> Traits:
        return self._traits

    @property
    def limits(self) -> Limits:
        return self.inner.limits

    def account(self, salt: bytes) -> Account:
        return self.identity

    def upload(
        self, path: Path, *, name: str, expires_after_s: int | None, purpose: str = "batch"
    ) -> RemoteFile:
        self.deliver()
        return self.inner.upload(path, name=name, expires_after_s=expires_after_s, purpose=purpose)

    def get_file(self, file_id: str) -> RemoteFile:
        self.deliver()
        return self.inner.get_file(file_id)

    def delete_file(self, file_id: str) -> bool:
        self.deliver()
        if not self.delete_lag_s:
            return self.inner.delete_file(file_id)
        self.inner.get_file(file_id)
        self._put("delete", self.delete_lag_s, {"file_id": file_id})
        return True

    def list_files(self, *, after: str | None, limit: int, purpose: str = "batch") -> FilePage:
        self.deliver()
        return self.inner.list_files(after=after, limit=min(limit, self.page_size), purpose=purpose)

    def download(self, file_id: str, path: Path) -> int:
        self.deliver()
        size = self.inner.download(file_id, path)
        if self.content is not None:
            path.write_bytes(edited := self.content(file_id, path.read_bytes()))
            return len(edited)
        return size

    def create(
        self, *, input_file_id: str, endpoint: str, window: str, metadata: dict[str, str]
    ) -> RemoteBatch:
        self.deliver()
        known = self._load()
        number, known["creates"] = known["creates"], known["creates"] + 1
        self._save(known)
        delay = self.delays[number] if number < len(self.delays) else 0
        call = {
            "input_file_id": input_file_id,
            "endpoint": endpoint,
            "window": window,
            "metadata": metadata,
        }
        if delay is None:
            raise Ambiguous("the answer timed out")
        if delay:
            self._put("create", delay, call)
            raise Ambiguous("the answer timed out")
        return self.edit(self.inner.create(**call))  # type: ignore[arg-type]

    def retrieve(self, batch_id: str) -> RemoteBatch:
        self.deliver()
        return self.edit(self.inner.retrieve(batch_id))

    def cancel(self, batch_id: str) -> RemoteBatch:
        self.deliver()
        return self.edit(self.inner.cancel(batch_id))

    def list_batches(self, *, after: str | None, limit: int) -> BatchPage:
        self.deliver()
        now = self.clock.now()
        shown = self.inner.list_batches(after=after, limit=min(limit, self.page_size))
        batches = tuple(
            self.edit(b) for b in shown.batches if not self.lag_s or b.created_at + self.lag_s < now
        )
        return self.page(replace(shown, batches=batches, server_time=now))

    def work(
        self, seconds: float, *, resting: frozenset[str] = frozenset(), goes_on: bool = False
    ) -> int | None:
        """Nothing runs in our process."""
        return None

    def close(self) -> None:
        """The far end does not notice."""

    @property
    def creates(self) -> int:
        """How many creates there have been, late and lost ones included."""
        count: int = self._load()["creates"]
        return count

    @property
    def under_way_until(self) -> int:
        """When the last call arrives that is on its way; 0 where none is."""
        return max((int(entry["at"]) for entry in self._load()["pending"]), default=0)

    def deliver(self) -> None:
        """Let everything that is due by now take effect, in the order in which it is due."""
        known = self._load()
        due = sorted((e for e in known["pending"] if e["at"] <= self.clock.now()), key=_due)
        if not due:
            return
        known["pending"] = [e for e in known["pending"] if e not in due]
        self._save(known)
        for entry in due:
            with contextlib.suppress(BackendError):
                if entry["call"] == "create":
                    self.inner.create(**entry["arguments"])
                else:
                    self.inner.delete_file(**entry["arguments"])

    def _put(self, call: str, delay: int, arguments: JsonObject) -> None:
        known = self._load()
        known["pending"].append(
            {"at": self.clock.now() + delay, "call": call, "arguments": arguments}
        )
        self._save(known)

    def _load(self) -> JsonObject:
        if not self.state.exists():
            return {"creates": 0, "pending": []}
        loaded: JsonObject = json.loads(self.state.read_text())
        return loaded

    def _save(self, known: JsonObject) -> None:
        self.state.write_text(json.dumps(known))


def _due(entry: JsonObject) -> int:
    at: int = entry["at"]
    return at
