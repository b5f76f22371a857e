"""Which calls are repeated, how often, and after how long; no test waits."""

from collections.abc import Callable
from pathlib import Path

import pytest

from batchrun.backends.base import Backend, BatchPage, FilePage, RemoteBatch, RemoteFile, Traits
from batchrun.backends.retrying import TRIES, RetryingBackend
from batchrun.errors import Ambiguous, AuthError, BackendError, NotFound, Refused, Transient
from batchrun.model import Account, Limits
from batchrun.testing_backend import Fault, FaultyBackend

PATH = Path("x.jsonl")
FILE = RemoteFile(id="file-1", bytes=1, created_at=1)
BATCH = RemoteBatch(
    id="batch_1", status="validating", input_file_id="file-1", created_at=1, metadata={}, raw={}
)


class Obliging:
    """A backend on which everything works at once."""

    traits = Traits(settle_s=7)
    limits = Limits(request_count=7)

    def __init__(self) -> None:
        self.closed = 0

    def account(self, salt: bytes) -> Account:
        return Account(base_url="test:")

    def upload(
        self, path: Path, *, name: str, expires_after_s: int | None, purpose: str = "batch"
    ) -> RemoteFile:
        return FILE

    def get_file(self, file_id: str) -> RemoteFile:
        return FILE

    def delete_file(self, file_id: str) -> bool:
        return True

    def list_files(self, *, after: str | None, limit: int, purpose: str = "batch") -> FilePage:
        return FilePage(files=(FILE,), has_more=False)

    def download(self, file_id: str, path: Path) -> int:
        return 1

    def create(
        self, *, input_file_id: str, endpoint: str, window: str, metadata: dict[str, str]
    ) -> RemoteBatch:
        return BATCH

    def retrieve(self, batch_id: str) -> RemoteBatch:
        return BATCH

    def cancel(self, batch_id: str) -> RemoteBatch:
        return BATCH

    def list_batches(self, *, after: str | None, limit: int) -> BatchPage:
        return BatchPage(batches=(BATCH,), has_more=False)

    def work(
        self, seconds: float, *, resting: frozenset[str] = frozenset(), goes_on: bool = False
    ) -> int | None:
        return None

    def close(self) -> None:
        self.closed += 1


CALLS: dict[str, Callable[[Backend], object]] = {
    "upload": lambda backend: backend.upload(PATH, name="x", expires_after_s=None),
    "get_file": lambda backend: backend.get_file("file-1"),
    "delete_file": lambda backend: backend.delete_file("file-1"),
    "list_files": lambda backend: backend.list_files(after=None, limit=1),
    "download": lambda backend: backend.download("file-1", PATH),
    "retrieve": lambda backend: backend.retrieve("batch_1"),
    "cancel": lambda backend: backend.cancel("batch_1"),
    "list_batches": lambda backend: backend.list_batches(after=None, limit=1),
}


class Bench:
    """A retrying backend over a faulty one; what it slept, and chance fixed at the worst."""

    def __init__(self, *script: Fault, chance: float = 1.0) -> None:
        self.slept: list[float] = []
        self.inner = Obliging()
        self.faulty = FaultyBackend(self.inner, script)
        self.backend = RetryingBackend(self.faulty, sleep=self.slept.append, random=lambda: chance)


def always(call: str, error: BackendError) -> Fault:
    return Fault(call=call, error=error, number=None)


@pytest.mark.parametrize("call", CALLS)
def test_an_idempotent_call_is_repeated_until_it_gets_through(call: str) -> None:
    faults = [Fault(call=call, error=Transient("x"), number=n) for n in range(1, TRIES)]
    bench = Bench(*faults)
    assert CALLS[call](bench.backend) == CALLS[call](bench.inner)
    assert bench.faulty.calls == [call] * TRIES
    assert len(bench.slept) == TRIES - 1


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.fault(8)
def test_after_the_last_try_the_error_itself_is_raised(call: str) -> None:
    error = Transient("still not there", status=503)
    bench = Bench(always(call, error))
    with pytest.raises(Transient) as caught:
        CALLS[call](bench.backend)
    assert caught.value is error
    assert bench.faulty.calls == [call] * TRIES


@pytest.mark.parametrize("error", [Transient("x"), Ambiguous("x"), Refused("x")])
@pytest.mark.fault(4)
def test_create_is_never_repeated(error: BackendError) -> None:
    bench = Bench(always("create", error))
    with pytest.raises(type(error)):
        bench.backend.create(input_file_id="file-1", endpoint="/v1/x", window="24h", metadata={})
    assert bench.faulty.calls == ["create"]
    assert bench.slept == []


def test_create_gives_what_the_inner_one_gives() -> None:
    answer = Bench().backend.create(
        input_file_id="file-1", endpoint="/v1/x", window="24h", metadata={}
    )
    assert answer is BATCH


@pytest.mark.parametrize(
    "error",
    [
        Refused("x"),
        NotFound("x"),
        AuthError("x"),
        Ambiguous("x"),
        BackendError("x"),
        Transient("x", status=429, code="insufficient_quota"),
        Transient("x", status=429, code="billing_hard_limit_reached"),
        Transient("x", status=429, retry_after_s=121.0),
    ],
    ids=repr,
)
def test_what_seconds_cannot_mend_is_raised_at_once(error: BackendError) -> None:
    bench = Bench(always("retrieve", error))
    with pytest.raises(type(error)) as caught:
        bench.backend.retrieve("batch_1")
    assert caught.value is error
    assert bench.faulty.calls == ["retrieve"]
    assert bench.slept == []


@pytest.mark.parametrize(
    ("chance", "waits"),
    [(0.0, [1.0, 1.0, 1.0, 1.0]), (0.5, [2.5, 4.5, 8.5, 16.5]), (1.0, [4.0, 8.0, 16.0, 32.0])],
)
@pytest.mark.fault(8)
def test_waits_grow_and_are_spread_over_their_whole_window(
    chance: float, waits: list[float]
) -> None:
    bench = Bench(always("retrieve", Transient("x")), chance=chance)
    with pytest.raises(Transient):
        bench.backend.retrieve("batch_1")
    assert bench.slept == waits


@pytest.mark.parametrize(("asked_s", "slept_s"), [(0.0, 1.0), (7.0, 7.0), (120.0, 120.0)])
@pytest.mark.fault(7)
def test_the_wait_that_the_service_asks_for_is_kept(asked_s: float, slept_s: float) -> None:
    bench = Bench(Fault(call="retrieve", error=Transient("x", retry_after_s=asked_s)), chance=0.0)
    bench.backend.retrieve("batch_1")
    assert bench.slept == [slept_s]


def test_once_a_call_is_given_up_further_calls_have_one_try_until_one_gets_through() -> None:
    bench = Bench(
        always("retrieve", Transient("x")), Fault(call="cancel", error=Transient("x"), number=2)
    )
    for _ in range(3):
        with pytest.raises(Transient):
            bench.backend.retrieve("batch_1")
    assert bench.faulty.calls == ["retrieve"] * (TRIES + 2)
    bench.backend.cancel("batch_1")
    bench.backend.cancel("batch_1")
    assert bench.faulty.calls[TRIES + 2 :] == ["cancel"] * 3


def test_everything_else_passes_through() -> None:
    bench = Bench()
    assert bench.backend.traits == Traits(settle_s=7)
    assert bench.backend.limits == Limits(request_count=7)
    assert bench.backend.account(b"") == Account(base_url="test:")
    assert bench.backend.work(1.0) is None
    bench.backend.close()
    assert bench.inner.closed == 1


def test_a_fault_before_the_call_keeps_it_from_the_service_and_one_after_does_not() -> None:
    for when, effects in (("before", 0), ("after", 1)):
        inner = FaultyBackend(Obliging())
        fault = Fault(call="create", error=Ambiguous("x"), when=when)  # type: ignore[arg-type]  # the literal is lost in the tuple
        faulty = FaultyBackend(inner, [fault])
        with pytest.raises(Ambiguous):
            faulty.create(input_file_id="file-1", endpoint="/v1/x", window="24h", metadata={})
        assert inner.calls == ["create"] * effects
        faulty.create(input_file_id="file-1", endpoint="/v1/x", window="24h", metadata={})


def test_a_fault_can_stand_for_the_death_of_the_process() -> None:
    faulty = FaultyBackend(Obliging())
    faulty.retrieve("batch_1")
    faulty.add(Fault(call="retrieve", error=KeyboardInterrupt(), number=2))
    with pytest.raises(KeyboardInterrupt):
        faulty.retrieve("batch_1")


def test_a_faulty_download_leaves_no_file_unless_the_process_dies(tmp_path: Path) -> None:
    class Writing(Obliging):
        def download(self, file_id: str, path: Path) -> int:
            return path.write_bytes(b"x")

    path = tmp_path / "out"
    faulty = FaultyBackend(
        Writing(),
        [
            Fault(call="download", error=Transient("x"), when="after"),
            Fault(call="download", error=KeyboardInterrupt(), when="after", number=2),
        ],
    )
    with pytest.raises(Transient):
        faulty.download("file-1", path)
    assert not path.exists()
    with pytest.raises(KeyboardInterrupt):
        faulty.download("file-1", path)
    assert path.exists()
